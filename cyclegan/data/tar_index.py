"""Index of a tar file: where its images are, found once and saved beside it."""

import json
import os
import tarfile
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cyclegan.data.file_list import skip_reason
from cyclegan.errors import DataError
from cyclegan.files import replacing
from cyclegan.images import IMAGE_SUFFIXES

INDEX_SUFFIX = ".index"
_INDEX_VERSION = 2
_BLOCK = 512


class TarIndex(NamedTuple):
    """The N images of a tar file.

    Args:
        stamp: size and modification time in ns of the tar file.
        images: (N,), fields shard (0), offset and size of the bytes in the tar file, and name, a byte string.
        skipped: number of members by kind that are no images.
    """

    stamp: tuple[int, int]
    images: NDArray[np.void]
    skipped: Counter[str]


def scan(path: str) -> TarIndex:
    """Find the images of a tar file. Of members with the same name the last counts, as for `tar --extract`.

    Raises:
        DataError: the file is compressed, damaged or cut off, or cannot be read.
    """
    found: dict[str, tuple[int, int]] = {}
    skipped: Counter[str] = Counter()
    try:
        stamp = stamp_of(path)
        with Path(path).open("rb") as file, tarfile.open(fileobj=file, mode="r:", encoding="utf-8") as tar:
            for member in tar:
                name = member.name.removeprefix("./").lstrip("/")
                if member.isdir():
                    continue
                if not member.isfile() or member.issparse():
                    skipped["link, device or sparse file"] += 1
                elif reason := skip_reason(name):
                    skipped[reason] += 1
                else:
                    skipped["replaced"] += found.pop(name, None) is not None
                    found[name] = member.offset_data, member.size
            file.seek(tar.offset)  # of the first block that is no header
            rest = file.read(2**20)
    except tarfile.TarError as error:
        raise DataError(
            f"{path} is no intact tar file ({error}): unpack it if it is compressed, as nothing can be read from the "
            "middle of it, else copy it again"
        ) from error
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from error
    # tarfile takes a damaged header for the end of the archive, and says nothing of the images behind it.
    if rest[:_BLOCK] != bytes(_BLOCK):
        raise DataError(f"{path} is damaged or cut off at byte {tar.offset:,}: copy it again")
    if rest.strip(b"\0"):
        raise DataError(f"{path} goes on behind its end: join tar files with tar --concatenate, not with cat")
    names = [os.fsencode(name) for name in found]
    fields = [
        ("shard", np.int32),
        ("offset", np.int64),
        ("size", np.int64),
        ("name", f"S{max(map(len, names), default=1)}"),
    ]
    rows = [(0, offset, size, name) for name, (offset, size) in zip(names, found.values(), strict=True)]
    return TarIndex(stamp, np.array(rows, fields), +skipped)


def save_index(index: TarIndex, path: str) -> None:
    """Write an index beside its tar file.

    Raises:
        OSError: the folder cannot be written to.
    """
    about = json.dumps([*_expected(index.stamp), index.skipped])
    with replacing(Path(path + INDEX_SUFFIX)) as unfinished, unfinished.open("wb") as file:
        np.savez(file, about=np.frombuffer(about.encode(), np.uint8), images=index.images)


def load_index(path: str) -> TarIndex | None:
    """Read the index beside a tar file; None if there is none, it is damaged, or the tar file has changed since."""
    try:
        stamp = stamp_of(path)
        with Path(path + INDEX_SUFFIX).open("rb") as file, np.load(file, allow_pickle=False) as saved:
            *about, skipped = json.loads(saved["about"].tobytes())
            return TarIndex(stamp, saved["images"], Counter(skipped)) if about == _expected(stamp) else None
    except Exception:  # numpy and zipfile raise nearly anything for a damaged file
        return None


def _expected(stamp: tuple[int, int]) -> list[object]:
    return [_INDEX_VERSION, sorted(IMAGE_SUFFIXES), list(stamp)]


def stamp_of(file: int | str) -> tuple[int, int]:
    """Return size and modification time in ns of a file, given its path or descriptor."""
    found = os.stat(file)  # noqa: PTH116 - a Path takes no descriptor
    return found.st_size, found.st_mtime_ns
