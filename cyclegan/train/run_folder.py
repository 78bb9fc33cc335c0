"""The folder of a run: its lock, its protection against overwriting, and its config.yaml."""

import logging
import os
import re
import shlex
import shutil
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml
from omegaconf import DictConfig, OmegaConf

from cyclegan.errors import RunError
from cyclegan.files import write_text

try:
    import fcntl
except ImportError:  # Windows has no such locks
    fcntl = None  # type: ignore[assignment]

LOCK = ".lock"
FOLDERS = ("checkpoints", "samples", "validation", "wandb", "tensorboard", "profile")
FILES = ("config.yaml", "metrics.csv", "report.html", "environment.json")
SWEEP_FILE = "sweep.yaml"
"""What a sweep was asked for, in the folder that holds the folders of its jobs."""

MARK = b"# cyclegan-train"
"""First bytes of config.yaml, the first file that a run writes into its folder."""


@contextmanager
def held(run_dir: Path) -> Iterator[None]:
    """Lock a run's folder against other processes; remove the folder again if it stays empty.

    The system releases the lock when the process ends, however it ends. The lock is a POSIX record lock, because the
    workers that read images, which outlive a killed process for some seconds, would inherit a lock of flock.

    Raises:
        RunError: another process holds the lock; the message names that process.
    """
    if fcntl is None or not is_first_process():
        yield
        return
    run_dir.mkdir(parents=True, exist_ok=True)
    # Never opened a second time while it is held: closing any descriptor of the file releases such a lock.
    with (run_dir / LOCK).open("a+", encoding="utf-8") as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            file.seek(0)
            holder = file.read().strip() or "another process"
            raise RunError(
                f"{run_dir} is in use: {holder}. Wait for it, stop it (Ctrl-C there, or kill with its number: it "
                "saves first), or give this run another name (name=...)"
            ) from None
        except OSError:  # a file system without locks
            pass
        file.truncate(0)
        started = datetime.now().astimezone().strftime("%Y-%m-%d %H:%M")
        command = shlex.join(sys.argv[1:])[:80]
        file.write(f"process {os.getpid()} on {socket.gethostname()}, since {started}: cyclegan-train {command}\n")
        file.flush()
        try:
            yield
        finally:
            if run_dir.is_dir() and [path.name for path in run_dir.iterdir()] == [LOCK]:  # the run did not begin
                (run_dir / LOCK).unlink()
                run_dir.rmdir()


def claim(run_dir: Path, resume: str | None, overwrite: bool) -> None:
    """Check that a run may write into a folder; `resume` and `overwrite` are the configuration's.

    Raises:
        RunError: the folder holds a run that would be overwritten without `overwrite`, or files that no run wrote, or
            the checkpoint to resume does not exist.
    """
    if (run_dir / SWEEP_FILE).exists():
        raise RunError(f"{run_dir} is the folder of a sweep: give this run another name (name=...)")
    if resume == "auto":
        return
    checkpoints = run_dir / "checkpoints"
    if resume:
        start = Path(resume).resolve()
        if not start.exists():
            raise RunError(f"resume={resume}: there is no such file. resume=auto takes the latest in {checkpoints}")
        if run_dir.resolve() in (start, start.parent.parent):
            return
    foreign = [name for name in (*FOLDERS, *FILES) if (run_dir / name).exists()]
    if foreign and not is_marked(run_dir):
        raise RunError(
            f"{run_dir} holds {', '.join(foreign)}, but no config.yaml that begins with {MARK.decode()!r}: no run "
            "wrote these, so they are not replaced. Give this run another folder, name=... or run_dir=..."
        )
    holds_run = (run_dir / "metrics.csv").exists() or any(checkpoints.glob("*.ckpt"))
    # The processes of further devices find what the first process of the same run has written.
    if holds_run and not overwrite and is_first_process():
        raise RunError(
            f"{run_dir} already holds a run. Resume it (resume=auto), start it again from nothing "
            "(overwrite=true), or give this one another name (name=...)"
        )


def clear(run_dir: Path) -> None:
    """Remove the files of a run; a folder without a run's config.yaml stays unchanged."""
    if not is_marked(run_dir):
        return
    for name in FOLDERS:
        shutil.rmtree(run_dir / name, ignore_errors=True)
    for name in (*FILES, "train.log"):
        (run_dir / name).unlink(missing_ok=True)


def is_marked(run_dir: Path) -> bool:
    """Return whether the folder has a config.yaml that a run wrote."""
    config = run_dir / "config.yaml"
    return config.is_file() and config.read_bytes().startswith(MARK)


def settle_rank(trainer: DictConfig) -> None:
    """Set this process's rank to 0 if its run has one process; let processes of further ranks log warnings only.

    Lightning takes the rank from the environment, where SLURM or torchrun number the processes of a job. The job may
    consist of independent runs on one device each.
    """
    from lightning_fabric.utilities.rank_zero import rank_zero_only

    if is_alone(trainer):
        rank_zero_only.rank = 0  # type: ignore[attr-defined]
    if not is_first_process():
        logging.getLogger("cyclegan").setLevel(logging.WARNING)


def is_alone(trainer: DictConfig) -> bool:
    """Return whether a run has one process: one device, and the default strategy."""
    import torch

    if trainer.strategy != "auto" or trainer.num_nodes != 1:
        return False
    if trainer.devices in ("auto", -1, "-1"):
        return trainer.accelerator == "cpu" or torch.cuda.device_count() < 2
    return re.fullmatch(r"1|\[\d+\]|\d+,", str(trainer.devices)) is not None  # a number, or an index: 1, [3], "3,"


def is_first_process() -> bool:
    """Return whether this is the first process of its run, not one of a further device."""
    from lightning_fabric.utilities.rank_zero import rank_zero_only

    rank: int = rank_zero_only.rank  # type: ignore[attr-defined]
    return rank == 0


def earlier_config(run_dir: Path) -> dict[str, Any]:
    """Read the config.yaml that a run wrote into its folder; empty without one."""
    text = (run_dir / "config.yaml").read_text(encoding="utf-8") if is_marked(run_dir) else "{}"
    found: dict[str, Any] = yaml.safe_load(text) or {}
    return found


def added_by_lightning() -> bool:
    """Return whether Lightning started this process for a further device, and watches its exit code."""
    started_outside = "TORCHELASTIC_RUN_ID" in os.environ or os.environ.get("SLURM_PROCID", "0") != "0"
    return not is_first_process() and not started_outside


def save_config(config: DictConfig, run_dir: Path) -> None:
    """Write config.yaml: the command in a comment, then the resolved configuration."""
    run_dir.mkdir(parents=True, exist_ok=True)
    command = shlex.join(["cyclegan-train", *sys.argv[1:]])
    write_text(run_dir / "config.yaml", f"# {command}\n{OmegaConf.to_yaml(config, resolve=True)}")
