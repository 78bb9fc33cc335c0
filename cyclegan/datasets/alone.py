"""One download of a data set at a time."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from cyclegan.datasets.fetch import DownloadError

try:
    import fcntl
except ImportError:  # Windows has no such locks
    fcntl = None  # type: ignore[assignment]


@contextmanager
def alone(name: str, root: Path) -> Iterator[None]:
    """Keeps a second download of the same set out, and clears away what a killed one had half unpacked.

    The system gives the lock up with the process, however it ends.

    Raises:
        DownloadError: another process is at it.
    """
    path = root / f".{name}.lock"
    with _opened(path) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DownloadError(
                f"another process is fetching {name} to {root}: wait for it, or give another --output"
            ) from None
        except (OSError, AttributeError):  # without locks, who else may be unpacking there cannot be told
            yield
            return
        try:
            for left in root.glob(f".{name}-{'[0-9a-f]' * 8}"):
                shutil.rmtree(left, ignore_errors=True)
            yield
        finally:
            path.unlink(missing_ok=True)


def _opened(path: Path) -> IO[str]:
    """The lock file, made if it is missing; not one whose name its holder is just taking away."""
    while True:
        file = path.open("a", encoding="utf-8")
        try:
            if os.path.samestat(path.lstat(), os.fstat(file.fileno())):
                return file
        except FileNotFoundError:
            pass
        file.close()
