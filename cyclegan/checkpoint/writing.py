"""Write checkpoints atomically: a file with a checkpoint's name is complete, even after a kill or on a full disk."""

import os
import shutil
from pathlib import Path
from typing import Any

import torch
from lightning_fabric.plugins import CheckpointIO

from cyclegan.checkpoint.reading import read
from cyclegan.checkpoint.state_dicts import shortened
from cyclegan.checkpoint.targets import leaves
from cyclegan.errors import CheckpointError
from cyclegan.files import replacing

LEARNED = ("state_dict", "optimizer_states", "ema", "ranks")
"""Entries of a checkpoint that training continues from; a NaN there would stay for the rest of the run."""


class AtomicCheckpointIO(CheckpointIO):
    """Lightning's checkpoint IO, writing beside the target, syncing to disk and renaming.

    The first file is read back before it is renamed, so that a state that cannot be read ends the run early.
    """

    def __init__(self) -> None:
        self._has_read_back = False

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | os.PathLike[str], storage_options: Any | None = None
    ) -> None:
        """Write `checkpoint` to `path`; an earlier file stays until the new one is complete.

        Raises:
            CheckpointError: it holds values that are not finite, or that cannot be read back.
            OSError: the file could not be written.
        """
        require_finite(checkpoint)
        target = Path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        with replacing(target) as unfinished:
            write(checkpoint, unfinished)
            if not self._has_read_back:
                _require_readable(unfinished)
                self._has_read_back = True

    def load_checkpoint(
        self, path: str | os.PathLike[str], map_location: Any | None = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """Read a checkpoint; `weights_only` is always true."""
        return read(path)

    def remove_checkpoint(self, path: str | os.PathLike[str]) -> None:
        """Delete a checkpoint if it exists."""
        Path(path).unlink(missing_ok=True)


def write(checkpoint: dict[str, Any], path: Path) -> None:
    """Write a file and sync it to disk; not atomic.

    Raises:
        OSError: the system's reason, such as a full disk.
    """
    with path.open("wb") as file:
        try:
            torch.save(checkpoint, file)
        except RuntimeError as error:  # of torch's writer, as it closes an archive that it could not write
            raise (error.__context__ if isinstance(error.__context__, OSError) else OSError(str(error))) from None
        file.flush()
        os.fsync(file.fileno())


def same_file(source: Path, target: Path) -> None:
    """Give a checkpoint a second name in one step: a hard link, or a copy if the file system has no links."""
    with replacing(target) as unfinished:
        unfinished.unlink(missing_ok=True)
        try:
            os.link(source, unfinished)
        except OSError:  # FAT, some network file systems
            shutil.copyfile(source, unfinished)
            with unfinished.open("rb+") as file:
                os.fsync(file.fileno())


def remove_unfinished(folder: Path) -> None:
    """Delete the unfinished files of a killed process."""
    for path in folder.glob(".*.part"):
        path.unlink(missing_ok=True)


def require_finite(checkpoint: dict[str, Any]) -> None:
    """Refuse a checkpoint whose weights or optimizer states are not finite.

    Raises:
        CheckpointError: naming the entries.
    """
    entries = [
        (name, value)
        for key in LEARNED
        for name, value in leaves(checkpoint.get(key), key)
        if isinstance(value, torch.Tensor) and value.is_floating_point()
    ]
    answers = [torch.isfinite(tensor).all() for _, tensor in entries]
    # All are computed before the first is read: on a GPU, reading waits for the computation.
    found = [name for (name, _), finite in zip(entries, answers, strict=True) if not finite]
    if found:
        raise CheckpointError(f"not saved: {shortened(found)} hold values that are not finite")


def _require_readable(path: Path) -> None:
    try:
        read(path)
    except CheckpointError as error:
        raise CheckpointError(f"not saved, because it could not be read again: {error}") from error
