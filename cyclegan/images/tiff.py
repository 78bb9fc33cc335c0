"""Decode TIFF with any number of bands, of any type, on any page."""

import math
from io import BytesIO
from typing import IO, TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from cyclegan.errors import ImageError
from cyclegan.images.header import Header, Stored, Wanted, require_decodable, require_size, upright, upright_size
from cyclegan.images.pillow_formats import require_intact_jpeg

if TYPE_CHECKING:  # tifffile is slow to import
    from tifffile import TiffFile, TiffPage

_WHITE_IS_ZERO, _YCBCR, _LAB = 0, 6, (8, 9, 10)
_COLOURS = {0: ("L", 1), 1: ("L", 1), 2: ("RGB", 3), 3: ("palette", 1), 5: ("CMYK", 4), 6: ("RGB", 3)}
"""Colours and number of channels of each value of the tag PhotometricInterpretation that is supported."""
_OLD_JPEG, _JPEG = 6, (7, 33007, 34892)
_PREMULTIPLIED, _UNASSOCIATED = 1, 2


def header(file: IO[bytes], number: int) -> Header:
    """Read the header of a page; of the last one if there are fewer."""
    from tifffile import TiffFile

    with TiffFile(file) as tiff:
        pages = len(tiff.pages)
        return _header(_page(tiff, number), pages)


def decode(data: bytes, wanted: Wanted) -> Stored:
    """Decode the wanted page."""
    from tifffile import TiffFile

    with TiffFile(BytesIO(data)) as tiff:
        page = _page(tiff, wanted.pixel_format.page)
        require_decodable(_header(page, len(tiff.pages)), wanted)
        _require_complete(page, data, wanted)
        pixels = page.asarray(squeeze=False, maxworkers=1)  # planes, depth, height, width, samples
    pixels = np.moveaxis(pixels[:, 0], 0, 2)[..., 0] if pixels.shape[0] > 1 else pixels[0, 0]
    pixels, colours = _interpreted(pixels, page)
    profile = page.tags.get(34675)
    return Stored(upright(pixels, _orientation(page)), colours, profile.value if profile else b"")


def _page(tiff: "TiffFile", number: int) -> "TiffPage":
    return cast("TiffPage", tiff.pages[min(number, len(tiff.pages) - 1)])


def _header(page: "TiffPage", pages: int) -> Header:
    if page.dtype is None:
        raise ValueError(f"its pixels, of {page.bitspersample} bits and kind {page.sampleformat}, are not supported")
    width, height = upright_size(page.imagewidth, page.imagelength, _orientation(page))
    colours, channels = _colours(page), page.samplesperpixel
    dtype = "uint8" if page.dtype == np.bool_ else np.dtype(page.dtype).name
    if colours == "palette":
        colours, channels, dtype = "RGB", 3, _palette(page).dtype.name
    return Header("TIFF", colours, width, height, channels, dtype, pages)


def _colours(page: "TiffPage") -> str:
    """Return one of `COLOURS`, "palette" or "bands"."""
    channels = page.samplesperpixel
    colours, own = _COLOURS.get(page.photometric, ("bands", channels))
    if channels == own:
        return colours
    alpha = tuple(page.extrasamples)[-1:] in ((_PREMULTIPLIED,), (_UNASSOCIATED,))
    return colours + "A" if channels == own + 1 and colours in ("L", "RGB") and alpha else "bands"


def _orientation(page: "TiffPage") -> int:
    tag = page.tags.get(274)
    return int(tag.value) if tag is not None and tag.count == 1 else 1


def _require_complete(page: "TiffPage", data: bytes, wanted: Wanted) -> None:
    """Refuse a page of an unsupported kind or without all its strips or tiles, which would be decoded as black."""
    ycbcr = page.photometric == _YCBCR and page.compression not in _JPEG
    if ycbcr or page.photometric in _LAB or page.compression == _OLD_JPEG or page.imagedepth != 1:
        raise ImageError(
            f"{wanted.name}: is a TIFF with {page.photometric!r}, {page.compression!r} and depth {page.imagedepth}, "
            "which is not supported; save it as RGB, and each layer as a page"
        )
    if page.is_tiled:
        require_size(page.tilewidth, page.tilelength, wanted)
    count = math.prod(page.chunked)
    segments = list(zip(page.dataoffsets, page.databytecounts, strict=False))
    if len(segments) < count and not page.is_contiguous:
        raise ImageError(
            f"{wanted.name}: {len(data)} bytes of a TIFF with {len(segments)} of its {count} strips or tiles"
        )
    for number, (offset, size) in enumerate(segments):
        if offset <= 0 or size <= 0 or offset + size > len(data):
            raise ImageError(
                f"{wanted.name}: {len(data)} bytes of a TIFF that is cut off or was never finished: strip or tile "
                f"{number} of {count} should be {size} bytes at byte {offset}; replace it with an intact file"
            )
        if page.compression in _JPEG:
            require_intact_jpeg(data[offset : offset + size], wanted.name)


def _interpreted(pixels: NDArray[Any], page: "TiffPage") -> tuple[NDArray[Any], str]:
    """Apply palette, bit depth and polarity to pixels (H, W, C), and return them with their colours."""
    colours = _colours(page)
    if colours == "palette":
        return _palette(page)[pixels[..., 0]], "RGB"
    largest = (1 << page.bitspersample) - 1
    if pixels.dtype == np.bool_:
        pixels = pixels.astype(np.uint8) * np.uint8(255)
    elif pixels.dtype in (np.uint8, np.uint16) and largest < np.iinfo(pixels.dtype).max:
        full = np.iinfo(pixels.dtype).max
        pixels = ((pixels.astype(np.uint64) * full + largest // 2) // largest).astype(pixels.dtype)
    if page.photometric == _WHITE_IS_ZERO:
        if pixels.dtype.kind not in "iu":
            raise ValueError("its white is 0, and for floating-point pixels black is undefined")
        pixels = pixels.copy()
        pixels[..., 0] = ~pixels[..., 0]
    elif colours in ("LA", "RGBA") and page.extrasamples[-1] == _PREMULTIPLIED:
        pixels = _undo_premultiplication(pixels)
    return pixels, colours


def _undo_premultiplication(pixels: NDArray[Any]) -> NDArray[Any]:
    full = 1.0 if pixels.dtype.kind == "f" else float(np.iinfo(pixels.dtype).max)
    alpha = pixels[..., -1:].astype(np.float64)
    colours = pixels[..., :-1] * (full / np.where(alpha > 0, alpha, full))
    colours = colours if pixels.dtype.kind == "f" else colours.round().clip(0, full)
    return np.concatenate([colours.astype(pixels.dtype), pixels[..., -1:]], axis=2)


def _palette(page: "TiffPage") -> NDArray[Any]:
    """Return the colours (N, 3) of a palette, as uint8 unless they need 16 bits."""
    if page.colormap is None:
        raise ValueError("its palette is missing")
    colours = np.ascontiguousarray(page.colormap.T)
    for step in (257, 256, 1):  # 1: some programs write values of 8 bits, although the standard has 16
        if not (colours % step).any() and colours.max() <= 255 * step:
            return (colours // step).astype(np.uint8)
    return colours
