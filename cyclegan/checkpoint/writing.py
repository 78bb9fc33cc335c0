"""Writing checkpoints so that a file with a checkpoint's name is always whole, whatever happens meanwhile."""

import os
import shutil
from io import FileIO
from pathlib import Path
from typing import Any

import torch
from lightning_fabric.plugins import CheckpointIO

from cyclegan.checkpoint.loading import leaves
from cyclegan.checkpoint.reading import read
from cyclegan.errors import CheckpointError

LEARNED = ("state_dict", "optimizer_states", "ema", "ranks")
"""The entries of a checkpoint that training goes on from; a number there that is not finite would never leave again."""

PLAIN = (
    *(torch.Tensor, torch.nn.Parameter, torch.Size, torch.dtype, torch.device),
    *(str, bytes, int, float, complex, bool, type(None), set),
)
"""What `checkpoint.read` takes, besides dictionaries, lists and tuples of these."""

UNFINISHED = ".part"


class AtomicCheckpointIO(CheckpointIO):
    """Writes beside the target, syncs and renames. The first file is read back before it is renamed."""

    def __init__(self) -> None:
        self._has_read_back = False

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | os.PathLike[str], storage_options: Any | None = None
    ) -> None:
        """Writes `checkpoint` to `path`; whatever stood there stays until the new file is complete.

        Raises:
            CheckpointError: it holds numbers that are not finite, or values that cannot be read back.
            OSError: it could not be written.
        """
        require_finite(checkpoint)
        target = Path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        unfinished = target.with_name(f".{target.name}.{os.getpid()}{UNFINISHED}")
        try:
            write(checkpoint, unfinished)
            if not self._has_read_back:
                require_readable(checkpoint, unfinished)
                self._has_read_back = True
            unfinished.replace(target)
            sync_folder(target.parent)
        finally:
            unfinished.unlink(missing_ok=True)

    def load_checkpoint(
        self, path: str | os.PathLike[str], map_location: Any | None = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """Reads tensors and plain Python values only, whatever `weights_only` says."""
        return read(path)

    def remove_checkpoint(self, path: str | os.PathLike[str]) -> None:
        """Deletes a checkpoint that may be gone already."""
        Path(path).unlink(missing_ok=True)


def write(checkpoint: dict[str, Any], path: Path) -> None:
    """Writes and syncs a file under a name of no importance.

    Raises:
        OSError: with the system's reason, such as a full disk.
    """
    with RememberingFile(path) as file:
        try:
            torch.save(checkpoint, file)
            os.fsync(file.fileno())
        except RuntimeError as error:
            # torch's writer knows only that a write failed.
            raise file.failure or error from error


class RememberingFile(FileIO):
    """A file for torch.save that keeps the first error of the system, which torch's writer would replace.

    It is unbuffered: what a buffer still holds after an error would fail once more when the file is closed.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path, "w")
        self.failure: OSError | None = None

    def write(self, data: Any) -> int:
        """Writes all of `data`."""
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[super().write(rest) :]
        except OSError as error:
            self.failure = self.failure or error
            raise
        return len(data)


def same_file(source: Path, target: Path) -> None:
    """Gives a checkpoint a second name, in one step and, where the file system has hard links, at no cost.

    Raises:
        OSError: it could be neither linked nor copied.
    """
    unfinished = target.with_name(f".{target.name}.{os.getpid()}{UNFINISHED}")
    unfinished.unlink(missing_ok=True)
    try:
        try:
            os.link(source, unfinished)
        except OSError:  # FAT, some network file systems
            shutil.copyfile(source, unfinished)
            with unfinished.open("rb+") as file:
                os.fsync(file.fileno())
        unfinished.replace(target)
        sync_folder(target.parent)
    finally:
        unfinished.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Makes a rename last through a loss of power, where the system offers that."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(descriptor)
    except OSError:
        pass
    finally:
        os.close(descriptor)


def remove_unfinished(folder: Path) -> None:
    """Clears away what a killed process had begun to write."""
    for path in folder.glob(f".*{UNFINISHED}"):
        path.unlink(missing_ok=True)


def require_finite(checkpoint: dict[str, Any]) -> None:
    """Refuses what nobody could go on from.

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
    # All are asked before the first is read: on a GPU, reading waits for what was asked.
    found = [name for (name, _), finite in zip(entries, answers, strict=True) if not finite]
    if found:
        others = f" and {len(found) - 3} more" if len(found) > 3 else ""
        raise CheckpointError(f"not saved: {', '.join(found[:3])}{others} hold numbers that are not finite")


def require_readable(checkpoint: dict[str, Any], path: Path) -> None:
    """Refuses a checkpoint that was written to `path` but cannot be read from there, so that nobody could resume it.

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
