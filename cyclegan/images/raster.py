"""Pictures that Pillow decodes: JPEG, WebP, BMP, GIF, and as a gift AVIF and JPEG 2000."""

from importlib import import_module
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile

from cyclegan.images.picture import COLOURS, Header, Stored, Wanted, mode_name, native, upright_size
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

_TURNED_BY = {"exif", "xmp", "XML:com.adobe.xmp"}
"""Where a file may say how it is turned."""

_PLAIN = {"1": "L", "RGBX": "RGB", "YCbCr": "RGB", "La": "LA", "RGBa": "RGBA", "PA": "RGBA"}
"""What a mode of Pillow becomes without a loss that anybody sees, so that it is one of `COLOURS`."""


def open_image(kind: str, file: IO[bytes]) -> ImageFile.ImageFile:
    """Opens a picture, without decoding it.

    Not by `Image.open`, which compares the size with a limit of the whole process; ours is one of each call.
    """
    module, name = _PLUGINS[kind]
    image: ImageFile.ImageFile = getattr(import_module(module), name)(file)
    return image


def header(kind: str, file: IO[bytes]) -> Header:
    """What the file says about its picture."""
    return header_of_image(kind, open_image(kind, file))


def header_of_image(kind: str, image: ImageFile.ImageFile) -> Header:
    """The same of a file that is open."""
    width, height = upright_size(*image.size, orientation(image))
    colours, dtype = _colours_and_dtype(image.mode)
    mode = image.mode if dtype == "uint8" else mode_name(colours, 1, dtype)
    pages = getattr(image, "n_frames", 1) if kind in ("GIF", "WEBP", "AVIF") else 1
    return Header(kind, mode, width, height, COLOURS[colours], dtype, pages)


def decode(kind: str, file: IO[bytes], wanted: Wanted) -> Stored:
    """The whole picture."""
    image = open_image(kind, file)
    require_decodable(header_of_image(kind, image), wanted)
    if wanted.pixel_format.page:
        image.seek(wanted.pixel_format.page)
        require_decodable(header_of_image(kind, image), wanted)
    image.load()
    return stored(image, orientation(image))


def orientation(image: Image.Image) -> int:
    """In which of the eight orientations of EXIF a picture is stored; 1, which is upright, where nothing is said."""
    if not image.info.keys() & _TURNED_BY:
        return 1  # the usual case, ten times as fast as asking
    try:
        return int(image.getexif().get(0x0112, 1))
    except (
        Exception
    ):  # Cameras and editors write broken EXIF next to whole pictures, and Pillow raises nearly anything.
        return 1


def stored(image: Image.Image, turned: int) -> Stored:
    """A decoded picture of Pillow's as an upright array."""
    if turned in _TURNS:
        image = image.transpose(_TURNS[turned])
    mode = image.mode
    if mode in ("L", "RGB", "1", "P") and "transparency" in image.info:
        mode = "LA" if mode in ("L", "1") else "RGBA"
    elif mode == "P":
        mode = "RGBA" if image.palette is not None and image.palette.mode == "RGBA" else "RGB"
    mode = _PLAIN.get(mode, mode)
    pixels: NDArray[Any] = np.array(image if mode == image.mode else image.convert(mode))
    return Stored(native(pixels if pixels.ndim == 3 else pixels[..., np.newaxis]), _colours_and_dtype(mode)[0])


def _colours_and_dtype(mode: str) -> tuple[str, str]:
    """One of `COLOURS`, and numpy's name of the type, of a mode of Pillow's."""
    if mode == "P":
        return "RGB", "uint8"
    if mode.startswith("I;16"):
        return "L", "uint16"
    if mode in ("I", "F"):
        return "L", "int32" if mode == "I" else "float32"
    return _PLAIN.get(mode, mode), "uint8"
