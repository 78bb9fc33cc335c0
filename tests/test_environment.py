"""The suite passes whatever the environment: a cluster's job, a wandb login, terminal colours, another locale."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]

JOB = {"SLURM_JOB_ID": "7", "SLURM_JOB_NAME": "train", "SLURM_NTASKS": "4", "SLURM_PROCID": "2", "SLURM_LOCALID": "2"}
RANKS = {"RANK": "1", "LOCAL_RANK": "1", "WORLD_SIZE": "2", "MASTER_ADDR": "10.0.0.1", "TORCHELASTIC_RUN_ID": "x"}
TOOLS = {"WANDB_MODE": "online", "WANDB_PROJECT": "ours", "WANDB_RUN_ID": "agent123", "HYDRA_FULL_ERROR": "1"}
TERMINAL = {"LC_ALL": "C", "NO_COLOR": "1", "COLUMNS": "20", "PYTHONIOENCODING": "ascii", "PYTHONWARNINGS": "error"}
REST = {"PL_GLOBAL_SEED": "5", "OMP_NUM_THREADS": "64", "FORCE_COLOR": "1"}

TRAINING = "tests/train/test_resume.py::test_the_wandb_run_id_is_stored_before_training_and_stays_the_same"


@pytest.mark.slow  # a cold process of pytest
def test_a_small_training_passes_in_a_hostile_environment(tmp_path: Path) -> None:
    tools = tmp_path / "bin"
    tools.mkdir()
    (tools / "srun").write_text("#!/bin/sh\n")
    (tools / "srun").chmod(0o755)
    (tmp_path / ".netrc").write_text(f"machine api.wandb.ai login user password {'0123456789' * 4}\n")
    place = {"HOME": str(tmp_path), "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", TRAINING],
        cwd=REPOSITORY,
        env={**os.environ, **place, **JOB, **RANKS, **TOOLS, **TERMINAL, **REST},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
