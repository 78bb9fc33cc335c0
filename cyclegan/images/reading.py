"""From an image file to its pixels; what it is, its content says, not its ending."""

from io import BufferedReader, BytesIO
from pathlib import Path
from typing import IO

from cyclegan.errors import ImageError
from cyclegan.images import arrays, jpeg, png, pnm, raster, tiff
from cyclegan.images.convert import convert
from cyclegan.images.files import content, open_file
from cyclegan.images.header import MAX_PIXELS, Header, Stored, Wanted
from cyclegan.images.pixel_format import RGB, PixelFormat, Pixels
from cyclegan.images.sniff import kind, stranger

IMAGE_SUFFIXES = frozenset(
    f".{name}"
    for name in "jpg jpeg jpe jfif png webp avif jp2 bmp tif tiff ppm pgm pbm pnm gif npy npz".split()  # noqa: SIM905
)
"""Endings, in lower case, of the files that are taken for images."""

_START = 200  # bytes that show what a file holds


def header(path: str | Path, pixel_format: PixelFormat | None = None) -> Header:
    """What a file says about its image; as little as possible is read.

    Args:
        path: of the file.
        pixel_format: how it is to be read; decides the page, and which axis of an array is that of the channels.

    Raises:
        ImageError: the file is missing, empty, or no image.
    """
    with open_file(path) as raw, BufferedReader(raw) as file:
        return header_in(file, str(path), pixel_format)


def header_of(data: bytes, name: str, pixel_format: PixelFormat | None = None) -> Header:
    """The same of a file's content."""
    return header_in(BytesIO(data), name, pixel_format)


def read(
    path: str | Path,
    pixel_format: PixelFormat = RGB,
    at_least: tuple[int, int] | None = None,
    max_pixels: int = MAX_PIXELS,
) -> Pixels:
    """Reads a file; see `decode`."""
    return decode(content(path), str(path), pixel_format, at_least, max_pixels)


def decode(
    data: bytes,
    name: str,
    pixel_format: PixelFormat = RGB,
    at_least: tuple[int, int] | None = None,
    max_pixels: int = MAX_PIXELS,
) -> Pixels:
    """The whole image, upright, with the channels of `pixel_format`, in the type that its file has.

    Args:
        data: the content of a file.
        name: of the file, for errors.
        pixel_format: the channels wanted, and the conversions allowed.
        at_least: (width, height); a JPEG may be decoded smaller than it is, but not smaller than this.
        max_pixels: width × height of the largest image that is decoded.

    Returns:
        (H, W, C), contiguous: uint8, uint16, int16, and float32 for every other type.

    Raises:
        ImageError: the content is damaged, no image, too large, or cannot become what is asked without a loss.
    """
    wanted = Wanted(name, pixel_format, at_least, max_pixels)
    try:
        return convert(_stored(data, wanted), wanted)
    except ImageError:
        raise
    except MemoryError:
        raise  # which says nothing about the file, whose size has been looked at
    except Exception as error:
        # Damaged files make decoders raise nearly anything: OSError, SyntaxError, struct.error, ...
        raise _unreadable(name, len(data), error) from error


def _stored(data: bytes, wanted: Wanted) -> Stored:
    match kind(data[:16]):
        case "JPEG":
            return jpeg.decode(data, wanted)
        case "PNG":
            return png.decode(data, wanted)
        case "TIFF":
            return tiff.decode(data, wanted)
        case "PNM":
            return pnm.decode(data, wanted)
        case "NPY":
            return arrays.decode_npy(data, wanted)
        case "NPZ":
            return arrays.decode_npz(data, wanted)
        case None:
            raise _no_image(wanted.name, len(data), data[:_START])
        case other:
            return raster.decode(other, BytesIO(data), wanted)


def header_in(file: IO[bytes], name: str, pixel_format: PixelFormat | None = None) -> Header:
    """The same of a file that is open, at its beginning."""
    page, channels = (0, None) if pixel_format is None else (pixel_format.page, pixel_format.channels)
    try:
        start = file.read(_START)
        file.seek(0)
        match kind(start):
            case "PNG":
                return png.header(file)
            case "TIFF":
                return tiff.header(file, page)
            case "PNM":
                return pnm.header(file)
            case "NPY":
                return arrays.header_npy(file, name, channels)
            case "NPZ":
                return arrays.header_npz(file, name, channels)
            case None:
                raise _no_image(name, file.seek(0, 2), start)
            case other:
                return raster.header(other, file)
    except ImageError:
        raise
    except Exception as error:
        raise _unreadable(name, file.seek(0, 2), error) from error


def _no_image(name: str, size: int, start: bytes) -> ImageError:
    return _unreadable(name, size, f"it is {stranger(start)}" if size else "it is empty")


def _unreadable(name: str, size: int, reason: Exception | str) -> ImageError:
    words = reason if isinstance(reason, str) else f"{type(reason).__name__}: {reason}"
    return ImageError(
        f"{name}: {size} bytes that cannot be read as an image ({words}); "
        "put a whole image in its place, or take it out of the folder (which a run that is resumed does not allow)"
    )
