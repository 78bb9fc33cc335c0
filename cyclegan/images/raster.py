"""Images that Pillow decodes: JPEG, WebP, BMP, GIF, AVIF and JPEG 2000."""

from importlib import import_module
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile

from cyclegan.images.header import COLOURS, Header, Stored, Wanted, mode_name, native, upright_size
from cyclegan.images.suitable import require_decodable

_PLUGINS = {
    "JPEG": ("PIL.JpegImagePlugin", "JpegImageFile"),
    "WEBP": ("PIL.WebPImagePlugin", "WebPImageFile"),
    "BMP": ("PIL.BmpImagePlugin", "BmpImageFile"),
    "GIF": ("PIL.GifImagePlugin", "GifImageFile"),
    "AVIF": ("PIL.AvifImagePlugin", "AvifImageFile"),
    "JPEG2000": ("PIL.Jpeg2KImagePlugin", "Jpeg2KImageFile"),
}

_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

_BOXES = 1 << 16
"""Bytes at the beginning of an AVIF or a JPEG 2000 that hold what precedes its pixels."""

_TURNED_BY = {"exif", "xmp", "XML:com.adobe.xmp"}
"""Where a file may say how it is turned."""

_PLAIN = {"1": "L", "RGBX": "RGB", "YCbCr": "RGB", "La": "LA", "RGBa": "RGBA", "PA": "RGBA"}
"""What a mode of Pillow becomes without a loss that anybody sees, so that it is one of `COLOURS`."""


def open_image(kind: str, file: IO[bytes]) -> ImageFile.ImageFile:
    """Opens an image, without decoding it.

    Not by `Image.open`, which compares the size with a limit of the whole process; ours is one of each call.
    """
    module, name = _PLUGINS[kind]
    start = file.read(_BOXES) if kind in ("AVIF", "JPEG2000") else b""
    file.seek(0)
    image: ImageFile.ImageFile = getattr(import_module(module), name)(file)
    if image.mode != "I;16" and (bits := _bits(start)) > 8:
        raise ValueError(f"it has {bits} bits a channel, of which 8 would be read: save it as PNG or TIFF of 16 bits")
    return image


def _bits(start: bytes) -> int:
    """Bits a channel of an AVIF or a JPEG 2000, whose boxes these are; 8 for every other file."""
    if (place := start.find(b"av1C")) >= 0:
        return (8, 10, 12)[(start[place + 6] >> 6 & 1) + (start[place + 6] >> 5 & 1)]
    if (place := start.find(b"\xff\x4f\xff\x51")) >= 0:
        return (start[place + 42] & 127) + 1
    return 8


def header(kind: str, file: IO[bytes]) -> Header:
    """What the file says about its image."""
    return header_of_image(kind, open_image(kind, file))


def header_of_image(kind: str, image: ImageFile.ImageFile) -> Header:
    """The same of a file that is open."""
    width, height = upright_size(*image.size, orientation(image))
    colours, dtype = _colours_and_dtype(image.mode)
    mode = image.mode if dtype == "uint8" else mode_name(colours, 1, dtype)
    pages = getattr(image, "n_frames", 1) if kind in ("GIF", "WEBP", "AVIF") else 1
    return Header(kind, mode, width, height, COLOURS[colours], dtype, pages)


def decode(kind: str, file: IO[bytes], wanted: Wanted) -> Stored:
    """The whole image."""
    image = open_image(kind, file)
    require_decodable(header_of_image(kind, image), wanted)
    if wanted.pixel_format.page:
        image.seek(wanted.pixel_format.page)
        require_decodable(header_of_image(kind, image), wanted)
    image.load()
    return stored(image, orientation(image))


def orientation(image: Image.Image) -> int:
    """In which of the eight orientations of EXIF an image is stored; 1, which is upright, where nothing is said."""
    if not image.info.keys() & _TURNED_BY:
        return 1  # the usual case, ten times as fast as asking
    try:
        return int(image.getexif().get(0x0112, 1))
    except Exception:  # Cameras and editors write broken EXIF next to whole images, and Pillow raises nearly anything.
        return 1


def stored(image: Image.Image, turned: int) -> Stored:
    """A decoded image of Pillow's as an upright array."""
    if turned in _TURNS:
        image = image.transpose(_TURNS[turned])
    mode = image.mode
    if mode in ("L", "RGB", "1", "P") and "transparency" in image.info:
        mode = "LA" if mode in ("L", "1") else "RGBA"
    elif mode == "P":
        mode = "RGBA" if image.palette is not None and image.palette.mode == "RGBA" else "RGB"
    mode = _PLAIN.get(mode, mode)
    pixels: NDArray[Any] = np.array(image if mode == image.mode else image.convert(mode))
    pixels = native(pixels if pixels.ndim == 3 else pixels[..., np.newaxis])
    return Stored(pixels, _colours_and_dtype(mode)[0], image.info.get("icc_profile") or b"")


def _colours_and_dtype(mode: str) -> tuple[str, str]:
    """One of `COLOURS`, and numpy's name of the type, of a mode of Pillow's."""
    if mode == "P":
        return "RGB", "uint8"
    if mode.startswith("I;16"):
        return "L", "uint16"
    if mode in ("I", "F"):
        return "L", "int32" if mode == "I" else "float32"
    return _PLAIN.get(mode, mode), "uint8"
