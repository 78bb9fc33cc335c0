"""Image files for tests, saved by a library or assembled from bytes."""

import struct
import zlib
from collections.abc import Sequence
from io import BytesIO
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image

RED, GREEN, BLUE, WHITE, BLACK = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255), (0, 0, 0)


def pillow_file(pixels: NDArray[Any], kind: str, **options: Any) -> bytes:
    file = BytesIO()
    Image.fromarray(pixels).save(file, kind, **options)
    return file.getvalue()


def tiff_file(pixels: NDArray[Any], **options: Any) -> bytes:
    """A TIFF with strips of 8 rows."""
    file = BytesIO()
    tifffile.imwrite(file, pixels, photometric="rgb", rowsperstrip=8, **options)
    return file.getvalue()


def npy_file(array: NDArray[Any]) -> bytes:
    file = BytesIO()
    np.save(file, array)
    return file.getvalue()


def exif(orientation: int) -> Image.Exif:
    tags = Image.Exif()
    tags[0x0112] = orientation
    return tags


def chunk(kind: bytes, payload: bytes) -> bytes:
    """A chunk of a PNG, with its checksum."""
    return struct.pack(">I", len(payload)) + kind + payload + struct.pack(">I", zlib.crc32(kind + payload))


def png(
    size: tuple[int, int], bits: int, colours: int, rows: Sequence[bytes], before: bytes = b"", after: bytes = b""
) -> bytes:
    """A PNG with chunks before and after its pixels; colours as in IHDR: 0 grey, 2 RGB, 3 palette, 4 LA, 6 RGBA."""
    raw = b"".join(b"\0" + row for row in rows)  # filter type 0: none
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", *size, bits, colours, 0, 0, 0))
        + before
        + chunk(b"IDAT", zlib.compress(raw))
        + after
        + chunk(b"IEND", b"")
    )


def shorts(*values: int) -> bytes:
    """Pack 16-bit numbers in the byte order of PNG."""
    return struct.pack(f">{len(values)}H", *values)


def tiff(entries: dict[int, tuple[int, list[int]]], pixels: bytes) -> bytes:
    """A little-endian TIFF with one strip; `entries` maps tags to (type 3 short or 4 long, values)."""
    data = b"II*\0" + struct.pack("<I", 8 + len(pixels)) + pixels
    entries = dict(sorted({**entries, 273: (4, [8]), 279: (4, [len(pixels)])}.items()))
    later = 8 + len(pixels) + 2 + 12 * len(entries) + 4
    page, tail = struct.pack("<H", len(entries)), b""
    for tag, (kind, values) in entries.items():
        packed = struct.pack(f"<{len(values)}{'H' if kind == 3 else 'I'}", *values)
        if len(packed) > 4:
            packed, tail = struct.pack("<I", later + len(tail)), tail + packed
        page += struct.pack("<HHI", tag, kind, len(values)) + packed.ljust(4, b"\0")
    return data + page + struct.pack("<I", 0) + tail


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
    return pillow_file(np.random.default_rng(0).integers(0, 256, (64, 96, 3), np.uint8), "JPEG", quality=90)


def without_segment(data: bytes, marker: int) -> bytes:
    """A JPEG without the segments of this marker."""
    position, kept = 2, data[:2]
    while data[position + 1] != 0xDA:
        end = position + 2 + int.from_bytes(data[position + 2 : position + 4], "big")
        kept += data[position:end] if data[position + 1] != marker else b""
        position = end
    return kept + data[position:]


PASSES = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))
"""First row and column of each pass of an interlaced PNG, and the steps down and across."""


def interlaced_png(pixels: NDArray[Any], colours: int, before: bytes = b"", passes: int = 7) -> bytes:
    """An interlaced PNG of 8 or 16 bits with the first passes of pixels (H, W) or (H, W, C)."""
    parts = [pixels[row::down, column::across] for row, column, down, across in PASSES[:passes]]
    lines = [line for part in parts if part.size for line in part.astype(part.dtype.newbyteorder(">"))]
    head = struct.pack(">IIBBBBB", pixels.shape[1], pixels.shape[0], 8 * pixels.itemsize, colours, 0, 0, 1)
    content = zlib.compress(b"".join(b"\0" + line.tobytes() for line in lines))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + before + chunk(b"IDAT", content) + chunk(b"IEND", b"")


def icc_profile(primaries: str = "rgb", gamma: float = 1.0) -> bytes:
    """An ICC profile with the primaries of sRGB, in this order, and a power curve."""
    srgb = {  # adapted to D50, as profiles have them
        "r": (0.43607, 0.22250, 0.01393), "g": (0.38506, 0.71688, 0.09710), "b": (0.14308, 0.06062, 0.71417),
    }  # fmt: skip

    def xyz(values: Sequence[float]) -> bytes:
        return b"XYZ \0\0\0\0" + struct.pack(">3i", *(round(65536 * value) for value in values))

    curve = b"curv\0\0\0\0" + struct.pack(">IH", 1, round(256 * gamma)) + b"\0\0"
    white = (0.9642, 1.0, 0.8249)
    tags = [(b"wtpt", xyz(white)), *((f"{name}TRC".encode(), curve) for name in "rgb")]
    tags += [(f"{name}XYZ".encode(), xyz(srgb[colour])) for name, colour in zip("rgb", primaries, strict=True)]
    table, content = struct.pack(">I", len(tags)), b""
    for name, tag in tags:
        table += name + struct.pack(">II", 128 + 4 + 12 * len(tags) + len(content), len(tag))
        content += tag
    head = struct.pack(">I4sI4s4s4s", 0, b"\0" * 4, 0x02100000, b"mntr", b"RGB ", b"XYZ ") + bytes(12) + b"acsp"
    head = head.ljust(68, b"\0") + xyz(white)[8:]
    body = head.ljust(128, b"\0") + table + content
    return struct.pack(">I", len(body)) + body[4:]
