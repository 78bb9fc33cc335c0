"""A cache in memory, gone with the last process that uses it.

On Linux it is memory without a name (memfd), so that it is freed whichever way the processes end, and the size of
/dev/shm, 64 MB in most containers, does not limit it. Another rank finds it as /proc/PID/fd/NUMBER of the process that
made it; that address is in a file of a few bytes in /dev/shm, until all ranks have it. Where there is no /proc (macOS),
it is a temporary file that is removed at the end, and each rank has one of its own.
"""

import mmap
import os
import re
import stat
import tempfile
import weakref
import zlib
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cyclegan.data.cache.base import Cache
from cyclegan.data.cache.files import exclusive, lay_out, write_all
from cyclegan.data.cache.plan import HEADER_BYTES, Plan, distinct, mark_of
from cyclegan.data.cache.room import refused, require_room
from cyclegan.errors import DataError

DESCRIPTORS = Path("/proc/self/fd")
SHARED = Path("/dev/shm")  # noqa: S108 - files there are checked to be ours
HAS_MEMFD = hasattr(os, "memfd_create")  # some builds of Python for old systems lack it


class RamCache(Cache):
    """Images in memory that processes share.

    Args:
        plan: what it holds.
        descriptor: of a file that was laid out for this plan; the cache closes it.
        path: the file's name, where it has to have one.
    """

    def __init__(self, plan: Plan, descriptor: int, path: Path | None = None) -> None:
        super().__init__(plan)
        self._file = descriptor
        self._path = path
        self._forget: Callable[[], object] | None = None
        weakref.finalize(self, os.close, descriptor)
        self._map = mmap.mmap(descriptor, plan.size)
        self._readable = memoryview(self._map).toreadonly()
        self._marks: NDArray[np.uint64] = np.ndarray(len(plan), np.uint64, self._map, HEADER_BYTES)
        self._seen_whole = bytearray(len(plan))  # by this process: what it saw whole stays so

    def __reduce__(self) -> Any:
        return _opened, (self.plan, self._address())

    def get(self, i: int) -> NDArray[Any] | None:
        """Image i, not copied; compared with its CRC-32 when this process gets it for the first time."""
        shape = self.plan.shape(i)
        mark = int(self._marks[i])
        if not mark:
            return None
        pixels: NDArray[Any] = np.ndarray(shape, self.plan.dtype, self._readable, int(self.plan.offsets[i]))
        if not self._seen_whole[i]:
            if mark_of(zlib.crc32(pixels.data)) != mark:
                return None
            self._seen_whole[i] = True
        return pixels

    def put(self, i: int, pixels: NDArray[Any]) -> None:
        """Keeps image i for everybody."""
        pixels = self.plan.checked(i, pixels)
        np.ndarray(pixels.shape, pixels.dtype, self._map, int(self.plan.offsets[i]))[...] = pixels
        self._marks[i] = mark_of(zlib.crc32(pixels.data))  # 8 bytes, aligned: one store

    @property
    def filled(self) -> int:
        """How many images somebody put in."""
        return int(np.count_nonzero(self._marks))

    @property
    def place(self) -> str:
        """Its kind."""
        return "ram"

    def announce(self, note: Path, descriptor: int) -> None:
        """Writes into an open file how other ranks find this cache.

        Raises:
            OSError: that could not be written.
        """
        address = os.fsencode(self._address())
        os.ftruncate(descriptor, 0)
        write_all(descriptor, address, 0)
        self._forget = weakref.finalize(self, _forget, note, address, os.getpid())

    def forget_name(self) -> None:
        """Removes the file that tells the address, if this process wrote it. Ranks that come later begin anew."""
        if self._forget is not None:
            self._forget()

    def _address(self) -> Path:
        """By which another process opens the same memory, as long as this one lives."""
        return self._path or Path(f"/proc/{os.getpid()}/fd/{self._file}")


def in_ram(plans: Mapping[str, Plan]) -> dict[str, RamCache]:
    """Opens the caches of a run; the first rank of a machine makes them, the others attach.

    Any number of processes may call it at once. When all ranks have, each calls `forget_name`.

    Args:
        plans: what to hold for each domain; two domains with one plan share a cache.

    Raises:
        DataError: there is no room.
    """
    wanted = distinct(plans.values())
    caches = _shared(wanted) if DESCRIPTORS.is_dir() else _private(wanted)
    return {domain: caches[plan.key] for domain, plan in plans.items()}


def _shared(wanted: list[Plan]) -> dict[str, RamCache]:
    folder = _folder()
    notes = {plan.key: folder / f"cyclegan-{os.geteuid()}-{plan.key}" for plan in wanted}
    with ExitStack() as held:
        files = {key: held.enter_context(exclusive(note, lambda _: True)) for key, note in notes.items()}
        caches = {plan.key: cache for plan in wanted if (cache := _found(plan, files[plan.key])) is not None}
        missing = [plan for plan in wanted if plan.key not in caches]
        need = sum(plan.size for plan in missing)
        try:
            require_room("ram", need, None if HAS_MEMFD else folder)
            for plan in missing:
                caches[plan.key] = RamCache(plan, _laid_out(plan, _nameless(plan.key, folder)))
                caches[plan.key].announce(notes[plan.key], files[plan.key])
        except BaseException as error:
            for plan in missing:
                notes[plan.key].unlink(missing_ok=True)
            if isinstance(error, OSError):
                raise refused("ram", need, error) from None
            raise
    return caches


def _private(wanted: list[Plan]) -> dict[str, RamCache]:
    need = sum(plan.size for plan in wanted)
    require_room("ram", need, None)
    return {plan.key: _temporary(plan) for plan in wanted}


def _temporary(plan: Plan) -> RamCache:
    """A cache in a temporary file, which processes that are spawned later open by its name."""
    descriptor, name = tempfile.mkstemp(prefix=f"cyclegan-{plan.key}-")
    try:
        cache = RamCache(plan, _laid_out(plan, descriptor), Path(name))
    except BaseException as error:
        os.unlink(name)  # noqa: PTH108
        if isinstance(error, OSError):
            raise refused("ram", plan.size, error) from None
        raise
    weakref.finalize(cache, _remove, Path(name), os.getpid())
    return cache


def _folder() -> Path:
    return SHARED if SHARED.is_dir() and os.access(SHARED, os.W_OK) else Path(tempfile.gettempdir())


def _nameless(key: str, folder: Path) -> int:
    """A file that is gone with the last process that has it open."""
    if HAS_MEMFD:
        return os.memfd_create(f"cyclegan-{key}")
    descriptor, name = tempfile.mkstemp(prefix="cyclegan-", dir=folder)
    os.unlink(name)  # noqa: PTH108
    return descriptor


def _laid_out(plan: Plan, descriptor: int) -> int:
    try:
        lay_out(descriptor, plan)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _found(plan: Plan, note: int) -> RamCache | None:
    """The cache whose address a note tells; None if it tells none, or of a process that is gone.

    Another process may have its number by now, so what is there is opened only if it looks like the cache.
    """
    address = os.fsdecode(os.pread(note, 64, 0))
    if not re.fullmatch(r"/proc/\d+/fd/\d+", address):
        return None
    try:
        status = os.stat(address)  # noqa: PTH116
        if not stat.S_ISREG(status.st_mode) or (status.st_uid, status.st_size) != (os.geteuid(), plan.size):
            return None
        return _opened(plan, Path(address))
    except (OSError, DataError):
        return None


def _opened(plan: Plan, address: Path) -> RamCache:
    """The cache at an address: how a worker that was spawned, not forked, comes by it.

    Raises:
        DataError: another is there.
        OSError: it is gone.
    """
    descriptor = os.open(address, os.O_RDWR | os.O_CLOEXEC)
    if not plan.fits(descriptor):
        os.close(descriptor)
        raise DataError(f"what {address} holds is not the cache {plan.key}; start the run again")
    return RamCache(plan, descriptor, None if DESCRIPTORS.is_dir() else address)


def _forget(note: Path, address: bytes, writer: int) -> None:
    """Removes a note if it is still the one that this process wrote: a fork of it leaves it alone."""
    with suppress(OSError):
        if os.getpid() == writer and note.read_bytes() == address:
            note.unlink()


def _remove(path: Path, maker: int) -> None:
    if os.getpid() == maker:
        path.unlink(missing_ok=True)
