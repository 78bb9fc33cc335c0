"""TIFF: any number of bands, of any type, on any page."""

from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from typing import IO, TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from cyclegan.errors import ImageError
from cyclegan.images.header import Header, Stored, Wanted, bits_scaled, mode_name, native, upright, upright_size
from cyclegan.images.jpeg import require_whole
from cyclegan.images.suitable import require_decodable, require_room

if TYPE_CHECKING:  # tifffile takes a moment
    from tifffile import TiffFile, TiffPage

_WHITE_IS_ZERO, _PALETTE, _YCBCR, _ICC_LAB = 0, 3, 6, 9
_COLOURS = {0: ("L", 1), 1: ("L", 1), 2: ("RGB", 3), 3: ("P", 1), 5: ("CMYK", 4), 6: ("RGB", 3), 8: ("LAB", 3)}
_COLOURS[_ICC_LAB] = ("LAB", 3)
_OLD_JPEG, _JPEG = 6, (7, 33007, 34892)
_PREMULTIPLIED, _ALPHA = 1, (1, 2)
_MOST_PAGES = 100_000


def header(file: IO[bytes], number: int) -> Header:
    """What the file says about the image on a page; if there are fewer, about the last one."""
    with _opened(file) as tiff:
        pages = _count(tiff)
        return _header(_page(tiff, min(number, pages - 1)), pages)


def decode(data: bytes, wanted: Wanted) -> Stored:
    """The whole image on the wanted page."""
    with _opened(BytesIO(data)) as tiff:
        pages = _count(tiff)
        page = _page(tiff, min(wanted.pixel_format.page, pages - 1))
        require_decodable(_header(page, pages), wanted)
        _require_segments(page, data, wanted)
        pixels = page.asarray(squeeze=False, maxworkers=1)  # samples, 1, height, width, samples
    pixels = native(np.moveaxis(pixels[:, 0], 0, 2)[..., 0] if pixels.shape[0] > 1 else pixels[0, 0])
    pixels, colours = _interpreted(pixels, page)
    profile = page.tags.get(34675)
    return Stored(upright(pixels, _orientation(page)), colours, profile.value if profile else b"")


@contextmanager
def _opened(file: IO[bytes]) -> "Iterator[TiffFile]":
    from tifffile import TiffFile

    with TiffFile(file) as tiff:
        yield tiff


def _count(tiff: "TiffFile") -> int:
    """How many pages there are; walked here, since a page may be said to come after itself."""
    seen: set[int] = set()
    layout, file = tiff.tiff, tiff.filehandle
    file.seek(8 if layout.is_bigtiff else 4)
    while offset := _number(file.read(layout.offsetsize), tiff):
        if offset in seen or len(seen) > _MOST_PAGES:
            raise ValueError(f"its page {len(seen)} leads back to an earlier one")
        seen.add(offset)
        file.seek(offset)
        tags = _number(file.read(layout.tagnosize), tiff)
        file.seek(offset + layout.tagnosize + tags * layout.tagsize)
    return len(seen)


def _number(data: bytes, tiff: "TiffFile") -> int:
    if not data:
        raise ValueError("it is cut off in its list of pages")
    return int.from_bytes(data, "big" if tiff.byteorder == ">" else "little")


def _page(tiff: "TiffFile", number: int) -> "TiffPage":
    from tifffile import TiffPage

    page = tiff.pages[number]
    assert isinstance(page, TiffPage)  # the other class is for series, which are not asked for
    return page


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
    """What the channels mean, and how many there are."""
    channels = page.samplesperpixel
    colours, own = _COLOURS.get(page.photometric, ("bands", channels))
    if channels == own:
        return colours, channels
    if channels == own + 1 and colours in ("L", "RGB") and tuple(page.extrasamples)[-1:] in ((1,), (2,)):
        return colours + "A", channels
    return "bands", channels


def _dtype_name(page: "TiffPage") -> str:
    if page.dtype is None:
        raise ValueError(f"its pixels, of {page.bitspersample} bits and kind {page.sampleformat}, are not known")
    dtype = np.dtype(page.dtype)
    return "uint8" if dtype == np.bool_ else dtype.name


def _orientation(page: "TiffPage") -> int:
    tag = page.tags.get(274)
    return int(tag.value) if tag is not None and tag.count == 1 else 1


def _require_segments(page: "TiffPage", data: bytes, wanted: Wanted) -> None:
    """Refuses a page of which a strip or tile is missing: it would be decoded as black."""
    if page.compression == _OLD_JPEG or (page.photometric == _YCBCR and page.compression not in _JPEG):
        kind = "JPEG of the old kind (6)" if page.compression == _OLD_JPEG else "YCbCr without JPEG"
        raise ImageError(f"{wanted.name}: is a TIFF of {kind}, which few programs read; save it as RGB")
    if page.imagedepth != 1:
        raise ImageError(f"{wanted.name}: is a volume of depth {page.imagedepth}; save its layers as pages")
    if page.is_tiled:
        require_room(page.tilewidth, page.tilelength, wanted)
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
                f"{number} of {count} is said to be {size} bytes at byte {offset}; put the whole image in its place"
            )
        if page.compression in _JPEG:
            require_whole(data[offset : offset + size], wanted.name)


def _interpreted(pixels: NDArray[Any], page: "TiffPage") -> tuple[NDArray[Any], str]:
    """The pixels (H, W, C) as what their tags say they mean."""
    colours, _ = _colours(page)
    if colours == "P":
        return _palette(page)[pixels[..., 0]], "RGB"
    bits = page.bitspersample
    if pixels.dtype == np.bool_:
        pixels = pixels.astype(np.uint8) * np.uint8(255)
    elif pixels.dtype.kind == "u" and bits < 8 * pixels.dtype.itemsize and pixels.dtype.itemsize <= 2:
        pixels = bits_scaled(pixels, (1 << bits) - 1)
    if page.photometric == _WHITE_IS_ZERO:
        if pixels.dtype.kind not in "iu":
            raise ValueError("its white is 0, which of floating-point pixels leaves open what black is")
        pixels = pixels.copy()
        pixels[..., 0] = ~pixels[..., 0]
    elif colours == "LAB" and page.photometric != _ICC_LAB and pixels.dtype == np.uint8:
        pixels = pixels ^ np.array([0, 128, 128], np.uint8)  # a and b are signed there
    elif colours in ("LA", "RGBA") and page.extrasamples[-1] == _PREMULTIPLIED:
        pixels = _straight(pixels)
    return pixels, colours


def _straight(pixels: NDArray[Any]) -> NDArray[Any]:
    """Colours that were multiplied with their alpha, as they were before."""
    full = 1.0 if pixels.dtype.kind == "f" else float(np.iinfo(pixels.dtype).max)
    alpha = pixels[..., -1:].astype(np.float64)
    colours = pixels[..., :-1] * (full / np.where(alpha > 0, alpha, full))
    colours = colours if pixels.dtype.kind == "f" else colours.round().clip(0, full)
    return np.concatenate([colours.astype(pixels.dtype), pixels[..., -1:]], axis=2)


def _palette(page: "TiffPage") -> NDArray[Any]:
    """The colours (N, 3) of a palette: 8 bits, unless more are in use."""
    if page.colormap is None:
        raise ValueError("its palette is missing")
    colours = np.ascontiguousarray(page.colormap.T)
    if not (colours % 257).any():
        return (colours // 257).astype(np.uint8)
    if not (colours & 255).any():
        return (colours >> 8).astype(np.uint8)
    return colours.astype(np.uint8 if colours.max() < 256 else np.uint16)  # below 256: a common mistake of writers
