"""Where the images of a tar file are: found once, and kept on disk beside it."""

import json
import os
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cyclegan.data.sources.tar_members import UnfitError, members
from cyclegan.errors import DataError
from cyclegan.images import IMAGE_SUFFIXES

INDEX = ".index"
"""What is appended to a tar file's name for its index."""

_VERSION = 1
_PLAIN = frozenset({b"0", b"\0", b"7"})
_KINDS = {b"1": "link", b"2": "link", b"3": "device", b"4": "device", b"6": "device", b"S": "sparse"}


class Stamp(NamedTuple):
    """By which a file is known again."""

    size: int
    mtime_ns: int


def stamp(file: int | str) -> Stamp:
    """Of a file, by its path or descriptor."""
    found = os.stat(file)  # noqa: PTH116 - a Path takes no descriptor
    return Stamp(found.st_size, found.st_mtime_ns)


@dataclass(frozen=True)
class TarIndex:
    """The n images of a tar file, in the order in which they lie in it.

    Args:
        stamp: of the tar file when it was walked over.
        offsets: int64 (n,), where the bytes of each image begin in it.
        sizes: int64 (n,), how many these are.
        names: uint8, the images' names within it in UTF-8, one behind the other.
        ends: int64 (n,), where each name ends.
        passed_over: how many members of each kind are no images.
    """

    stamp: Stamp
    offsets: NDArray[np.int64]
    sizes: NDArray[np.int64]
    names: NDArray[np.uint8]
    ends: NDArray[np.int64]
    passed_over: Counter[str]


def walk(path: str) -> TarIndex:
    """Finds the images of a tar file: regular files with an image's ending that are not hidden.

    Of members with one name the last counts, as for `tar --extract`.

    Raises:
        DataError: it is compressed, damaged or cut off, or cannot be read.
    """
    found: dict[str, tuple[int, int]] = {}
    passed_over: Counter[str] = Counter()
    try:
        with _opened(path) as descriptor:
            known = stamp(descriptor)
            for name, kind, offset, size in members(descriptor, known.size):
                if _is_folder(name, kind):
                    continue
                if (reason := _why_no_image(name, kind)) is not None:
                    passed_over[reason] += 1
                    continue
                passed_over["replaced"] += found.pop(name, None) is not None
                found[name] = offset, size
    except UnfitError as error:
        raise DataError(f"{path} {error}") from None
    except OSError as error:
        raise _unreadable(path, error) from error
    names = [name.encode("utf-8", "surrogateescape") for name in found]
    places = np.array(list(found.values()), np.int64).reshape(-1, 2)
    return TarIndex(
        known,
        offsets=places[:, 0],
        sizes=places[:, 1],
        names=np.frombuffer(b"".join(names), np.uint8),
        ends=np.cumsum([len(name) for name in names], dtype=np.int64),
        passed_over=+passed_over,
    )


@contextmanager
def _opened(path: str) -> Iterator[int]:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _unreadable(path: str, error: OSError) -> DataError:
    return DataError(f"{path} cannot be read: {error.strerror}. Is the data set complete, and its disk mounted?")


def _is_folder(name: str, kind: bytes) -> bool:
    return kind == b"5" or (kind in _PLAIN and name.endswith("/"))  # the latter from before folders had a kind


def _why_no_image(name: str, kind: bytes) -> str | None:
    """As what a member is passed over; None if it is an image."""
    if kind not in _PLAIN:
        return _KINDS.get(kind, "unknown")
    if "/." in f"/{name}":
        return "hidden"
    suffix = os.path.splitext(name)[1].lower()  # noqa: PTH122 - a Path for each of a million members is slow
    return None if suffix in IMAGE_SUFFIXES else suffix or "without ending"


def index_file(path: str) -> Path:
    """Where the index of a tar file is kept."""
    return Path(path + INDEX)


def keep(index: TarIndex, path: str) -> None:
    """Writes an index beside its tar file; a half-written one never bears the name.

    Raises:
        OSError: nothing can be written there.
    """
    target = index_file(path)
    about = json.dumps([_VERSION, sorted(IMAGE_SUFFIXES), index.stamp, index.passed_over])
    unfinished = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}.part")
    try:
        with unfinished.open("wb") as file:
            np.savez(
                file,
                about=np.frombuffer(about.encode(), np.uint8),
                offsets=index.offsets,
                sizes=index.sizes,
                names=index.names,
                ends=index.ends,
            )
        unfinished.replace(target)
    finally:
        unfinished.unlink(missing_ok=True)


def recall(path: str) -> TarIndex | None:
    """The index that is kept of a tar file; None if there is none, it is damaged, or the tar file has changed since.

    Raises:
        DataError: the tar file itself cannot be looked at.
    """
    try:
        now = stamp(path)
    except OSError as error:
        raise _unreadable(path, error) from error
    try:
        # numpy leaves a file open that it cannot make sense of; every array is compared with its CRC-32.
        with index_file(path).open("rb") as file, np.load(file, allow_pickle=False) as kept:
            version, suffixes, then, passed_over = json.loads(kept["about"].tobytes())
            index = TarIndex(
                Stamp(*then), kept["offsets"], kept["sizes"], kept["names"], kept["ends"], Counter(passed_over)
            )
    except Exception:  # damaged files make numpy and zipfile raise nearly anything
        return None
    return index if (version, suffixes, index.stamp) == (_VERSION, sorted(IMAGE_SUFFIXES), now) else None
