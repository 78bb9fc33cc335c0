"""A cache in a folder, kept for the next run."""

import os
import sys
import warnings
import weakref
import zlib
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cyclegan.data.cache.base import Cache
from cyclegan.data.cache.files import exclusive, lay_out, write_all
from cyclegan.data.cache.plan import HEADER_BYTES, Plan, distinct, mark_of
from cyclegan.data.cache.room import refused, require_room
from cyclegan.errors import DataError


class DiskCache(Cache):
    """Images in a file.

    It is read and written by system calls, not mapped: what a disk that fails or is full would answer to a mapping is
    a signal that kills the process. The system keeps in memory what there is room for.

    Args:
        plan: what it holds.
        path: of a file that was laid out for this plan.

    Raises:
        DataError: the file is none, or is gone.
    """

    def __init__(self, plan: Plan, path: Path) -> None:
        super().__init__(plan)
        self.path = path
        try:
            self._file = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        except OSError as error:
            raise DataError(f"the cache {path} cannot be opened: {error.strerror}; start the run again") from None
        weakref.finalize(self, os.close, self._file)
        if not plan.fits(self._file):
            raise DataError(f"the cache {path} was exchanged while it was opened; start the run again")
        self._fills = True

    def __reduce__(self) -> tuple[type["DiskCache"], tuple[Plan, Path]]:
        return DiskCache, (self.plan, self.path)

    def get(self, i: int) -> NDArray[Any] | None:
        """Image i, compared with its CRC-32 each time it is read: a disk may lose what it had."""
        shape = self.plan.shape(i)
        nbytes = self.plan.nbytes(shape)
        try:
            mark = int.from_bytes(os.pread(self._file, 8, HEADER_BYTES + 8 * i), sys.byteorder)
            if not mark:
                return None
            data = os.pread(self._file, nbytes, int(self.plan.offsets[i]))
        except OSError:  # a bad sector: the image itself is still there
            return None
        if mark_of(zlib.crc32(data)) != mark:
            return None
        return np.frombuffer(data, self.plan.dtype).reshape(shape)

    def put(self, i: int, pixels: NDArray[Any]) -> None:
        """Keeps image i. If the disk takes no more, that is told once, and no further image is kept."""
        data = self.plan.checked(i, pixels).data.cast("B")
        if not self._fills:
            return
        mark = mark_of(zlib.crc32(data))
        try:
            write_all(self._file, data, int(self.plan.offsets[i]))
            write_all(self._file, mark.to_bytes(8, sys.byteorder), HEADER_BYTES + 8 * i)
        except OSError as error:
            self._fills = False
            warnings.warn(f"{self.path} takes no more images ({error.strerror}): they are decoded anew", stacklevel=2)

    @property
    def filled(self) -> int:
        """How many images somebody put in, in this run or another."""
        return int(np.count_nonzero(np.frombuffer(os.pread(self._file, 8 * len(self), HEADER_BYTES), np.uint64)))

    def forget_name(self) -> None:
        """Does nothing: the next run is to find the file by its name."""

    @property
    def place(self) -> str:
        """Its kind and its folder."""
        return f"disk {self.path.parent}"


def on_disk(plans: Mapping[str, Plan], folder: Path) -> dict[str, DiskCache]:
    """Opens the caches of a run in a folder; what is missing, or was laid out otherwise, is made.

    Any number of processes may call it at once, and several runs may use one folder. Nothing is ever removed from it
    but files of the same key that are damaged: `find FOLDER -name '*.cache' -mtime +30 -delete` removes what no run
    began with for a month. A run that has its file open keeps it.

    Args:
        plans: what to hold for each domain; two domains with one plan share a cache.
        folder: made if it is missing; better not on a network.

    Raises:
        DataError: there is no room, or the folder or a file cannot be used.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"data.cache_dir {folder} cannot be made: {error.strerror}; choose another") from None
    wanted = distinct(plans.values())
    paths = {plan.key: folder / f"{plan.key}.cache" for plan in wanted}
    with ExitStack() as held:
        files = {plan.key: held.enter_context(exclusive(paths[plan.key], plan.fits)) for plan in wanted}
        missing = [plan for plan in wanted if os.fstat(files[plan.key]).st_size == 0]
        need = sum(plan.size for plan in missing)
        try:
            require_room("disk", need, folder)
            for plan in missing:
                lay_out(files[plan.key], plan)
        except BaseException as error:  # also Ctrl-C: what was reserved is given back
            for plan in missing:
                paths[plan.key].unlink(missing_ok=True)
            if isinstance(error, OSError):
                raise refused("disk", need, error) from None
            raise
        for file in files.values():
            os.utime(file)  # so that files no longer in use can be told by their age
        caches = {plan.key: DiskCache(plan, paths[plan.key]) for plan in wanted}
    return {domain: caches[plan.key] for domain, plan in plans.items()}
