"""The folder of a run: who may write into it, and the configuration that stands there."""

import logging
import os
import re
import shlex
import shutil
import sys
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from cyclegan.errors import RunError

FOLDERS = ("checkpoints", "samples", "validation", "wandb", "tensorboard")
FILES = ("config.yaml", "metrics.csv", "alarms.jsonl", "report.html", "environment.json")
MARK = b"# cyclegan-train"
"""How config.yaml begins, the first file that a run writes into its folder."""


def claim(run_dir: Path, resume: str | None, overwrite: bool) -> None:
    """Settles that a run may write into a folder that perhaps holds one.

    Raises:
        RunError: the folder holds a run that this one would write over unasked, or files that no run wrote, or there
            is no such checkpoint.
    """
    checkpoints = run_dir / "checkpoints"
    if resume == "auto":
        return
    start = Path(resume) if resume else None
    if start and not start.exists():
        raise RunError(f"resume={start}: there is no such file. resume=auto takes the latest in {checkpoints}")
    own = (run_dir.resolve(), checkpoints.resolve())
    goes_on = start is not None and (start.resolve() == own[0] or start.resolve().parent == own[1])
    foreign = [name for name in (*FOLDERS, *FILES) if (run_dir / name).exists()]
    if foreign and not goes_on and not is_marked(run_dir):
        raise RunError(
            f"{run_dir} holds {', '.join(foreign)}, but no config.yaml that begins with {MARK.decode()!r}: no run "
            "wrote these, so none removes or replaces them. Give this run another folder, name=... or run_dir=..."
        )
    holds_run = (run_dir / "metrics.csv").exists() or any(checkpoints.glob("*.ckpt"))
    # To the processes of further devices, the folder holds what the first process of this very run made.
    if holds_run and not goes_on and not overwrite and is_first_process():
        raise RunError(
            f"{run_dir} already holds a run. Go on with it (resume=auto), start it again from nothing "
            "(overwrite=true), or give this one another name (name=...)"
        )


def clear(run_dir: Path) -> None:
    """Removes what a run has written; in a folder without one, nothing."""
    if not is_marked(run_dir):
        return
    for name in FOLDERS:
        shutil.rmtree(run_dir / name, ignore_errors=True)
    for name in (*FILES, "train.log"):
        (run_dir / name).unlink(missing_ok=True)


def is_marked(run_dir: Path) -> bool:
    """Whether a run of this program wrote the folder."""
    try:
        with (run_dir / "config.yaml").open("rb") as file:
            return file.read(len(MARK)) == MARK
    except OSError:
        return False


def settle_rank(trainer: DictConfig) -> None:
    """Makes this process the first of its run if the run has no other; any further process logs warnings alone.

    Lightning takes a process's rank from the environment, where SLURM or torchrun number the processes of a job. Such a
    job may consist of independent runs on one device each.

    Args:
        trainer: `trainer` of the configuration.
    """
    from lightning_fabric.utilities.rank_zero import rank_zero_only

    if is_alone(trainer):
        rank_zero_only.rank = 0  # type: ignore[attr-defined]
    if not is_first_process():
        logging.getLogger("cyclegan").setLevel(logging.WARNING)


def is_alone(trainer: DictConfig) -> bool:
    """Whether a run with this `trainer` has one process: one device, and no strategy that was asked for."""
    import torch

    if trainer.strategy != "auto" or trainer.num_nodes != 1:
        return False
    if trainer.devices in ("auto", -1, "-1"):
        return trainer.accelerator == "cpu" or torch.cuda.device_count() < 2
    return re.fullmatch(r"1|\[\d+\]|\d+,", str(trainer.devices)) is not None  # a number, or an index: 1, [3], "3,"


def is_first_process() -> bool:
    """Whether this is the first process of its run, not one of a further device."""
    from lightning_fabric.utilities.rank_zero import rank_zero_only

    rank: int = rank_zero_only.rank  # type: ignore[attr-defined]
    return rank == 0


def earlier_config(run_dir: Path) -> dict[str, Any]:
    """The config.yaml of the run that the folder holds; empty if there is none that can be read."""
    try:
        found = OmegaConf.to_container(OmegaConf.load(run_dir / "config.yaml"))
    except (OSError, YAMLError, OmegaConfBaseException):
        return {}
    return {str(key): value for key, value in found.items()} if isinstance(found, dict) else {}


def added_by_lightning() -> bool:
    """Whether Lightning added this process for another device, and watches how it ends."""
    started_outside = "TORCHELASTIC_RUN_ID" in os.environ or os.environ.get("SLURM_PROCID", "0") != "0"
    return not is_first_process() and not started_outside


def save_config(config: DictConfig, run_dir: Path) -> None:
    """Writes config.yaml: the resolved configuration under the command that made it."""
    run_dir.mkdir(parents=True, exist_ok=True)
    command = shlex.join(["cyclegan-train", *sys.argv[1:]])
    (run_dir / "config.yaml").write_text(f"# {command}\n{OmegaConf.to_yaml(config, resolve=True)}", encoding="utf-8")
