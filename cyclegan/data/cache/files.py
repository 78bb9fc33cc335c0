"""Files that several processes create together: safely named, locked, and with their space reserved."""

import errno
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from cyclegan.data.cache.plan import Plan
from cyclegan.errors import DataError

try:
    import fcntl
except ImportError:  # Windows has no such locks
    fcntl = None  # type: ignore[assignment]

CHUNK = 2**20
REMEDY = "remove it, or set data.cache=none; data.cache_dir names another folder for data.cache=disk"


@contextmanager
def exclusive(path: Path, usable: Callable[[int], bool]) -> Iterator[int]:
    """Opens a file of this user, made if it is missing, while all others who want to do so wait.

    A file that is neither empty nor usable loses its name, and a new one takes its place; whoever has it open keeps
    it as it is. On a file system without locks nobody waits: then two may make two files, of which one stays.

    Args:
        path: the file's name.
        usable: tells from the descriptor whether a file that is not empty may stay.

    Yields:
        A descriptor for reading and writing, open until the end of the block.

    Raises:
        DataError: it is a link, belongs to somebody else, or cannot be opened.
    """
    if fcntl is None:
        raise DataError("data.cache=ram and data.cache=disk need Linux or macOS; set data.cache=none")
    while True:
        descriptor = _opened(path)
        try:
            with suppress(OSError):  # a file system without locks
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            if not _is_named(path, descriptor):  # somebody took the name away meanwhile
                continue
            if os.fstat(descriptor).st_size and not usable(descriptor):
                path.unlink(missing_ok=True)
                continue
            yield descriptor
            return
        finally:
            # Not left to close: workers that were forked meanwhile would hold it on.
            with suppress(OSError):
                fcntl.flock(descriptor, fcntl.LOCK_UN)
            os.close(descriptor)


def _opened(path: Path) -> int:
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK, 0o600)
    except OSError as error:
        what = "it is a link" if error.errno == errno.ELOOP else error.strerror
        raise DataError(f"the cache file {path} cannot be opened: {what}; {REMEDY}") from None
    status = os.fstat(descriptor)
    if stat.S_ISREG(status.st_mode) and status.st_uid == os.geteuid() and status.st_nlink <= 1:
        return descriptor
    os.close(descriptor)
    raise DataError(
        f"the cache file {path} is not used, as it is no file of this user alone (owner {status.st_uid}, "
        f"{stat.filemode(status.st_mode)}, names {status.st_nlink}); {REMEDY}"
    )


def _is_named(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(path.lstat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def lay_out(descriptor: int, plan: Plan) -> None:
    """Makes an empty file a cache without images. The header comes last: a file that has it is all there.

    Raises:
        OSError: there is no room, whatever was said before.
    """
    reserve(descriptor, plan.size)
    write_all(descriptor, plan.header, 0)


def reserve(descriptor: int, size: int) -> None:
    """Takes all the space of a file of zeros at once: a mapped file that finds no room later kills the process.

    Raises:
        OSError: there is not as much.
    """
    if hasattr(os, "posix_fallocate"):
        try:
            return os.posix_fallocate(descriptor, 0, size)
        except OSError as error:
            if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL):
                raise
    zeros = bytes(CHUNK)  # macOS and some file systems reserve nothing but what is written
    for offset in range(0, size, CHUNK):
        write_all(descriptor, zeros[: size - offset], offset)
    return None


def write_all(descriptor: int, data: bytes | memoryview, offset: int) -> None:
    """Writes all of `data`.

    Raises:
        OSError: with the system's reason.
    """
    rest = memoryview(data).cast("B")
    while rest:
        written = os.pwrite(descriptor, rest, offset)
        rest, offset = rest[written:], offset + written
