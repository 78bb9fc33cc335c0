"""Find checkpoints and read them without running code."""

import logging
import os
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


def checkpoint_file(path: str | os.PathLike[str]) -> Path:
    """Return a file's own path; for a run's folder, its `best.ckpt`, else its newest checkpoint."""
    file = Path(path).expanduser()
    if not file.is_dir():
        return file
    folder = file / FOLDER if (file / FOLDER).is_dir() else file
    best = folder / "best.ckpt"
    return best if best.is_file() else next(iter(by_age(folder)), file)


def read(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read a checkpoint onto the CPU, tensors and plain Python values only.

    Names of earlier versions of this package are replaced by the present ones.

    Raises:
        CheckpointError: the file does not exist, is damaged, or holds objects whose reading would run code.
    """
    file = Path(path)
    if not file.is_file():
        raise CheckpointError(f"no checkpoint at {file}{_others_nearby(file)}")
    try:
        # Files of torch.save before torch 1.6, such as the CycleGAN authors' generators, are no zip archives.
        with file.open("rb") as opened:
            problem = damage(file) if opened.read(2) == b"PK" else None
        checkpoint = None if problem else torch.load(file, map_location="cpu", weights_only=True)
    except (*UNREADABLE, OSError) as error:
        if refused := re.search(r"GLOBAL (\S+)", str(error)):
            raise CheckpointError(
                f"{file} was not read: it holds {refused[1]}, and reading more than tensors and plain values could run "
                "code of whoever made the file"
            ) from None  # torch's own text advises to read it with weights_only=False
        problem = f"torch cannot read its {file.stat().st_size} bytes"
    if problem:
        raise CheckpointError(
            f"{file} is damaged or is no checkpoint: {problem}. Take an earlier one from the same folder."
        )
    if not isinstance(checkpoint, dict):
        raise CheckpointError(f"{file} holds a {type(checkpoint).__name__}, not a checkpoint of cyclegan-train")
    return _upgraded(checkpoint)


def _upgraded(checkpoint: dict[str, Any]) -> dict[str, Any]:
    """Replace the names of earlier versions in a checkpoint."""
    if "config" in checkpoint:
        checkpoint["config"] = with_present_names(checkpoint["config"])
    if "pictures" in checkpoint:
        checkpoint["pixel_formats"] = checkpoint.pop("pictures")
    callbacks = checkpoint.get("callbacks")
    for state in callbacks.values() if isinstance(callbacks, dict) else ():
        best = state.get("best") if isinstance(state, dict) else None
        if isinstance(best, dict) and "figure" in best:
            best["metric"] = best.pop("figure")
    return checkpoint


def newest_intact(folder: Path) -> tuple[Path, dict[str, Any]] | None:
    """Return a run's newest intact checkpoint and its content, None without any checkpoint; log the skipped ones.

    Raises:
        CheckpointError: there are checkpoints, but none can be read.
    """
    reasons = []
    for path in by_age(folder):
        try:
            found = read(path)
        except CheckpointError as error:
            reasons.append(f"\n  {error}")
            log.info("resume    skipped: %s", error)
        else:
            return path, found
    if reasons:
        raise CheckpointError(
            f"none of the {len(reasons)} checkpoints in {folder} can be read. Restore one from a backup, or start "
            f"again from nothing (overwrite=true).{''.join(reasons)}"
        )
    return None


def by_age(folder: Path) -> list[Path]:
    """List the checkpoints of a run, newest first; of a file with several names, only the first."""
    epochs = sorted(folder.glob("epoch*.ckpt"), key=_number, reverse=True)
    found: dict[int, Path] = {}
    for path in (folder / "last.ckpt", *rolling(folder), *epochs):
        if path.is_file():
            found.setdefault(path.stat().st_ino, path)
    return list(found.values())


def rolling(folder: Path) -> list[Path]:
    """List the checkpoints that are named by images seen, newest first."""
    return sorted(folder.glob("images*.ckpt"), key=_number, reverse=True)


def _number(path: Path) -> int:
    digits = re.search(r"\d+", path.name)  # epoch0010.ckpt, or epoch=0010.ckpt of earlier versions
    return int(digits[0]) if digits else -1


def _others_nearby(file: Path) -> str:
    found = sorted(file.parent.glob("*.ckpt")) or sorted(file.glob("**/*.ckpt"))
    return f"; there are {', '.join(str(p) for p in found[-5:])}" if found else ""
