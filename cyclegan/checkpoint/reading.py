"""Find checkpoints and read them without running code."""

import logging
import os
import pickle
import re
from pathlib import Path
from typing import Any

import torch

from cyclegan.checkpoint.targets import with_present_names
from cyclegan.errors import CheckpointError
from cyclegan.files import damage
from cyclegan.metrics.pretrained import UNREADABLE

log = logging.getLogger(__name__)

FOLDER = "checkpoints"
"""Folder of the checkpoints, in the folder of a run."""

LEGACY = pickle.dumps(0x1950A86A20F9469CFC6C, protocol=2)
"""First bytes of the files of torch.save before torch 1.6, such as the CycleGAN authors' published generators."""


def checkpoint_file(path: str | os.PathLike[str]) -> Path:
    """Return the checkpoint that a path stands for: the file itself; in a run's folder `best.ckpt`, else the newest."""
    file = Path(path).expanduser()
    if not file.is_dir():
        return file
    folder = file / FOLDER if (file / FOLDER).is_dir() else file
    best = folder / "best.ckpt"
    return best if best.is_file() else next(iter(by_age(folder)), file)


def read(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read a checkpoint onto the CPU, tensors and plain Python values only.

    Its configuration names classes by their present names; see `checkpoint.targets.RENAMED`.

    Raises:
        CheckpointError: the file does not exist, is damaged, or holds objects whose reading would run code.
    """
    file = Path(path)
    if not file.is_file():
        raise CheckpointError(f"no checkpoint at {file}{_others_nearby(file)}")
    broken = None if _is_legacy(file) else damage(file)
    if broken:
        raise CheckpointError(
            f"{file} is damaged or is no checkpoint: {broken}. Take an earlier one from the same folder."
        )
    try:
        checkpoint = torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"{file} was not read: it holds {_refused(error)}, and reading more than tensors and plain values could "
            "run code of whoever made the file"
        ) from None  # torch's own text advises to read it without care
    except (*UNREADABLE, OSError) as error:
        raise CheckpointError(
            f"{file} ({file.stat().st_size} bytes) is damaged or is no checkpoint: torch cannot read it. "
            "Take an earlier one from the same folder."
        ) from error
    if not isinstance(checkpoint, dict):
        raise CheckpointError(f"{file} holds a {type(checkpoint).__name__}, not a checkpoint of cyclegan-train")
    return _upgraded(checkpoint)


def _upgraded(checkpoint: dict[str, Any]) -> dict[str, Any]:
    """Replace the names of earlier versions in a checkpoint."""
    if "config" in checkpoint:
        checkpoint["config"] = with_present_names(checkpoint["config"])
    callbacks = checkpoint.get("callbacks")
    for state in callbacks.values() if isinstance(callbacks, dict) else ():
        best = state.get("best") if isinstance(state, dict) else None
        if isinstance(best, dict) and "figure" in best:
            best["metric"] = best.pop("figure")
    return checkpoint


def _is_legacy(file: Path) -> bool:
    try:
        with file.open("rb") as opened:
            return opened.read(len(LEGACY)) == LEGACY
    except OSError:
        return False  # damage() says why it cannot be opened


def _refused(error: pickle.UnpicklingError) -> str:
    name = re.search(r"GLOBAL (\S+)", str(error))
    return name[1] if name else "something else"


def newest_intact(folder: Path) -> tuple[Path, dict[str, Any]] | None:
    """Find a run's newest checkpoint that can be read; log those that are skipped, and why.

    Returns:
        the file and its content; None if there is no checkpoint at all.

    Raises:
        CheckpointError: there are checkpoints, but none can be read.
    """
    reasons = []
    for path in by_age(folder):
        try:
            found = read(path)
        except CheckpointError as error:
            reasons.append(str(error))
            log.info("resume    skipped: %s", error)
        else:
            return path, found
    if reasons:
        listed = "".join(f"\n  {reason}" for reason in reasons)
        raise CheckpointError(
            f"none of the {len(reasons)} checkpoints in {folder} can be read. Restore one from a backup, or start "
            f"again from nothing (overwrite=true).{listed}"
        )
    return None


def by_age(folder: Path) -> list[Path]:
    """List the checkpoints of a run, newest first: `last`, those named by images, those named by epochs.

    Of a file with several names, only the first is listed.
    """
    names = [folder / "last.ckpt", *rolling(folder), *sorted(folder.glob("epoch*.ckpt"), key=_number, reverse=True)]
    found: dict[tuple[int, int], Path] = {}
    for path in names:
        if path.is_file():
            status = path.stat()
            found.setdefault((status.st_dev, status.st_ino), path)
    return list(found.values())


def rolling(folder: Path) -> list[Path]:
    """List the checkpoints that are named by images seen, newest first."""
    return sorted(folder.glob("images*.ckpt"), key=_number, reverse=True)


def _number(path: Path) -> int:
    """Return the number in a checkpoint's name: `epoch0010.ckpt`, or `epoch=0010.ckpt` of earlier versions."""
    digits = re.search(r"\d+", path.name)
    return int(digits[0]) if digits else -1


def _others_nearby(file: Path) -> str:
    found = sorted(p for p in file.parent.glob("*.ckpt")) or sorted(file.glob("**/*.ckpt"))
    return f"; there are {', '.join(str(p) for p in found[-5:])}" if found else ""
