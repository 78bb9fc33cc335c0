"""Decode TIFF with any number of bands, of any type, on any page."""

from io import BytesIO
from typing import IO, TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from cyclegan.errors import ImageError
from cyclegan.images.header import (
    Header,
    Stored,
    Wanted,
    mode_name,
    native,
    require_decodable,
    require_size,
    scale_to_full_range,
    upright,
    upright_size,
)
from cyclegan.images.pillow_formats import require_intact_jpeg

if TYPE_CHECKING:  # tifffile is slow to import
    from tifffile import TiffFile, TiffPage

_WHITE_IS_ZERO, _YCBCR, _LAB = 0, 6, (8, 9, 10)
_COLOURS = {0: ("L", 1), 1: ("L", 1), 2: ("RGB", 3), 3: ("P", 1), 5: ("CMYK", 4), 6: ("RGB", 3)}
"""Mode and number of channels of each value of the tag PhotometricInterpretation that is supported."""
_OLD_JPEG, _JPEG = 6, (7, 33007, 34892)
_PREMULTIPLIED = 1


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
        _require_segments(page, data, wanted)
        pixels = page.asarray(squeeze=False, maxworkers=1)  # samples, 1, height, width, samples
    pixels = native(np.moveaxis(pixels[:, 0], 0, 2)[..., 0] if pixels.shape[0] > 1 else pixels[0, 0])
    pixels, colours = _interpreted(pixels, page)
    profile = page.tags.get(34675)
    return Stored(upright(pixels, _orientation(page)), colours, profile.value if profile else b"")


def _page(tiff: "TiffFile", number: int) -> "TiffPage":
    return cast("TiffPage", tiff.pages[min(number, len(tiff.pages) - 1)])


def _header(page: "TiffPage", pages: int) -> Header:
    width, height = upright_size(page.imagewidth, page.imagelength, _orientation(page))
    colours, channels = _colours(page)
    dtype = _dtype_name(page)
    if colours == "P":
        dtype = _palette(page).dtype.name
        mode, channels = mode_name("P", 1, dtype), 3
    elif colours == "L" and page.dtype == np.bool_:
        mode = "1"
    else:
        mode = mode_name(colours, channels, dtype)
    return Header("TIFF", mode, width, height, channels, dtype, pages)


def _colours(page: "TiffPage") -> tuple[str, int]:
    """Return one of `COLOURS`, "P" or "bands", and the number of channels."""
    channels = page.samplesperpixel
    colours, own = _COLOURS.get(page.photometric, ("bands", channels))
    if channels == own:
        return colours, channels
    if channels == own + 1 and colours in ("L", "RGB") and tuple(page.extrasamples)[-1:] in ((1,), (2,)):
        return colours + "A", channels
    return "bands", channels


def _dtype_name(page: "TiffPage") -> str:
    if page.dtype is None:
        raise ValueError(f"its pixels, of {page.bitspersample} bits and kind {page.sampleformat}, are not supported")
    dtype = np.dtype(page.dtype)
    return "uint8" if dtype == np.bool_ else dtype.name


def _orientation(page: "TiffPage") -> int:
    tag = page.tags.get(274)
    return int(tag.value) if tag is not None and tag.count == 1 else 1


def _require_segments(page: "TiffPage", data: bytes, wanted: Wanted) -> None:
    """Refuse a page with a missing strip or tile: it would be decoded as black."""
    unsupported = {
        "old-style JPEG compression": page.compression == _OLD_JPEG,
        "YCbCr without JPEG": page.photometric == _YCBCR and page.compression not in _JPEG,
        "LAB colours": page.photometric in _LAB,
    }
    for kind in (kind for kind, found in unsupported.items() if found):
        raise ImageError(f"{wanted.name}: is a TIFF with {kind}, which is not supported; save it as RGB")
    if page.imagedepth != 1:
        raise ImageError(f"{wanted.name}: is a volume of depth {page.imagedepth}; save its layers as pages")
    if page.is_tiled:
        require_size(page.tilewidth, page.tilelength, wanted)
    rows = page.tilelength if page.is_tiled else page.rowsperstrip
    across = -(-page.imagewidth // page.tilewidth) if page.is_tiled else 1
    planes = page.samplesperpixel if page.planarconfig == 2 else 1
    count = planes * across * -(-page.imagelength // max(rows, 1))
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
    """Apply palette, bit depth, polarity and premultiplied alpha to pixels (H, W, C)."""
    colours, _ = _colours(page)
    if colours == "P":
        return _palette(page)[pixels[..., 0]], "RGB"
    bits = page.bitspersample
    if pixels.dtype == np.bool_:
        pixels = pixels.astype(np.uint8) * np.uint8(255)
    elif pixels.dtype.kind == "u" and bits < 8 * pixels.dtype.itemsize and pixels.dtype.itemsize <= 2:
        pixels = scale_to_full_range(pixels, (1 << bits) - 1)
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
    if not (colours % 257).any():
        return (colours // 257).astype(np.uint8)
    if not (colours & 255).any():
        return (colours >> 8).astype(np.uint8)
    return colours.astype(np.uint8 if colours.max() < 256 else np.uint16)  # a common mistake: 8-bit values in 16 bits
