"""Headers: the size and type of an image before it is decoded, and whether it can become the wanted format."""

from typing import Any, NamedTuple

from numpy.typing import NDArray

from cyclegan.errors import ImageError
from cyclegan.images.pixel_format import FULL_RANGE, RGB, PixelFormat

MAX_PIXELS = 89_478_485
"""Default limit of width × height, against decompression bombs; Pillow warns from the same size on."""

COLOURS = {"L": 1, "LA": 2, "RGB": 3, "RGBA": 4, "CMYK": 4}
"""Colours whose channels have a meaning, with their number. The channels of all other images are "bands"."""


class Header(NamedTuple):
    """Properties of an image that are known before it is decoded."""

    format: str  # "JPEG", "PNG", "TIFF", "NPY" ...
    colours: str  # one of COLOURS, or "bands"; of a palette, the colours in it
    width: int  # upright, like the result of `decode`
    height: int
    channels: int  # as stored; for a palette, the channels of its colours
    dtype: str  # as stored, as a numpy name; less than 8 bits count as "uint8"
    pages: int

    @property
    def mode(self) -> str:
        """Colours and type, for messages: "RGB", "L;uint16", "6×uint16"."""
        if self.colours == "bands":
            return f"{self.channels}×{self.dtype}"
        return self.colours if self.dtype == "uint8" else f"{self.colours};{self.dtype}"


class Wanted(NamedTuple):
    """Arguments of `decode`."""

    name: str  # of the file, for errors
    pixel_format: PixelFormat = RGB
    at_least: tuple[int, int] | None = None
    max_pixels: int = MAX_PIXELS


class Stored(NamedTuple):
    """A decoded image before any conversion."""

    pixels: NDArray[Any]  # (H, W, C), upright
    colours: str  # one of COLOURS, or "bands"
    profile: bytes = b""  # ICC profile


def require_suitable(header: Header, pixel_format: PixelFormat, name: str, max_pixels: int = MAX_PIXELS) -> None:
    """Refuse an image if its header shows that it cannot be read in this format.

    Raises:
        ImageError: too many pixels, no such page, the wrong number of bands, a conversion that is not allowed, or a
            type of pixels that needs a range.
    """
    require_decodable(header, Wanted(name, pixel_format.decoded, None, max_pixels))
    if header.dtype not in FULL_RANGE and pixel_format.range is None:
        raise ImageError(
            f"{name}: its pixels are {header.dtype}, and its domain has no range; "
            "set the values that become -1 and 1, such as range=[0, 1]"
        )


def require_decodable(header: Header, wanted: Wanted) -> None:
    """Check all that `require_suitable` checks except the range, for which `decode` suggests values."""
    name, pixel_format = wanted.name, wanted.pixel_format
    require_size(header.width, header.height, wanted)
    if pixel_format.page >= header.pages:
        raise ImageError(
            f"{name}: has no page {pixel_format.page}, counted from 0, because its number of pages is {header.pages}; "
            "set the page of its domain to one that every file has"
        )
    if (header.colours == "bands" or pixel_format.channels > 4) and header.channels != pixel_format.channels:
        raise ImageError(
            f"{name}: has {header.channels} channels ({header.mode}), but its domain asks for "
            f"{pixel_format.channels}; set channels={header.channels}, or convert the file"
        )
    if header.colours == "CMYK" and "cmyk" not in pixel_format.convert:
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
