"""Read image files: recognise their format by content, decode and convert."""

import errno
from io import BytesIO
from pathlib import Path
from typing import IO

from cyclegan.errors import DiskError, ImageError, missing
from cyclegan.images import npy, pillow_formats, png, tiff
from cyclegan.images.convert import convert
from cyclegan.images.header import MAX_PIXELS, Header, Stored, Wanted
from cyclegan.images.pixel_format import RGB, PixelFormat, Pixels
from cyclegan.images.sniff import START_BYTES, describe_content, image_kind

IMAGE_SUFFIXES = frozenset(
    f".{name}"
    for name in "jpg jpeg jpe jfif png webp avif jp2 bmp tif tiff ppm pgm pbm pnm gif npy".split()  # noqa: SIM905
)
"""Extensions, in lower case, of the files in a folder that are taken for images."""

_REMOVE = "remove it from the data set (a resumed run refuses such a change)"
_REMEDIES = {
    errno.ENOENT: f"put it back, or {_REMOVE}",
    errno.EISDIR: "remove the folder, or give it another extension",
    errno.EACCES: "make it readable (chmod +r)",
    errno.EPERM: "make it readable",
}


def read(
    path: str | Path,
    pixel_format: PixelFormat = RGB,
    at_least: tuple[int, int] | None = None,
    max_pixels: int = MAX_PIXELS,
) -> Pixels:
    """Read an image file; see `decode` for the arguments, the result and the errors."""
    return decode(content(path), str(path), pixel_format, at_least, max_pixels)


def decode(
    data: bytes,
    name: str,
    pixel_format: PixelFormat = RGB,
    at_least: tuple[int, int] | None = None,
    max_pixels: int = MAX_PIXELS,
) -> Pixels:
    """Decode the content of an image file, upright, with the channels of `pixel_format.decoded` and its type.

    Args:
        data: content of the file.
        name: name of the file, for errors.
        pixel_format: wanted channels and allowed conversions.
        at_least: (width, height). A JPEG may be decoded at 1/2, 1/4 or 1/8 of its size, but not smaller than this.
        max_pixels: largest width × height that is decoded.

    Returns:
        Contiguous pixels (H, W, C): uint8, uint16, int16, or float32 for every other type.

    Raises:
        ImageError: the content is damaged, is not an image, has too many pixels, or needs a conversion that loses
            something and that `pixel_format` does not allow.
    """
    wanted = Wanted(name, pixel_format.decoded, at_least, max_pixels)
    try:
        return convert(_decode(data, wanted), wanted)
    except (ImageError, MemoryError):
        raise
    except Exception as error:  # damaged files make decoders raise nearly anything: SyntaxError, struct.error ...
        raise _not_readable(name, len(data), error) from error


def header(path: str | Path, pixel_format: PixelFormat | None = None) -> Header:
    """Read the header of an image file, without its pixels.

    Args:
        path: path of the file.
        pixel_format: its `page` selects the page, its `channels` the channel axis of an array.

    Raises:
        ImageError: the file is missing, empty, or not an image.
    """
    try:
        with Path(path).open("rb") as file:
            return header_in(file, str(path), pixel_format)
    except OSError as error:
        raise _not_accessible(path, error) from error


def header_of(data: bytes, name: str, pixel_format: PixelFormat | None = None) -> Header:
    """Read the header in the content of an image file; see `header`."""
    return header_in(BytesIO(data), name, pixel_format)


def header_in(file: IO[bytes], name: str, pixel_format: PixelFormat | None = None) -> Header:
    """Read the header of an open image file, from its beginning; see `header`."""
    page, channels = (0, None) if pixel_format is None else (pixel_format.page, pixel_format.decoded.channels)
    start = file.read(START_BYTES)
    file.seek(0)
    try:
        match image_kind(start):
            case "PNG":
                return png.header(file)
            case "TIFF":
                return tiff.header(file, page)
            case "NPY":
                return npy.header(file, name, channels)
            case None:
                raise ValueError(describe_content(start))
            case kind:
                return pillow_formats.header(kind, file)
    except ImageError:
        raise
    except Exception as error:
        raise _not_readable(name, file.seek(0, 2), error) from error


def content(path: str | Path) -> bytes:
    """Read all bytes of a file.

    Raises:
        ImageError: the file is missing, a folder, or cannot be opened.
        DiskError: the disk or the network folder fails.
    """
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise _not_accessible(path, error) from error


def _decode(data: bytes, wanted: Wanted) -> Stored:
    match image_kind(data[:START_BYTES]):
        case "PNG":
            return png.decode(data, wanted)
        case "TIFF":
            return tiff.decode(data, wanted)
        case "NPY":
            return npy.decode(data, wanted)
        case None:
            raise ValueError(describe_content(data[:START_BYTES]))
        case kind:
            return pillow_formats.decode(kind, data, wanted)


def _not_readable(name: str, size: int, error: Exception) -> ImageError:
    if isinstance(error, ModuleNotFoundError):
        return DiskError(f"{name}: reading it needs {missing(str(error.name))}")
    reason = str(error) if type(error) is ValueError else f"{type(error).__name__}: {error}"
    return ImageError(
        f"{name}: {size} bytes that cannot be read as an image ({reason}); replace it with an intact file, or {_REMOVE}"
    )


def _not_accessible(path: str | Path, error: OSError) -> ImageError:
    if error.errno in _REMEDIES:
        return ImageError(f"{path}: cannot be read ({error.strerror}): {_REMEDIES[error.errno]}")
    return DiskError(f"{path}: cannot be read ({error.strerror or error}): check the disk or the network folder")
