"""A part of an open file, read as if it were a file."""

import io
import os


class Part(io.RawIOBase):
    """Bytes `begin` to `begin + size` of a file; reads nothing that is not asked for.

    Args:
        descriptor: of the file, which stays open and whose own position does not matter.
        begin: where the part begins.
        size: of the part.
    """

    def __init__(self, descriptor: int, begin: int, size: int) -> None:
        self._descriptor = descriptor
        self._begin = begin
        self._size = size
        self._position = 0

    def readable(self) -> bool:
        """It can be read."""
        return True

    def seekable(self) -> bool:
        """Every place in it can be gone to."""
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Goes to a place in the part."""
        origin = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size}[whence]
        self._position = max(0, origin + offset)
        return self._position

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Fills the buffer with what comes next, as far as it goes."""
        wanted = max(0, min(len(buffer), self._size - self._position))
        data = os.pread(self._descriptor, wanted, self._begin + self._position)
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)
