"""Write checkpoints so that a file with a checkpoint's name is always complete, even after a kill or a full disk."""

import os
import shutil
from contextlib import suppress
from io import FileIO
from pathlib import Path
from typing import Any

import torch
from lightning_fabric.plugins import CheckpointIO

from cyclegan.checkpoint.reading import read
from cyclegan.checkpoint.targets import leaves
from cyclegan.errors import CheckpointError
from cyclegan.files import replacing

LEARNED = ("state_dict", "optimizer_states", "ema", "ranks")
"""Entries of a checkpoint that training continues from; a value there that is not finite would stay forever."""

PLAIN = (
    *(torch.Tensor, torch.nn.Parameter, torch.Size, torch.dtype, torch.device),
    *(str, bytes, int, float, complex, bool, type(None), set),
)
"""Types that `checkpoint.reading.read` accepts, besides dictionaries, lists and tuples of these."""


class AtomicCheckpointIO(CheckpointIO):
    """Lightning's checkpoint IO: writes beside the target, syncs to disk, and renames.

    The first file is read back before it is renamed, so that a checkpoint that nobody can read ends the run early.
    """

    def __init__(self) -> None:
        self._has_read_back = False

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | os.PathLike[str], storage_options: Any | None = None
    ) -> None:
        """Write `checkpoint` to `path`; an earlier file stays until the new one is complete.

        Raises:
            CheckpointError: it holds values that are not finite, or that cannot be read back.
            OSError: it could not be written.
        """
        require_finite(checkpoint)
        target = Path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        with replacing(target) as unfinished:
            write(checkpoint, unfinished)
            if not self._has_read_back:
                require_readable(checkpoint, unfinished)
                self._has_read_back = True
        sync_folder(target.parent)

    def load_checkpoint(
        self, path: str | os.PathLike[str], map_location: Any | None = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """Read tensors and plain Python values only, whatever `weights_only` says."""
        return read(path)

    def remove_checkpoint(self, path: str | os.PathLike[str]) -> None:
        """Delete a checkpoint if it exists."""
        Path(path).unlink(missing_ok=True)


def write(checkpoint: dict[str, Any], path: Path) -> None:
    """Write a file and sync it to disk; not atomic.

    Raises:
        OSError: with the system's reason, such as a full disk.
    """
    with RememberingFile(path) as file:
        try:
            torch.save(checkpoint, file)
            os.fsync(file.fileno())
        except RuntimeError as error:
            raise file.failure or error from error  # torch's own error lacks the system's reason


class RememberingFile(FileIO):
    """Unbuffered file for torch.save that keeps the system's first error, which torch's writer would replace.

    A buffer's rest would fail once more when the file is closed.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path, "w")
        self.failure: OSError | None = None

    def write(self, data: Any) -> int:
        """Write all of `data`."""
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[super().write(rest) :]
        except OSError as error:
            self.failure = self.failure or error
            raise
        return len(data)


def same_file(source: Path, target: Path) -> None:
    """Give a checkpoint a second name in one step: a hard link, or a copy if the file system has none.

    Raises:
        OSError: it could be neither linked nor copied.
    """
    with replacing(target) as unfinished:
        unfinished.unlink(missing_ok=True)
        try:
            os.link(source, unfinished)
        except OSError:  # FAT, some network file systems
            shutil.copyfile(source, unfinished)
            with unfinished.open("rb+") as file:
                os.fsync(file.fileno())
    sync_folder(target.parent)


def sync_folder(folder: Path) -> None:
    """Make a rename survive a loss of power, where the system supports that."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


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
        others = f" and {len(found) - 3} more" if len(found) > 3 else ""
        raise CheckpointError(f"not saved: {', '.join(found[:3])}{others} hold values that are not finite")


def require_readable(checkpoint: dict[str, Any], path: Path) -> None:
    """Refuse a checkpoint that was written to `path` but cannot be read from there.

    Raises:
        CheckpointError: naming the entries and their types.
    """
    try:
        read(path)
    except CheckpointError as error:
        values = (entry for key in checkpoint for entry in leaves(checkpoint[key], key))
        odd = [f"{name} is a {type(v).__module__}.{type(v).__qualname__}" for name, v in values if type(v) not in PLAIN]
        if not odd:
            raise
        others = f" and {len(odd) - 3} more" if len(odd) > 3 else ""
        raise CheckpointError(
            f"not saved: {', '.join(odd[:3])}{others}. A checkpoint that holds more than tensors and plain Python "
            "values could not be read again"
        ) from error
