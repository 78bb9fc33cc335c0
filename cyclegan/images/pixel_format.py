"""What the networks see of a domain's images, and how these are stored."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cyclegan.errors import UserError

Pixels = NDArray[np.uint8] | NDArray[np.uint16] | NDArray[np.int16] | NDArray[np.float32]
"""A decoded image (H, W, C), in the type that its file has; float32 stands for all types but these integers."""

FULL_RANGE = {"uint8": (0.0, 255.0), "uint16": (0.0, 65535.0), "int16": (-32768.0, 32767.0)}
"""All that a stored type can hold; the other types have no such range that images would use."""

CONVERSIONS = ("alpha", "grey", "cmyk", "lab")


@dataclass(frozen=True)
class PixelFormat:
    """Which channels and values of an image become the networks' [-1, 1], and what becomes an image again.

    Args:
        channels: that the networks see.
        dtype: "uint8", "uint16", "int16" or "float32": in which images are written; None until files have been
            looked at.
        range: the values that become -1 and 1; what lies outside is clipped. None: all that the stored type can hold.
        page: of a file with several, from 0.
        convert: conversions that lose something and are wanted nevertheless: "alpha" puts transparent pixels onto
            white, "grey" makes one channel of colours, "cmyk" and "lab" make RGB of these.

    Raises:
        UserError: an argument is none of these.
    """

    channels: int = 3
    dtype: str | None = None
    range: tuple[float, float] | None = None
    page: int = 0
    convert: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.channels < 1:
            raise UserError(f"channels={self.channels}: the networks need to see one at least")
        if self.dtype not in (None, "float32", *FULL_RANGE):
            raise UserError(f"dtype={self.dtype}: images are written in one of {', '.join(FULL_RANGE)}, float32")
        if self.range is not None and not -math.inf < self.range[0] < self.range[1] < math.inf:
            raise UserError(f"range={list(self.range)}: two numbers are needed, the smaller one first")
        if self.page < 0:
            raise UserError(f"page={self.page}: pages are counted from 0")
        unknown = [word for word in self.convert if word not in CONVERSIONS]
        if unknown:
            raise UserError(f"convert={list(self.convert)}: {unknown[0]} is none of {', '.join(CONVERSIONS)}")

    def bounds(self, dtype: str) -> tuple[float, float]:
        """The values of this stored type that become -1 and 1.

        Raises:
            UserError: the type has no full range, and none is set.
        """
        if self.range is not None:
            return self.range
        if dtype not in FULL_RANGE:
            raise UserError(f"pixels of type {dtype} need a range: the values that become -1 and 1")
        return FULL_RANGE[dtype]


RGB = PixelFormat()
"""Three channels of 8 bits, or of as many as the file has."""
