"""What stands between a file and its pixels: what it says about itself, what is wanted of it, what it holds."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cyclegan.images.pixel_format import RGB, PixelFormat

MAX_PIXELS = 89_478_485
"""Width × height above which an image is taken for a decompression bomb; Pillow warns from there on."""

COLOURS = {"L": 1, "LA": 2, "RGB": 3, "RGBA": 4, "CMYK": 4, "LAB": 3}
"""Modes whose channels have a meaning, and how many they have; of any other image they are mere bands."""


class Header(NamedTuple):
    """What a file says about its image before it is decoded."""

    format: str  # "JPEG", "PNG", "TIFF", "NPY" ...
    mode: str  # for people: "RGB", "L", "CMYK", "RGB;uint16", "6×uint16" ...
    width: int  # upright, as `decode` gives it
    height: int
    channels: int  # as stored; of a palette, those of its colours
    dtype: str  # as stored, in numpy's words; less than 8 bits count as "uint8"
    pages: int

    @property
    def colours(self) -> str | None:
        """The mode without its depth, one of `COLOURS`; None if the channels are mere bands."""
        name = {"1": "L", "P": "RGB", "PA": "RGBA"}.get(self.mode, self.mode.partition(";")[0])
        return name if name in COLOURS else None


class Wanted(NamedTuple):
    """What is asked of an image."""

    name: str  # of its file, for errors
    pixel_format: PixelFormat = RGB
    at_least: tuple[int, int] | None = None
    max_pixels: int = MAX_PIXELS


class Stored(NamedTuple):
    """An image as its file holds it."""

    pixels: NDArray[Any]  # (H, W, C), upright
    mode: str  # one of COLOURS, or "bands"
    profile: bytes = b""  # of its colours, as ICC defines them


def mode_name(colours: str, channels: int, dtype: str) -> str:
    """The mode as people read it, of one of `COLOURS` or "bands"."""
    if colours == "bands":
        return f"{channels}×{dtype}"
    return colours if dtype == "uint8" else f"{colours};{dtype}"


def upright_size(width: int, height: int, orientation: int) -> tuple[int, int]:
    """Width and height of an image that is stored in one of the eight orientations of EXIF and TIFF."""
    return (height, width) if orientation in (5, 6, 7, 8) else (width, height)


def upright(pixels: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Turns pixels (H, W, C) that are stored in one of the eight orientations of EXIF and TIFF.

    Source: TIFF 6.0, tag Orientation: which sides of the image the first row and the first column are.
    """
    if orientation in (5, 6, 7, 8):
        pixels = pixels.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return pixels


def native(pixels: NDArray[Any]) -> NDArray[Any]:
    """The same values in the byte order of this machine."""
    return pixels.astype(pixels.dtype.newbyteorder("="), copy=False)


def bits_scaled(values: NDArray[Any], largest: int) -> NDArray[Any]:
    """Integers of 0..largest as uint8 of 0..255 or uint16 of 0..65535; every value keeps one of its own."""
    full, dtype = (255, np.uint8) if largest < 256 else (65535, np.uint16)
    if largest == full:
        return values.astype(dtype, copy=False)
    return ((values.astype(np.uint64) * full + largest // 2) // largest).astype(dtype)
