"""Decode the formats that Pillow reads: JPEG, WebP, BMP, GIF, AVIF and JPEG 2000."""

import re
from importlib import import_module
from io import BytesIO
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile

from cyclegan.errors import ImageError
from cyclegan.images.header import COLOURS, Header, Stored, Wanted, mode_name, native, require_decodable, upright_size

_PLUGINS = {
    "JPEG": ("PIL.JpegImagePlugin", "JpegImageFile"),
    "WEBP": ("PIL.WebPImagePlugin", "WebPImageFile"),
    "BMP": ("PIL.BmpImagePlugin", "BmpImageFile"),
    "GIF": ("PIL.GifImagePlugin", "GifImageFile"),
    "AVIF": ("PIL.AvifImagePlugin", "AvifImageFile"),
    "JPEG2000": ("PIL.Jpeg2KImagePlugin", "Jpeg2KImageFile"),
}

_TRANSPOSE = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

_BOX_BYTES = 1 << 16
"""Bytes at the start of an AVIF or JPEG 2000 file that hold its metadata."""

_ORIENTATION_KEYS = {"exif", "xmp", "XML:com.adobe.xmp"}

_LOSSLESS_MODES = {"1": "L", "RGBX": "RGB", "YCbCr": "RGB", "La": "LA", "RGBa": "RGBA", "PA": "RGBA"}
"""Pillow modes and the one of `COLOURS` that holds the same values."""

# Inside the entropy-coded data of a JPEG, FF is followed by 00, a restart marker D0 to D7, or another FF (padding).
_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
_START_OF_IMAGE, _END_OF_IMAGE, _START_OF_SCAN = 0xD8, 0xD9, 0xDA
_SEQUENTIAL = (0xC0, 0xC1)
_STANDARD_AC_TABLE = b"\x10\0\2\1\3\3\2\4\3\5\5\4\4\0\0\1\x7d\1\2\3"
"""Start of the luminance AC Huffman table in Annex K of the JPEG standard. Most encoders use it. In it, a code of zero
bits is a coefficient and never an end of block, so no image has a long run of zero bytes."""
_HOLE = bytes(64)


def header(kind: str, file: IO[bytes]) -> Header:
    """Read the header of an image file of a kind in `_PLUGINS`."""
    return _header(kind, _open(kind, file))


def decode(kind: str, file: IO[bytes], wanted: Wanted) -> Stored:
    """Decode an image of any kind but JPEG."""
    image = _open(kind, file)
    require_decodable(_header(kind, image), wanted)
    if wanted.pixel_format.page:
        image.seek(wanted.pixel_format.page)
        require_decodable(_header(kind, image), wanted)
    image.load()
    return _stored(image, exif_orientation(image))


def decode_jpeg(data: bytes, wanted: Wanted) -> Stored:
    """Decode a JPEG, at a reduced size if `wanted.at_least` allows it."""
    image: Any = _open("JPEG", BytesIO(data))
    orientation = exif_orientation(image)
    header = _header("JPEG", image)
    require_decodable(header, wanted)
    require_intact_jpeg(data, wanted.name)
    if wanted.at_least is not None:
        width, height = (max(side, 1) for side in wanted.at_least)
        transposed = (header.width, header.height) != image.size
        image.draft(None, (height, width) if transposed else (width, height))
    image.load()
    jpeg = _stored(image, orientation)
    if jpeg.mode == "CMYK" and "adobe" not in image.info:
        # Adobe's programs store inverted inks, and Pillow inverts those of every file.
        return jpeg._replace(pixels=255 - jpeg.pixels)
    return jpeg


def require_intact_jpeg(data: bytes, name: str) -> None:
    """Refuse a JPEG that is truncated or partly overwritten with zeros.

    libjpeg would decode the missing part as grey, often without an error.

    Raises:
        ImageError: there is no end-of-image marker after the pixels, or zeros that cannot be coded pixels.
    """
    position, first_scan, sequential, components = 0, 0, False, 0
    while found := _MARKER.search(data, position):
        position, marker = found.start(), data[found.start() + 1]
        if marker == _END_OF_IMAGE and first_scan:
            break
        if marker in (_START_OF_IMAGE, _END_OF_IMAGE, 0x01):  # markers without a length
            position += 2
            continue
        length = int.from_bytes(data[position + 2 : position + 4], "big")
        segment = data[position + 4 : position + 2 + length]
        position += 2 + max(length, 2)
        if marker in _SEQUENTIAL:
            sequential, components = True, segment[5]
        elif marker == _START_OF_SCAN:
            first_scan = first_scan or position
            if sequential and segment[0] == components:  # the only scan: its end is the last marker
                position = max(position, data.rfind(b"\xff\xd9"))
    else:
        raise ImageError(
            f"{name}: {len(data)} bytes of a JPEG that is cut off: it has no end-of-image marker (FF D9) after its "
            "pixels; replace it with an intact file"
        )
    hole = data.find(_HOLE, first_scan, position)
    if (
        hole >= 0
        and sequential
        and _STANDARD_AC_TABLE in data[:first_scan]
        and not _MARKER.search(data, first_scan, hole)
    ):
        raise ImageError(
            f"{name}: {len(data)} bytes of a JPEG with a hole: from byte {hole} on there are zeros in place of "
            "pixels; replace it with an intact file"
        )


def exif_orientation(image: Image.Image) -> int:
    """Return the EXIF orientation of an image, 1 to 8; 1 (upright) if it is missing or unreadable."""
    if not image.info.keys() & _ORIENTATION_KEYS:
        return 1  # the usual case, ten times as fast as asking
    try:
        return int(image.getexif().get(0x0112, 1))
    except Exception:  # broken EXIF in intact images is common, and Pillow raises nearly anything
        return 1


def _open(kind: str, file: IO[bytes]) -> ImageFile.ImageFile:
    # Not Image.open: it applies a size limit of the whole process, and ours belongs to the call.
    module, name = _PLUGINS[kind]
    start = file.read(_BOX_BYTES) if kind in ("AVIF", "JPEG2000") else b""
    file.seek(0)
    image: ImageFile.ImageFile = getattr(import_module(module), name)(file)
    if image.mode != "I;16" and (bits := _bits_per_channel(start)) > 8:
        raise ValueError(f"it has {bits} bits a channel, of which 8 would be read: save it as PNG or TIFF of 16 bits")
    return image


def _bits_per_channel(start: bytes) -> int:
    if (place := start.find(b"av1C")) >= 0:
        return (8, 10, 12)[(start[place + 6] >> 6 & 1) + (start[place + 6] >> 5 & 1)]
    if (place := start.find(b"\xff\x4f\xff\x51")) >= 0:
        return (start[place + 42] & 127) + 1
    return 8


def _header(kind: str, image: ImageFile.ImageFile) -> Header:
    width, height = upright_size(*image.size, exif_orientation(image))
    colours, dtype = _colours_and_dtype(image.mode)
    mode = image.mode if dtype == "uint8" else mode_name(colours, 1, dtype)
    pages = getattr(image, "n_frames", 1) if kind in ("GIF", "WEBP", "AVIF") else 1
    return Header(kind, mode, width, height, COLOURS[colours], dtype, pages)


def _stored(image: Image.Image, orientation: int) -> Stored:
    if orientation in _TRANSPOSE:
        image = image.transpose(_TRANSPOSE[orientation])
    mode = image.mode
    if mode in ("L", "RGB", "1", "P") and "transparency" in image.info:
        mode = "LA" if mode in ("L", "1") else "RGBA"
    elif mode == "P":
        mode = "RGBA" if image.palette is not None and image.palette.mode == "RGBA" else "RGB"
    mode = _LOSSLESS_MODES.get(mode, mode)
    pixels: NDArray[Any] = np.array(image if mode == image.mode else image.convert(mode))
    pixels = native(pixels if pixels.ndim == 3 else pixels[..., np.newaxis])
    return Stored(pixels, _colours_and_dtype(mode)[0], image.info.get("icc_profile") or b"")


def _colours_and_dtype(mode: str) -> tuple[str, str]:
    if mode == "P":
        return "RGB", "uint8"
    if mode.startswith("I;16"):
        return "L", "uint16"
    if mode in ("I", "F"):
        return "L", "int32" if mode == "I" else "float32"
    return _LOSSLESS_MODES.get(mode, mode), "uint8"
