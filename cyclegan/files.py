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

    Readers find the earlier file or the new one, never a part. A block that needs the new file to survive a loss of
    power calls `os.fsync` itself. If the block raises, the earlier file stays and the new one is removed.
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

    torch.save writes a zip archive, in which every record carries its CRC-32. torch.load does not compare them, so it
    would load a weight with a flipped bit. Reads the whole file, at about the speed of the disk.
    """
    file = Path(path)
    try:
        size = file.stat().st_size
        with zipfile.ZipFile(file) as archive:
            broken = archive.testzip()
    except (zipfile.BadZipFile, zlib.error, EOFError, ValueError, NotImplementedError, RuntimeError) as error:
        # The last two are zipfile's answer to flags and methods that a flipped bit can pretend.
        return f"{size} bytes that are no complete archive: {error}"
    except OSError as error:
        return f"it cannot be read: {error.strerror or error}"
    return None if broken is None else f"its part {broken} does not agree with its checksum"
