"""The folder of a run: its lock, whether a run may write into it, and its config.yaml."""

import logging
import os
import re
import shlex
import shutil
import socket
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from cyclegan.errors import RunError

try:
    import fcntl
except ImportError:  # Windows has no such locks
    fcntl = None  # type: ignore[assignment]

LOCK = ".lock"
FOLDERS = ("checkpoints", "samples", "validation", "wandb", "tensorboard")
FILES = ("config.yaml", "metrics.csv", "alarms.jsonl", "report.html", "environment.json")
MARK = b"# cyclegan-train"
"""First bytes of config.yaml, the first file that a run writes into its folder."""


@contextmanager
def held(run_dir: Path) -> Iterator[None]:
    """Keep other processes out of a run's folder; a folder that stays empty is removed again.

    The system releases the lock when the process ends, however it ends. It is a POSIX record lock: a lock of the other
    kind (flock) would be inherited by the workers that read images, which outlive a killed process for some seconds.

    Raises:
        RunError: another process holds it; the message names that process.
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
        except OSError:
            pass  # a file system without locks
        file.truncate(0)
        started = datetime.now().astimezone().strftime("%Y-%m-%d %H:%M")
        command = textwrap.shorten(shlex.join(["cyclegan-train", *sys.argv[1:]]), 80, placeholder=" ...")
        file.write(f"process {os.getpid()} on {socket.gethostname()}, since {started}: {command}\n")
        file.flush()
        try:
            yield
        finally:
            if run_dir.is_dir() and [path.name for path in run_dir.iterdir()] == [LOCK]:  # the run did not begin
                (run_dir / LOCK).unlink()
                run_dir.rmdir()


def claim(run_dir: Path, resume: str | None, overwrite: bool) -> None:
    """Check that a run may write into a folder.

    Args:
        run_dir: the folder, which may hold an earlier run.
        resume: `auto`, or a checkpoint or its run's folder; None for a new run.
        overwrite: whether an earlier run may be replaced.

    Raises:
        RunError: the folder holds a run that would be overwritten without `overwrite`, or files that no run wrote, or
            the checkpoint does not exist.
    """
    checkpoints = run_dir / "checkpoints"
    if resume == "auto":
        return
    start = Path(resume) if resume else None
    if start and not start.exists():
        raise RunError(f"resume={start}: there is no such file. resume=auto takes the latest in {checkpoints}")
    own = (run_dir.resolve(), checkpoints.resolve())
    continues = start is not None and (start.resolve() == own[0] or start.resolve().parent == own[1])
    foreign = [name for name in (*FOLDERS, *FILES) if (run_dir / name).exists()]
    if foreign and not continues and not is_marked(run_dir):
        raise RunError(
            f"{run_dir} holds {', '.join(foreign)}, but no config.yaml that begins with {MARK.decode()!r}: no run "
            "wrote these, so they are not replaced. Give this run another folder, name=... or run_dir=..."
        )
    holds_run = (run_dir / "metrics.csv").exists() or any(checkpoints.glob("*.ckpt"))
    # To the processes of further devices, the folder holds what the first process of this very run made.
    if holds_run and not continues and not overwrite and is_first_process():
        raise RunError(
            f"{run_dir} already holds a run. Resume it (resume=auto), start it again from nothing "
            "(overwrite=true), or give this one another name (name=...)"
        )


def clear(run_dir: Path) -> None:
    """Remove what a run has written; a folder without a run's config.yaml is left as it is."""
    if not is_marked(run_dir):
        return
    for name in FOLDERS:
        shutil.rmtree(run_dir / name, ignore_errors=True)
    for name in (*FILES, "train.log"):
        (run_dir / name).unlink(missing_ok=True)


def is_marked(run_dir: Path) -> bool:
    """Return whether the folder has a config.yaml that a run wrote."""
    with suppress(OSError), (run_dir / "config.yaml").open("rb") as file:
        return file.read(len(MARK)) == MARK
    return False


def settle_rank(trainer: DictConfig) -> None:
    """Set this process's rank to 0 if its run has one process; processes of further ranks log warnings only.

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
    """Read the config.yaml of a run's folder; empty if it is missing or cannot be read."""
    try:
        found = OmegaConf.to_container(OmegaConf.load(run_dir / "config.yaml"))
    except (OSError, YAMLError, OmegaConfBaseException):
        return {}
    return {str(key): value for key, value in found.items()} if isinstance(found, dict) else {}


def added_by_lightning() -> bool:
    """Return whether Lightning started this process for a further device, and watches its exit code."""
    started_outside = "TORCHELASTIC_RUN_ID" in os.environ or os.environ.get("SLURM_PROCID", "0") != "0"
    return not is_first_process() and not started_outside


def save_config(config: DictConfig, run_dir: Path) -> None:
    """Write config.yaml: the command in a comment, then the resolved configuration."""
    run_dir.mkdir(parents=True, exist_ok=True)
    command = shlex.join(["cyclegan-train", *sys.argv[1:]])
    (run_dir / "config.yaml").write_text(f"# {command}\n{OmegaConf.to_yaml(config, resolve=True)}", encoding="utf-8")
