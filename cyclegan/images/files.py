"""Opening the files of images, and nothing else that may bear an image's name."""

import errno
import os
import stat
from io import FileIO
from pathlib import Path

from cyclegan.errors import DiskError, ImageError

_FLAGS = (
    os.O_RDONLY
    # A FIFO without a writer would let open() wait for ever.
    | getattr(os, "O_NONBLOCK", 0)
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_BINARY", 0)
)


_TAKE_OUT = "take it out of the data set (which a run that is resumed does not allow)"
_REMEDIES = {
    errno.ENOENT: f"put it back, or {_TAKE_OUT}",
    errno.EACCES: "make it readable (chmod +r)",
    errno.EPERM: "make it readable",
    errno.ELOOP: f"its links lead in a circle: mend them, or {_TAKE_OUT}",
    errno.ENAMETOOLONG: "give it a shorter name",
}
_LOOK_AT_THE_DISK = "see whether the disk or the network folder that holds it is all right"


def open_file(path: str | Path) -> FileIO:
    """Opens an ordinary file to read it, without a buffer.

    Raises:
        ImageError: it is missing, no ordinary file, or not to be opened; DiskError if that is the disk's fault.
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
        ImageError: it is missing, no ordinary file, or not to be read; DiskError if that is the disk's fault.
    """
    with open_file(path) as file:
        try:
            return file.readall()
        except OSError as error:
            raise _unreadable(path, error) from error


def _unreadable(path: str | Path, error: OSError | ValueError) -> ImageError:
    if not isinstance(error, OSError):
        return ImageError(f"{path}: cannot be read ({error}): give it another name")
    if error.errno in _REMEDIES:
        return ImageError(f"{path}: cannot be read ({error.strerror}): {_REMEDIES[error.errno]}")
    return DiskError(f"{path}: cannot be read ({error.strerror or error}): {_LOOK_AT_THE_DISK}")
