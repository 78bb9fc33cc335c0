"""Headers: the size and type of an image before it is decoded, and whether it can become the wanted format."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cyclegan.errors import ImageError
from cyclegan.images.pixel_format import FULL_RANGE, RGB, PixelFormat

MAX_PIXELS = 89_478_485
"""Default limit of width × height, against decompression bombs; Pillow warns from the same size on."""

COLOURS = {"L": 1, "LA": 2, "RGB": 3, "RGBA": 4, "CMYK": 4}
"""Modes whose channels have a meaning, with their numbers of channels. All other images have mode "bands"."""


class Header(NamedTuple):
    """Properties of an image that are known before it is decoded."""

    format: str  # "JPEG", "PNG", "TIFF", "NPY" ...
    mode: str  # for messages: "RGB", "L", "CMYK", "RGB;uint16", "6×uint16" ...
    width: int  # upright, like the result of `decode`
    height: int
    channels: int  # as stored; for a palette, the channels of its colours
    dtype: str  # as stored, as a numpy name; less than 8 bits count as "uint8"
    pages: int

    @property
    def colours(self) -> str | None:
        """One of `COLOURS`: the mode without its type; None if the channels have no meaning."""
        name = {"1": "L", "P": "RGB", "PA": "RGBA"}.get(self.mode, self.mode.partition(";")[0])
        return name if name in COLOURS else None


class Wanted(NamedTuple):
    """Arguments of `decode`."""

    name: str  # of the file, for errors
    pixel_format: PixelFormat = RGB
    at_least: tuple[int, int] | None = None
    max_pixels: int = MAX_PIXELS


class Stored(NamedTuple):
    """A decoded image before any conversion."""

    pixels: NDArray[Any]  # (H, W, C), upright
    mode: str  # one of COLOURS, or "bands"
    profile: bytes = b""  # ICC profile


def require_suitable(header: Header, pixel_format: PixelFormat, name: str, max_pixels: int = MAX_PIXELS) -> None:
    """Refuse an image if its header shows that it cannot be read in this format.

    Raises:
        ImageError: too many pixels, no such page, the wrong number of bands, a conversion that is not allowed, or a
            type of pixels that needs a range.
    """
    require_decodable(header, Wanted(name, pixel_format, None, max_pixels))
    if header.dtype not in FULL_RANGE and pixel_format.range is None:
        raise ImageError(
            f"{name}: its pixels are {header.dtype}, and which values are to become -1 and 1 is not set; "
            "set the range of its domain, such as range=[0, 1]"
        )


def require_decodable(header: Header, wanted: Wanted) -> None:
    """Check as `require_suitable` does, except for the range: without one, the pixels show which is possible."""
    name, pixel_format = wanted.name, wanted.pixel_format
    require_size(header.width, header.height, wanted)
    if pixel_format.page >= header.pages:
        count = "one page" if header.pages == 1 else f"{header.pages} pages"
        raise ImageError(
            f"{name}: has {count}, so there is no page {pixel_format.page}, counted from 0; "
            "set the page of its domain to one that every file has"
        )
    colours = header.colours
    if colours is None or pixel_format.channels > 4:
        if header.channels != pixel_format.channels:
            raise ImageError(
                f"{name}: has {header.channels} channels ({header.mode}), but its domain asks for "
                f"{pixel_format.channels}; set channels={header.channels}, or convert the file"
            )
    elif colours == "CMYK" and "cmyk" not in pixel_format.convert:
        raise ImageError(
            f"{name}: is CMYK, which can be converted to RGB only approximately; save it as RGB, "
            "or allow the conversion: add cmyk to the conversions of its domain, convert=[cmyk]"
        )


def require_size(width: int, height: int, wanted: Wanted) -> None:
    """Refuse an image without pixels or with more than `wanted.max_pixels`."""
    if width < 1 or height < 1:
        raise ImageError(f"{wanted.name}: its header gives {width}×{height} pixels; replace it with an intact file")
    if width * height > wanted.max_pixels:
        raise ImageError(
            f"{wanted.name}: its header gives {width}×{height} pixels, more than the limit of {wanted.max_pixels} "
            "against files made to exhaust memory. If you trust it, raise data.max_pixels, or --max-pixels of a command"
        )


def mode_name(colours: str, channels: int, dtype: str) -> str:
    """Return the mode of a `Header` for one of `COLOURS` or "bands"."""
    if colours == "bands":
        return f"{channels}×{dtype}"
    return colours if dtype == "uint8" else f"{colours};{dtype}"


def upright_size(width: int, height: int, orientation: int) -> tuple[int, int]:
    """Return width and height after `upright`."""
    return (height, width) if orientation in (5, 6, 7, 8) else (width, height)


def upright(pixels: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Rotate and flip pixels (H, W, C) according to an EXIF or TIFF orientation, 1 to 8."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return pixels


def native(pixels: NDArray[Any]) -> NDArray[Any]:
    """Convert pixels to the byte order of this machine."""
    return pixels.astype(pixels.dtype.newbyteorder("="), copy=False)


def scale_to_full_range(values: NDArray[Any], largest: int) -> NDArray[Any]:
    """Scale integers in 0..largest to uint8 in 0..255, or to uint16 in 0..65535 where 8 bits are too few."""
    full, dtype = (255, np.uint8) if largest < 256 else (65535, np.uint16)
    if largest == full:
        return values.astype(dtype, copy=False)
    return ((values.astype(np.uint64) * full + largest // 2) // largest).astype(dtype)
