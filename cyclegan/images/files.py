"""Opening the files of pictures, and nothing else that may bear a picture's name."""

import errno
import os
import stat
from io import FileIO
from pathlib import Path

from cyclegan.images.errors import ImageError

_FLAGS = (
    os.O_RDONLY
    # A FIFO without a writer would let open() wait for ever.
    | getattr(os, "O_NONBLOCK", 0)
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_BINARY", 0)
)


_REMEDIES = {
    errno.ENOENT: "put it back, or take it out of the data set (which a run that is resumed does not allow)",
    errno.EACCES: "make it readable (chmod +r)",
}
_LOOK_AT_THE_DISK = "see whether the disk or the network folder that holds it is all right"


def open_file(path: str | Path) -> FileIO:
    """Opens an ordinary file to read it, without a buffer.

    Raises:
        ImageError: it is missing, no ordinary file, or not to be opened.
    """
    try:
        return FileIO(path, opener=_open_ordinary)
    except ImageError:
        raise
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the path
        raise _unreadable(path, error) from error


def _open_ordinary(path: str, _: int) -> int:
    descriptor = os.open(path, _FLAGS)
    file_mode = os.fstat(descriptor).st_mode
    if stat.S_ISREG(file_mode):
        return descriptor
    os.close(descriptor)
    found = "a folder" if stat.S_ISDIR(file_mode) else "a pipe, socket or device"
    raise ImageError(f"{path}: is {found}, no file; take it away, or give it another ending")


def content(path: str | Path) -> bytes:
    """All bytes of an ordinary file.

    Raises:
        ImageError: it is missing, no ordinary file, or not to be read.
    """
    with open_file(path) as file:
        try:
            return file.readall()
        except OSError as error:
            raise _unreadable(path, error) from error


def _unreadable(path: str | Path, error: OSError | ValueError) -> ImageError:
    number, reason = (error.errno, error.strerror) if isinstance(error, OSError) else (None, None)
    remedy = _REMEDIES.get(number or 0, _LOOK_AT_THE_DISK)
    return ImageError(f"{path}: cannot be read ({reason or error}): {remedy}")
