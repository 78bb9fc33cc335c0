"""A file of decoded and resized images that all workers, devices and runs of a machine share.

The file has a header, an entry for each image, and then the pixels in the order in which they were added. An entry
holds the place, shape and type of an image and the CRC-32 of its pixels. Reading compares the checksum, so it needs no
lock: pixels that are half written, or were lost in a power failure, count as missing and are decoded again.
"""

import errno
import os
import shutil
import struct
import sys
import warnings
import weakref
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cyclegan.errors import DataError

if sys.platform != "win32":
    import fcntl

DTYPES = tuple(np.dtype(name).newbyteorder("<") for name in ("uint8", "uint16", "int16", "float32"))
RESERVE = 2e9
"""Bytes of the disk that a cache leaves free, for checkpoints."""

_HEADER_BYTES = 128
_ENTRY = struct.Struct("<QIIIHH")  # offset, CRC-32, height, width, channels, index in DTYPES + 1


class DiskCache:
    """Images (channels, height, width) by index, in a file that is created if it is missing.

    It is read and written by system calls, not mapped: a disk error in a mapped file kills the process. It can be
    pickled and forked.

    Args:
        path: the file. Its name has to depend on all that the pixels depend on.
        count: number of images.

    Raises:
        DataError: the file cannot be opened or created.
    """

    def __init__(self, path: Path, count: int) -> None:
        if sys.platform == "win32":
            raise DataError("data.cache=disk needs Linux or macOS; set data.cache=null")
        self.path = path
        self.count = count
        header = f"cyclegan cache 2\n{path.stem}\n{count} images\n".encode().ljust(_HEADER_BYTES, b"\0")
        end = self._at(count)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            weakref.finalize(self, os.close, self._file)
            with self._locked():
                if os.pread(self._file, _HEADER_BYTES, 0) != header or os.fstat(self._file).st_size < end:
                    os.ftruncate(self._file, 0)
                    os.ftruncate(self._file, end)
                    self._write(header, 0)
                os.utime(self._file)  # so that unused files can be recognised by their age
        except OSError as error:
            raise DataError(
                f"the cache {path} cannot be opened: {error.strerror}; set data.cache_dir to another folder, or "
                "data.cache=null"
            ) from None
        self._is_full = False

    def __reduce__(self) -> tuple[type["DiskCache"], tuple[Path, int]]:
        return DiskCache, (self.path, self.count)

    def get(self, index: int) -> NDArray[Any] | None:
        """Return an image, read-only; None if it was not added or is damaged."""
        try:
            entry = os.pread(self._file, _ENTRY.size, self._at(index))
            offset, crc, height, width, channels, kind = _ENTRY.unpack(entry)
            if not 0 < kind <= len(DTYPES):
                return None
            dtype = DTYPES[kind - 1]
            data = os.pread(self._file, channels * height * width * dtype.itemsize, offset)
        except (OSError, struct.error, OverflowError, MemoryError):  # the image itself is still there
            return None
        shape = (channels, height, width)
        return np.frombuffer(data, dtype).reshape(shape) if _checksum(data, shape, kind) == crc else None

    def put(self, index: int, pixels: NDArray[Any]) -> None:
        """Add an image. When less than `RESERVE` bytes of the disk are free, warn once and add no more."""
        if self._is_full:
            return
        kind = DTYPES.index(pixels.dtype.newbyteorder("<")) + 1
        data = np.ascontiguousarray(pixels, DTYPES[kind - 1]).tobytes()
        channels, height, width = pixels.shape
        crc = _checksum(data, pixels.shape, kind)
        try:
            if shutil.disk_usage(self.path.parent).free < RESERVE:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            with self._locked():
                offset = os.fstat(self._file).st_size
                self._write(data, offset)
            self._write(_ENTRY.pack(offset, crc, height, width, channels, kind), self._at(index))
        except OSError as error:
            self._is_full = True
            warnings.warn(f"{self.path} takes no more images ({error.strerror}): they are decoded again", stacklevel=2)

    @property
    def filled(self) -> int:
        """Number of images that were added, in this run or an earlier one."""
        entries = os.pread(self._file, _ENTRY.size * self.count, _HEADER_BYTES)
        return sum(entry[-1] > 0 for entry in _ENTRY.iter_unpack(entries))

    def _at(self, index: int) -> int:
        return _HEADER_BYTES + _ENTRY.size * index

    def _write(self, data: bytes, offset: int) -> None:
        rest = memoryview(data)
        while rest:
            written = os.pwrite(self._file, rest, offset)
            rest, offset = rest[written:], offset + written

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Let one process at a time do this. On a file system without locks, a checksum shows what was overwritten."""
        with suppress(OSError):
            fcntl.lockf(self._file, fcntl.LOCK_EX)  # of the process: forked workers exclude each other, too
        try:
            yield
        finally:
            with suppress(OSError):
                fcntl.lockf(self._file, fcntl.LOCK_UN)


def describe(caches: dict[str, DiskCache]) -> str:
    """Return a line for the log about the caches of a run, by domain."""
    folder = next(iter(caches.values())).path.parent
    each = ", ".join(f"{cache.filled} of {cache.count} images of {domain}" for domain, cache in caches.items())
    return f"{folder} holds {each}"


def _checksum(data: bytes, shape: tuple[int, ...], kind: int) -> int:
    return zlib.crc32(data, zlib.crc32(struct.pack("<4I", *shape, kind)))
