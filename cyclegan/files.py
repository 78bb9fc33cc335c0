"""Atomic replacement of files, and the integrity check of checkpoint files."""

import os
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a path beside `path` to write to, and rename it to `path` when the block ends.

    If the block raises, the earlier file stays and the new one is removed. A block whose file must survive a loss of
    power calls `os.fsync` itself.
    """
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        yield unfinished
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> Path:
    """Replace a text file atomically; see `replacing`. Characters that UTF-8 lacks become question marks.

    Raises:
        OSError: the file could not be written; the earlier one stays.
    """
    with replacing(path) as unfinished:
        # errors: half of a surrogate pair, from a strange file name, must not end a run
        unfinished.write_text(text, encoding="utf-8", errors="replace", newline="\n")
    return path


def damage(path: str | os.PathLike[str]) -> str | None:
    """Describe the damage of a file that torch.save wrote; None if it is intact.

    torch.save writes a zip archive with a CRC-32 for every record. torch.load does not compare them, and would load a
    weight with a flipped bit.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            broken = archive.testzip()
    except (zipfile.BadZipFile, zlib.error, EOFError, ValueError, NotImplementedError, RuntimeError) as error:
        # NotImplementedError and RuntimeError: a flipped bit changed the compression method or a flag.
        return f"it is no complete archive: {error}"
    except OSError as error:
        return f"it cannot be read: {error.strerror or error}"
    return None if broken is None else f"its part {broken} does not agree with its checksum"
