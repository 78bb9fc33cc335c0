"""Decode PNG with imagecodecs, or with Pillow, which is slower and reads at most 8 bits per channel.

Pillow reduces RGB of 16 bits to 8, and leaves missing rows black without an error.
"""

import logging
import struct
import zlib
from collections.abc import Iterator
from io import BytesIO
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, PngImagePlugin

from cyclegan.images.header import COLOURS, Header, Stored, Wanted, require_decodable, upright, upright_size
from cyclegan.images.pillow_formats import exif_orientation

_COLOUR_TYPES = {0: "L", 2: "RGB", 3: "RGB", 4: "LA", 6: "RGBA"}
"""Colours for each colour type of the chunk IHDR; 3 is a palette."""
_LARGEST_PROFILE = 1 << 24
_ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
"""First column and row of each pass of an interlaced image, and the steps across and down."""

# libpng warns of every interlaced image, although it decodes it correctly.
logging.getLogger("imagecodecs").addFilter(lambda record: "Interlace handling" not in record.getMessage())


def header(file: IO[bytes]) -> Header:
    """Read the chunks before the pixels. An EXIF orientation after the pixels is not seen."""
    return _header(_read_chunks(file, b"IDAT"))


def decode(data: bytes, wanted: Wanted) -> Stored:
    """Decode an image, after checking the checksums of all its chunks."""
    chunks = _read_chunks(BytesIO(data), b"IEND")
    header = _header(chunks)
    require_decodable(header, wanted)
    try:
        import imagecodecs  # slow to import, and headers do not need it

        pixels = np.asarray(imagecodecs.png_decode(data))
    except ModuleNotFoundError:
        if header.dtype == "uint16":
            raise
        pixels = _decode_with_pillow(chunks, header.colours)
    pixels = pixels if pixels.ndim == 3 else pixels[..., np.newaxis]
    colours = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}[pixels.shape[2]]
    return Stored(upright(pixels, _orientation(chunks)), colours, _profile(chunks))


def _decode_with_pillow(chunks: dict[bytes, bytes], colours: str) -> NDArray[Any]:
    needed = [(kind, chunks[kind]) for kind in (b"IHDR", b"PLTE", b"tRNS", b"IDAT") if kind in chunks]
    file = BytesIO(b"\x89PNG\r\n\x1a\n")
    file.seek(8)
    for kind, content in [*needed, (b"IEND", b"")]:
        PngImagePlugin.putchunk(file, kind, content)
    file.seek(0)
    image = PngImagePlugin.PngImageFile(file)
    image.load()
    # Missing rows are black, of a palette those of index 0; unpacking the whole image again takes as long as decoding.
    if image.info.get("interlace") or not np.asarray(image)[-1].any():
        size = sum(rows * row_bytes for rows, row_bytes in _passes(chunks[b"IHDR"]))
        if len(zlib.decompressobj().decompress(chunks[b"IDAT"], size)) < size:
            raise ValueError("it has too few rows")
    bits, colour_type = chunks[b"IHDR"][8:10]
    if colour_type == 0 and b"tRNS" in chunks:  # a transparent grey, which Pillow does not scale as it does the pixels
        transparent = int.from_bytes(chunks[b"tRNS"][:2], "big") * 255 // (2**bits - 1)
        image.info.pop("transparency", None)
        grey = np.asarray(image.convert("L"))
        return np.stack([grey, np.where(grey == transparent, np.uint8(0), np.uint8(255))], axis=-1)
    return np.array(image if image.mode == colours else image.convert(colours))


def _passes(image_header: bytes) -> Iterator[tuple[int, int]]:
    """Yield rows and bytes a row of each pass: of the only one, or of the seven of an interlaced image."""
    width, height, bits, colour_type, *_, interlaced = struct.unpack(">IIBBBBB", image_header)
    bits *= {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour_type]
    for x, y, across, down in _ADAM7 if interlaced else ((0, 0, 1, 1),):
        columns, rows = -((x - width) // across), -((y - height) // down)
        if columns > 0:
            yield max(rows, 0), 1 + -(-columns * bits // 8)


def _read_chunks(file: IO[bytes], end: bytes) -> dict[bytes, bytes]:
    """Return the content of each kind of chunk before the first of kind `end`; of IDAT, all joined."""
    # The checksums are compared here although libpng does so too: libpng only drops a damaged tRNS chunk, and each
    # error of imagecodecs.png_decode loses a reference to None, which ends the process after some thousands.
    chunks: dict[bytes, bytes] = {}
    packed: list[bytes] = []
    file.seek(8)
    while len(start := file.read(8)) == 8:
        length, kind = struct.unpack(">I4s", start)
        if kind == end:
            return {**chunks, b"IDAT": b"".join(packed)}
        content, checksum = file.read(length), file.read(4)
        if len(checksum) < 4:
            raise ValueError(f"it is cut off in its {kind.decode('latin-1')} chunk")
        if zlib.crc32(content, zlib.crc32(kind)) != int.from_bytes(checksum, "big"):
            raise ValueError(f"the checksum of its {kind.decode('latin-1')} chunk is wrong")
        if kind == b"IDAT":
            packed.append(content)
        else:
            chunks[kind] = content
    raise ValueError(f"it is cut off: it has no {end.decode()} chunk")


def _header(chunks: dict[bytes, bytes]) -> Header:
    image_header = chunks.get(b"IHDR", b"")
    if len(image_header) != 13 or image_header[9] not in _COLOUR_TYPES:
        raise ValueError("its IHDR chunk is missing or damaged")
    width, height, bits, colour_type = struct.unpack_from(">IIBB", image_header)
    colours = _COLOUR_TYPES[colour_type]
    if b"tRNS" in chunks and colours in ("L", "RGB"):
        colours += "A"
    size = upright_size(width, height, _orientation(chunks))
    return Header("PNG", colours, *size, COLOURS[colours], "uint16" if bits == 16 else "uint8", 1)


def _orientation(chunks: dict[bytes, bytes]) -> int:
    image = Image.new("1", (1, 1))
    image.info["exif"] = chunks.get(b"eXIf", b"")
    return exif_orientation(image)


def _profile(chunks: dict[bytes, bytes]) -> bytes:
    packed = chunks.get(b"iCCP", b"").partition(b"\0")[2][1:]  # after the profile's name, a zero and the method
    try:
        return zlib.decompressobj().decompress(packed, _LARGEST_PROFILE)
    except zlib.error:
        return packed  # not a profile: `to_srgb` logs a warning
