"""Decode the formats that Pillow reads: JPEG, WebP, BMP, GIF, AVIF, JPEG 2000 and binary PNM."""

import re
from io import BytesIO
from typing import IO, Any

import numpy as np
from PIL import (
    AvifImagePlugin,
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    ImageFile,
    Jpeg2KImagePlugin,
    JpegImagePlugin,
    PpmImagePlugin,
    WebPImagePlugin,
)

from cyclegan.errors import ImageError
from cyclegan.images.header import COLOURS, Header, Stored, Wanted, require_decodable, upright, upright_size

# Not Image.open: it applies a size limit of the whole process, and ours belongs to the call.
_OPEN: dict[str, Any] = {
    "JPEG": JpegImagePlugin.JpegImageFile,
    "WEBP": WebPImagePlugin.WebPImageFile,
    "BMP": BmpImagePlugin.BmpImageFile,
    "GIF": GifImagePlugin.GifImageFile,
    "AVIF": AvifImagePlugin.AvifImageFile,
    "JPEG2000": Jpeg2KImagePlugin.Jpeg2KImageFile,
    "PNM": PpmImagePlugin.PpmImageFile,
}

_BOX_BYTES = 1 << 16
"""Bytes at the start of an AVIF or JPEG 2000 file that hold its metadata."""

_LOSSLESS_MODES = {"1": "L", "P": "RGB", "PA": "RGBA", "I": "L", "I;16": "L"}
"""Pillow modes and the colours that hold the same values."""

# Inside the entropy-coded data of a JPEG, FF is followed by 00, a restart marker D0 to D7, or another FF (padding).
_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
_START_OF_IMAGE, _END_OF_IMAGE, _START_OF_SCAN = 0xD8, 0xD9, 0xDA
_SEQUENTIAL = (0xC0, 0xC1)
_STANDARD_AC_TABLE = b"\x10\0\2\1\3\3\2\4\3\5\5\4\4\0\0\1\x7d\1\2\3"
"""Start of the luminance AC Huffman table in Annex K of the JPEG standard. Most encoders use it. In it, a code of zero
bits is a coefficient and never an end of block, so no image has a long run of zero bytes."""
_HOLE = bytes(64)


def header(kind: str, file: IO[bytes]) -> Header:
    """Read the header of an image file of a kind in `_OPEN`."""
    return _header(kind, _open(kind, file))


def decode(kind: str, data: bytes, wanted: Wanted) -> Stored:
    """Decode an image; a JPEG at a reduced size if `wanted.at_least` allows it."""
    image = _open(kind, BytesIO(data))
    header = _header(kind, image)
    require_decodable(header, wanted)
    if kind == "JPEG":
        require_intact_jpeg(data, wanted.name)
        if wanted.at_least is not None:
            width, height = (max(side, 1) for side in wanted.at_least)
            transposed = (header.width, header.height) != image.size
            image.draft(None, (height, width) if transposed else (width, height))
    elif kind == "JPEG2000" and b"\xff\xd9" not in data:
        raise ValueError("it is cut off: it has no end-of-codestream marker (FF D9)")
    elif wanted.pixel_format.page:
        image.seek(wanted.pixel_format.page)
        header = _header(kind, image)
        require_decodable(header, wanted)
    image.load()
    stored = image if image.mode == header.colours or header.dtype == "uint16" else image.convert(header.colours)
    pixels = np.array(stored, header.dtype)
    if header.colours == "CMYK" and kind == "JPEG" and "adobe" not in image.info:
        # Adobe's programs store inverted inks, and Pillow inverts those of every file.
        pixels = 255 - pixels
    pixels = pixels if pixels.ndim == 3 else pixels[..., np.newaxis]
    return Stored(upright(pixels, exif_orientation(image)), header.colours, image.info.get("icc_profile") or b"")


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
    try:
        return int(image.getexif().get(0x0112, 1))
    except Exception:  # broken EXIF in intact images is common, and Pillow raises nearly anything
        return 1


def _open(kind: str, file: IO[bytes]) -> ImageFile.ImageFile:
    start = file.read(_BOX_BYTES) if kind in ("AVIF", "JPEG2000") else b""
    file.seek(0)
    image: ImageFile.ImageFile = _OPEN[kind](file)
    bits = _bits_per_channel(image, start)
    if bits > 8 and image.mode not in ("I", "I;16"):
        raise ValueError(f"it has {bits} bits a channel, of which 8 would be read: save it as PNG or TIFF of 16 bits")
    return image


def _bits_per_channel(image: ImageFile.ImageFile, start: bytes) -> int:
    if (place := start.find(b"av1C")) >= 0:
        return (8, 10, 12)[(start[place + 6] >> 6 & 1) + (start[place + 6] >> 5 & 1)]
    if (place := start.find(b"\xff\x4f\xff\x51")) >= 0:
        return (start[place + 42] & 127) + 1
    if image.tile and image.tile[0].codec_name == "ppm":
        arguments: Any = image.tile[0].args  # of the decoder: mode and largest value
        return int(arguments[1]).bit_length()
    return 8


def _header(kind: str, image: ImageFile.ImageFile) -> Header:
    colours = _LOSSLESS_MODES.get(image.mode, image.mode)
    if colours in ("L", "RGB") and image.has_transparency_data:
        colours = "RGBA"
    dtype = "uint16" if image.mode in ("I", "I;16") else "uint8"  # "I" is a PGM, scaled to 16 bits
    size = upright_size(*image.size, exif_orientation(image))
    return Header(kind, colours, *size, COLOURS[colours], dtype, getattr(image, "n_frames", 1))
