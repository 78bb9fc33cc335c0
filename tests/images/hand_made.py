"""Files written byte by byte, for what no library would write."""

import struct
import zlib
from collections.abc import Sequence
from io import BytesIO

import numpy as np
from PIL import Image

RED, GREEN, BLUE, WHITE, BLACK = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255), (0, 0, 0)


def chunk(kind: bytes, payload: bytes) -> bytes:
    """A chunk of a PNG, with its checksum."""
    return struct.pack(">I", len(payload)) + kind + payload + struct.pack(">I", zlib.crc32(kind + payload))


def png(
    size: tuple[int, int], bits: int, colours: int, rows: Sequence[bytes], before: bytes = b"", after: bytes = b""
) -> bytes:
    """A PNG with chunks before and after its pixels; colours as in IHDR: 0 grey, 2 RGB, 3 palette, 4 LA, 6 RGBA."""
    raw = b"".join(b"\0" + row for row in rows)  # each row says that it is not filtered
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", *size, bits, colours, 0, 0, 0))
        + before
        + chunk(b"IDAT", zlib.compress(raw))
        + after
        + chunk(b"IEND", b"")
    )


def shorts(*values: int) -> bytes:
    """16-bit numbers as a PNG has them."""
    return struct.pack(f">{len(values)}H", *values)


def tiff(entries: dict[int, tuple[int, list[int]]], pixels: bytes, next_page: int = 0) -> bytes:
    """A little-endian TIFF with one strip: tag -> (type 3 short or 4 long, values); strip and size are added.

    Args:
        entries: the tags.
        pixels: the strip, behind the header; its page follows.
        next_page: where the page says that the next one is.
    """
    data = b"II*\0" + struct.pack("<I", 8 + len(pixels)) + pixels
    entries = dict(sorted({**entries, 273: (4, [8]), 279: (4, [len(pixels)])}.items()))
    later = 8 + len(pixels) + 2 + 12 * len(entries) + 4
    page, tail = struct.pack("<H", len(entries)), b""
    for tag, (kind, values) in entries.items():
        packed = struct.pack(f"<{len(values)}{'H' if kind == 3 else 'I'}", *values)
        if len(packed) > 4:
            packed, tail = struct.pack("<I", later + len(tail)), tail + packed
        page += struct.pack("<HHI", tag, kind, len(values)) + packed.ljust(4, b"\0")
    return data + page + struct.pack("<I", next_page) + tail


def tags(
    width: int, height: int, photometric: int, bits: Sequence[int], **more: int
) -> dict[int, tuple[int, list[int]]]:
    """The tags that every TIFF has."""
    usual = {256: [width], 257: [height], 258: [*bits], 259: [1], 262: [photometric], 277: [len(bits)], 278: [height]}
    usual |= {int(tag.removeprefix("t")): [value] for tag, value in more.items()}
    return {tag: (3, values) for tag, values in usual.items()}


def jpeg(colour: int | tuple[int, ...] = RED, mode: str = "RGB", size: tuple[int, int] = (16, 16)) -> bytes:
    """A JPEG of one colour."""
    file = BytesIO()
    Image.new(mode, size, colour).save(file, "JPEG", quality=100, subsampling=0)
    return file.getvalue()


def busy_jpeg() -> bytes:
    """A JPEG full of detail, 96×64, with the usual Huffman tables."""
    file = BytesIO()
    noise = np.random.default_rng(0).integers(0, 256, (64, 96, 3), np.uint8)
    Image.fromarray(noise).save(file, "JPEG", quality=90)
    return file.getvalue()


def without_segment(data: bytes, marker: int) -> bytes:
    """A JPEG without the segments of this marker."""
    position, kept = 2, data[:2]
    while data[position + 1] != 0xDA:
        end = position + 2 + int.from_bytes(data[position + 2 : position + 4], "big")
        kept += data[position:end] if data[position + 1] != marker else b""
        position = end
    return kept + data[position:]
