"""Decode PNG with libpng, whose 16 bits per channel stay intact.

Pillow reduces RGB of 16 bits to 8, and leaves missing rows black without an error.
"""

import logging
import struct
import zlib
from io import BytesIO
from typing import IO, NamedTuple

import numpy as np
from PIL import Image

from cyclegan.images.header import COLOURS, Header, Stored, Wanted, mode_name, require_decodable, upright, upright_size
from cyclegan.images.pillow_formats import exif_orientation

_COLOUR_TYPES = {0: "L", 2: "RGB", 3: "P", 4: "LA", 6: "RGBA"}
_LARGEST_METADATA = 1 << 24

# libpng warns of every interlaced image, although it decodes it correctly.
logging.getLogger("imagecodecs").addFilter(lambda record: "Interlace handling" not in record.getMessage())


class _Chunks(NamedTuple):
    header: Header  # upright
    orientation: int
    profile: bytes  # compressed, as in the iCCP chunk


def header(file: IO[bytes]) -> Header:
    """Read the chunks before the pixels. An EXIF orientation after the pixels is not seen."""
    return _read_chunks(file, b"IDAT").header


def decode(data: bytes, wanted: Wanted) -> Stored:
    """Decode an image, after checking the checksums of all its chunks."""
    chunks = _read_chunks(BytesIO(data), b"IEND")
    require_decodable(chunks.header, wanted)
    import imagecodecs  # slow to import, and headers do not need it

    pixels = np.asarray(imagecodecs.png_decode(data))
    pixels = pixels if pixels.ndim == 3 else pixels[..., np.newaxis]
    mode = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}[pixels.shape[2]]
    return Stored(upright(pixels, chunks.orientation), mode, _decompress_profile(chunks.profile))


def _read_chunks(file: IO[bytes], last: bytes) -> _Chunks:
    # The checksums are compared here although libpng does so too: libpng only drops a damaged tRNS chunk, and each
    # error of imagecodecs.png_decode loses a reference to None, which ends the process after some thousands.
    wanted = {b"IHDR", b"tRNS", b"eXIf", b"iCCP"} if last == b"IDAT" else None
    found: dict[bytes, bytes] = {}
    file.seek(8)
    kind = b""
    while kind not in (last, b"IEND"):
        start = file.read(8)
        if len(start) < 8:
            raise ValueError(f"it is cut off: it has no {last.decode()} chunk")
        length, kind = struct.unpack(">I4s", start)
        if kind == last == b"IDAT":
            break
        if wanted is not None and (kind not in wanted or length > _LARGEST_METADATA):
            file.seek(length + 4, 1)
            continue
        content, checksum = file.read(length), file.read(4)
        if len(checksum) < 4:
            raise ValueError(f"it is cut off in its {_printable(kind)} chunk")
        if zlib.crc32(content, zlib.crc32(kind)) != int.from_bytes(checksum, "big"):
            raise ValueError(f"the checksum of its {_printable(kind)} chunk is wrong")
        found[kind] = content if kind != b"IDAT" else b""
    return _interpret(found)


def _interpret(found: dict[bytes, bytes]) -> _Chunks:
    image_header = found.get(b"IHDR", b"")
    if len(image_header) != 13 or image_header[9] not in _COLOUR_TYPES:
        raise ValueError("its IHDR chunk is missing or damaged")
    width, height, bits, colour_type = struct.unpack_from(">IIBB", image_header)
    orientation = _orientation(found.get(b"eXIf", b""))
    dtype, colours = "uint16" if bits == 16 else "uint8", _COLOUR_TYPES[colour_type]
    transparent = b"tRNS" in found and colours in ("P", "L", "RGB")
    channels = COLOURS["RGB" if colours == "P" else colours] + transparent
    if transparent and colours != "P":
        colours += "A"
    elif bits == 1 and colours == "L":
        colours = "1"
    size = upright_size(width, height, orientation)
    header = Header("PNG", mode_name(colours, channels, dtype), *size, channels, dtype, 1)
    return _Chunks(header, orientation, found.get(b"iCCP", b""))


def _printable(kind: bytes) -> str:
    return kind.decode("ascii", errors="backslashreplace")


def _decompress_profile(chunk: bytes) -> bytes:
    packed = chunk.partition(b"\0")[2][1:]  # after the profile's name, a zero and the method
    try:
        return zlib.decompressobj().decompress(packed, _LARGEST_METADATA)
    except zlib.error:
        return packed  # not a profile: `to_srgb` says so


def _orientation(exif: bytes) -> int:
    if not exif:
        return 1
    image = Image.new("1", (1, 1))
    image.info["exif"] = exif
    return exif_orientation(image)
