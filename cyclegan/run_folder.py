"""The folder of a run: who may write into it, and the configuration that stands there."""

import os
import shlex
import shutil
import sys
from pathlib import Path

from omegaconf import DictConfig, OmegaConf


class RunError(ValueError):
    """A run that cannot begin as asked; the text says why and what to do."""


def claim(run_dir: Path, resume: str | None, overwrite: bool) -> Path | None:
    """Settles what may happen to a folder that perhaps holds a run.

    Returns:
        the checkpoint to go on from, or None for a new run.

    Raises:
        RunError: the folder holds a run that this one would write over unasked, or there is no such checkpoint.
    """
    checkpoints = run_dir / "checkpoints"
    if resume == "auto":
        found = [checkpoints / "last.ckpt", *sorted(checkpoints.glob("epoch=*.ckpt"), reverse=True)]
        return next((path for path in found if path.is_file()), None)
    start = Path(resume) if resume else None
    if start and not start.is_file():
        raise RunError(f"resume={start}: there is no such file. resume=auto takes the latest in {checkpoints}")
    goes_on = start is not None and start.resolve().parent == checkpoints.resolve()
    holds_run = (run_dir / "metrics.csv").exists() or any(checkpoints.glob("*.ckpt"))
    # To the processes of further devices, the folder holds what the first process of this very run made.
    if holds_run and not goes_on and not overwrite and is_first_process():
        raise RunError(
            f"{run_dir} already holds a run. Go on with it (resume=auto), start it again from nothing "
            "(overwrite=true), or give this one another name (name=...)"
        )
    return start


def clear(run_dir: Path) -> None:
    """Removes what a run has written."""
    for name in ("checkpoints", "samples", "wandb", "tensorboard"):
        shutil.rmtree(run_dir / name, ignore_errors=True)
    for name in ("config.yaml", "metrics.csv", "train.log"):
        (run_dir / name).unlink(missing_ok=True)


def is_first_process() -> bool:
    """Whether this is the process that the user started, not one that Lightning added for another device."""
    return all(os.environ.get(name, "0") == "0" for name in ("LOCAL_RANK", "RANK", "SLURM_PROCID"))


def save_config(config: DictConfig, run_dir: Path) -> None:
    """Writes config.yaml: the resolved configuration under the command that made it."""
    run_dir.mkdir(parents=True, exist_ok=True)
    command = shlex.join(["cyclegan-train", *sys.argv[1:]])
    (run_dir / "config.yaml").write_text(f"# {command}\n{OmegaConf.to_yaml(config, resolve=True)}", encoding="utf-8")
