"""PNG: its chunks, each with a checksum, and its 16 bits.

Not by Pillow, which squeezes 16 bits of colour into 8, and leaves rows black that are missing without a word.
"""

import logging
import struct
import zlib
from collections.abc import Iterator
from typing import IO, NamedTuple

import numpy as np
from PIL import Image

from cyclegan.errors import ImageError
from cyclegan.images.header import COLOURS, Header, Stored, Wanted, mode_name, upright, upright_size
from cyclegan.images.raster import orientation
from cyclegan.images.suitable import require_decodable

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_COLOURS = {0: "L", 2: "RGB", 3: "P", 4: "LA", 6: "RGBA"}
_LARGEST_NOTE = 1 << 20
_LARGEST_PROFILE = 1 << 24

# libpng advises its caller at every interlaced image, though it decodes it rightly.
logging.getLogger("imagecodecs").addFilter(lambda record: "Interlace handling" not in record.getMessage())


class _Facts(NamedTuple):
    width: int
    height: int
    bits: int
    colours: str


class _Notes(NamedTuple):
    transparent: bool = False  # it has tRNS: a transparent colour, or a palette with alpha
    exif: bytes = b""


def header(file: IO[bytes]) -> Header:
    """What the file says about its image before its pixels; EXIF behind them, which is rare, is not seen."""
    file.seek(len(_SIGNATURE))
    facts, notes = None, _Notes()
    while len(start := file.read(8)) == 8:
        length, kind = struct.unpack(">I4s", start)
        if kind in (b"IDAT", b"IEND"):
            break
        if kind == b"IHDR" or (kind == b"eXIf" and length <= _LARGEST_NOTE):
            payload = file.read(length)
            facts, notes = (_facts(payload), notes) if kind == b"IHDR" else (facts, notes._replace(exif=payload))
        else:
            notes = notes._replace(transparent=notes.transparent or kind == b"tRNS")
            file.seek(length, 1)
        file.seek(4, 1)
    if facts is None:
        raise ValueError("it has no IHDR chunk")
    return _header(facts, notes)


def decode(data: bytes, wanted: Wanted) -> Stored:
    """The whole image, all of whose checksums are right."""
    found = dict(_chunks(data, wanted.name))
    facts, notes = _facts(found.get(b"IHDR", b"")), _Notes(b"tRNS" in found, bytes(found.get(b"eXIf", b"")))
    require_decodable(_header(facts, notes), wanted)
    import imagecodecs  # heavy: not for those who only want a header

    pixels = np.asarray(imagecodecs.png_decode(data))
    pixels = pixels if pixels.ndim == 3 else pixels[..., np.newaxis]
    mode = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}[pixels.shape[2]]
    return Stored(upright(pixels, _orientation(notes.exif)), mode, _profile(found.get(b"iCCP", b"")))


def _profile(chunk: bytes | memoryview) -> bytes:
    """The ICC profile in a chunk iCCP: a name, a zero, the method 0, and the compressed profile."""
    packed = bytes(chunk).partition(b"\0")[2][1:]
    try:
        return zlib.decompressobj().decompress(packed, _LARGEST_PROFILE)
    except zlib.error:
        return packed  # which will not be one


def _chunks(data: bytes, name: str) -> Iterator[tuple[bytes, memoryview]]:
    """Kind and content of each chunk, up to IEND."""
    view, position, kind = memoryview(data), len(_SIGNATURE), b""
    while kind != b"IEND":
        if position + 12 > len(data):
            raise ImageError(f"{name}: {len(data)} bytes of a PNG that is cut off: it has no IEND chunk")
        length, kind = struct.unpack_from(">I4s", data, position)
        end = position + 8 + length
        if end + 4 > len(data):
            raise ImageError(f"{name}: {len(data)} bytes of a PNG that is cut off in its chunk {_printable(kind)}")
        if zlib.crc32(view[position + 4 : end]) != int.from_bytes(view[end : end + 4], "big"):
            raise ImageError(
                f"{name}: {len(data)} bytes of a damaged PNG: the checksum of its chunk {_printable(kind)} at byte "
                f"{position} is wrong; put the whole image in its place"
            )
        yield kind, view[position + 8 : end]
        position = end + 4


def _printable(kind: bytes) -> str:
    return kind.decode("ascii", errors="backslashreplace")


def _facts(image_header: bytes | memoryview) -> _Facts:
    if len(image_header) != 13 or image_header[9] not in _COLOURS:
        raise ValueError("its IHDR chunk is damaged")
    width, height, bits, colours = struct.unpack_from(">IIBB", image_header)
    return _Facts(width, height, bits, _COLOURS[colours])


def _header(facts: _Facts, notes: _Notes) -> Header:
    width, height = upright_size(facts.width, facts.height, _orientation(notes.exif))
    dtype = "uint16" if facts.bits == 16 else "uint8"
    colours = facts.colours
    channels = COLOURS["RGB" if colours == "P" else colours] + (notes.transparent and colours in ("P", "L", "RGB"))
    if notes.transparent and colours in ("L", "RGB"):
        colours += "A"
    elif facts.bits == 1 and colours == "L":
        colours = "1"
    return Header("PNG", mode_name(colours, channels, dtype), width, height, channels, dtype, 1)


def _orientation(exif: bytes) -> int:
    if not exif:
        return 1
    image = Image.new("1", (1, 1))
    image.info["exif"] = exif
    return orientation(image)
