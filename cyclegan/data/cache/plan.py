"""What a cache holds, and where in its file each image lies."""

import hashlib
import math
import os
import re
import sys
from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import DTypeLike, NDArray

from cyclegan.errors import DataError

HEADER_BYTES = 512
ALIGNMENT = 64  # a line of the processor's cache: two processes that fill neighbours do not slow each other down
DTYPES = tuple(np.dtype(name) for name in ("uint8", "uint16", "int16", "float32"))
Size = TypeVar("Size", int, NDArray[np.int64])
_FILLED = 1 << 32
_KEY = re.compile(r"[A-Za-z0-9_-]{1,128}")


def mark_of(crc: int) -> int:
    """A filled image's mark, 8 bytes of which no half is ever seen: its CRC-32, and a bit that no empty one has."""
    return _FILLED | crc


class Plan:
    """The images of a cache, and their places in its file.

    Args:
        key: names the cache: letters, digits, - and _. It has to stand for all that the pixels depend on: which files,
            their contents, how they are decoded and resized, and by which versions of the libraries.
        shapes: int (N, 3): channels, height and width of each image.
        dtype: uint8, uint16, int16 or float32.

    Raises:
        ValueError: the key, a shape or the type is none of these.
    """

    def __init__(self, key: str, shapes: NDArray[np.integer[Any]], dtype: DTypeLike) -> None:
        if not _KEY.fullmatch(key):
            raise ValueError(f"a cache's key has at most 128 letters, digits, - and _, not {key!r}")
        if shapes.ndim != 2 or shapes.shape[1] != 3 or (shapes < 1).any():
            raise ValueError(
                f"shapes of a cache are (N, 3) of 1 and more, not {shapes.shape} from {shapes.min(initial=0)}"
            )
        self.key = key
        self.shapes = shapes
        self.dtype = np.dtype(dtype)
        if self.dtype not in DTYPES:
            raise ValueError(f"a cache holds {', '.join(map(str, DTYPES))}, not {self.dtype}")
        self.offsets, self.size = self._places()
        self.header = self._header()

    @classmethod
    def equal(cls, key: str, count: int, shape: tuple[int, int, int], dtype: DTypeLike) -> "Plan":
        """A plan for `count` images of one shape (channels, height, width); takes no memory for each of them."""
        return cls(key, np.broadcast_to(np.array(shape, np.int32), (count, 3)), dtype)

    def __len__(self) -> int:
        return len(self.shapes)

    def shape(self, i: int) -> tuple[int, int, int]:
        """Channels, height and width of image i.

        Raises:
            IndexError: there is no such image.
        """
        if not 0 <= i < len(self.shapes):
            raise IndexError(f"the cache {self.key} has images 0 to {len(self.shapes) - 1}, not {i}")
        channels, height, width = self.shapes[i].tolist()
        return channels, height, width

    def nbytes(self, shape: tuple[int, int, int]) -> int:
        """Bytes of an image's pixels."""
        return math.prod(shape) * self.dtype.itemsize

    def fits(self, descriptor: int) -> bool:
        """Whether an open file was laid out, to its end, for this plan."""
        return os.fstat(descriptor).st_size == self.size and os.pread(descriptor, HEADER_BYTES, 0) == self.header

    def checked(self, i: int, pixels: NDArray[Any]) -> NDArray[Any]:
        """The pixels in one piece.

        Raises:
            DataError: they are not as planned.
        """
        if pixels.shape != self.shape(i) or pixels.dtype != self.dtype:
            raise DataError(
                f"the image is {_text(pixels.shape)} {pixels.dtype}, and the cache was laid out for "
                f"{_text(self.shape(i))} {self.dtype}: the file was exchanged since; start the run again"
            )
        return np.ascontiguousarray(pixels)

    def _places(self) -> tuple[Sequence[int] | NDArray[np.int64], int]:
        """Where each image begins, and where the file ends."""
        begin = _aligned(HEADER_BYTES + 8 * len(self))
        if self.shapes.strides[0] == 0 and len(self):  # of `equal`
            step = _aligned(self.nbytes(self.shape(0)))
            end = begin + len(self) * step
            return range(begin, end, step), end
        steps = _aligned(self.shapes.prod(axis=1, dtype=np.int64) * self.dtype.itemsize)
        ends = begin + np.cumsum(steps)
        return ends - steps, int(ends[-1]) if len(self) else begin

    def _header(self) -> bytes:
        shapes = hashlib.sha256(np.ascontiguousarray(self.shapes, "<i8").tobytes()).hexdigest()
        text = (
            f"cyclegan cache 1\nkey {self.key}\n{len(self)} images {self.dtype} {sys.byteorder}\n"
            f"shapes {shapes}\n{self.size} bytes\n"
        )
        return text.encode().ljust(HEADER_BYTES, b"\0")


def distinct(plans: Iterable[Plan]) -> list[Plan]:
    """One plan for each key, in the order of the keys: who locks several caches does so in this order.

    Raises:
        ValueError: two plans have one key and are not the same.
    """
    by_key: dict[str, Plan] = {}
    for plan in plans:
        if by_key.setdefault(plan.key, plan).header != plan.header:
            raise ValueError(f"two different caches have the key {plan.key}")
    return [by_key[key] for key in sorted(by_key)]


def _aligned(size: Size) -> Size:
    return -(-size // ALIGNMENT) * ALIGNMENT


def _text(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape))
