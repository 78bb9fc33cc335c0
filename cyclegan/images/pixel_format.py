"""Pixel formats: how the stored values of a domain's images correspond to the networks' [-1, 1]."""

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from cyclegan.errors import UserError

Pixels = NDArray[np.uint8] | NDArray[np.uint16] | NDArray[np.int16] | NDArray[np.float32]
"""A decoded image (H, W, C) in the type of its file; types other than these integers become float32."""

FULL_RANGE = {"uint8": (0.0, 255.0), "uint16": (0.0, 65535.0), "int16": (-32768.0, 32767.0)}
"""Types whose smallest and largest value become -1 and 1 by default; the other types need an explicit range."""

CONVERSIONS = ("alpha", "grey", "cmyk")


@dataclass(frozen=True)
class PixelFormat:
    """Channels, values and allowed conversions of a domain's images.

    Args:
        channels: number of channels that the networks see.
        dtype: type in which images are written: "uint8", "uint16", "int16" or "float32". None: the type of the
            domain's files, which is looked up later.
        range: values that become -1 and 1; values outside are clipped. None: the full range of the stored type.
        page: page of files with several, from 0.
        convert: allowed conversions that lose something: "alpha" (transparent pixels onto white), "grey" (colours to
            grey) and "cmyk" (CMYK to RGB).
        lightness: whether the networks see the lightness L of CIE Lab, one channel, of files that are read as RGB.

    Raises:
        UserError: an argument is invalid.
    """

    channels: int = 3
    dtype: str | None = None
    range: tuple[float, float] | None = None
    page: int = 0
    convert: tuple[str, ...] = ()
    lightness: bool = False

    def __post_init__(self) -> None:
        if self.channels < 1:
            raise UserError(f"channels={self.channels}: at least 1 is needed")
        if self.dtype not in (None, "float32", *FULL_RANGE):
            raise UserError(f"dtype={self.dtype}: images are written as one of {', '.join(FULL_RANGE)}, float32")
        if self.range is not None and not -math.inf < self.range[0] < self.range[1] < math.inf:
            raise UserError(f"range={list(self.range)}: two finite numbers are needed, the smaller one first")
        if self.page < 0:
            raise UserError(f"page={self.page}: pages are counted from 0")
        unknown = [word for word in self.convert if word not in CONVERSIONS]
        if unknown:
            raise UserError(f"convert={list(self.convert)}: {unknown[0]} is none of {', '.join(CONVERSIONS)}")
        if self.lightness and self.channels != 1:
            raise UserError(f"channels={self.channels}: lightness is one channel, set channels=1 or lightness=false")

    @property
    def decoded(self) -> "PixelFormat":
        """The format to decode files to: RGB if the networks see its lightness."""
        return replace(self, channels=3, lightness=False) if self.lightness else self

    def bounds(self, dtype: str) -> tuple[float, float]:
        """Return the values of a stored type that become -1 and 1.

        Raises:
            UserError: the type has no full range, and `range` is not set.
        """
        if self.range is not None:
            return self.range
        if dtype not in FULL_RANGE:
            raise UserError(f"pixels of type {dtype} need a range: the values that become -1 and 1")
        return FULL_RANGE[dtype]


RGB = PixelFormat()
"""Three channels in the full range of the file's type."""
