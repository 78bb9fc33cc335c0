"""PBM, PGM and PPM, as text and as bytes: Pillow squeezes their 16 bits, and takes texts that are cut off."""

import re
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from cyclegan.images.header import Header, Stored, Wanted, bits_scaled, mode_name
from cyclegan.images.suitable import require_decodable

# Comments may stand wherever blanks may; a single blank ends the header.
_NUMBER = rb"(?:[ \t\r\n\v\f]|#[^\r\n]*[\r\n])+(\d{1,10})"
_BITMAP = re.compile(rb"P([14])" + _NUMBER * 2 + rb"[ \t\r\n\v\f]")
_OTHER = re.compile(rb"P([2356])" + _NUMBER * 3 + rb"[ \t\r\n\v\f]")
_COMMENT = re.compile(rb"#[^\r\n]*")
_ONLY_NUMBERS = re.compile(rb"[0-9 \t\r\n\v\f]*")


def header(file: IO[bytes]) -> Header:
    """What the file says about its image."""
    return _parsed(file.read(4096))[0]


def decode(data: bytes, wanted: Wanted) -> Stored:
    """The whole image; white is 255, or 65535 where the file counts beyond 255."""
    head, kind, largest, start = _parsed(data)
    require_decodable(head, wanted)
    count = head.width * head.height * head.channels
    if kind == 4:
        row = -(-head.width // 8)  # bytes; the last one is filled up
        packed = _raw(data, start, row * head.height, np.dtype(np.uint8)).reshape(head.height, row)
        values = 1 - np.unpackbits(packed, axis=1)[:, : head.width]  # 1 is black
    elif kind >= 5:
        values = _raw(data, start, count, np.dtype(np.uint8 if largest < 256 else ">u2"))
    else:
        values = _text(data[start:], count, largest)
        values = 1 - values if kind == 1 else values
    if values.max() > largest:
        raise ValueError(f"it holds {values.max()}, but says that its largest value is {largest}")
    pixels = bits_scaled(values, largest).reshape(head.height, head.width, head.channels)
    return Stored(pixels, "L" if head.channels == 1 else "RGB")


def _parsed(data: bytes) -> tuple[Header, int, int, int]:
    """The header; the kind, 1 to 6; the largest value; where the pixels begin."""
    match = _BITMAP.match(data, 0, 4096) or _OTHER.match(data, 0, 4096)
    if match is None:
        raise ValueError("its header is damaged")
    kind, width, height, largest = (*map(int, match.groups()), 1)[:4]
    if not 0 < largest < 65536:
        raise ValueError(f"its largest value is {largest}, not 1 to 65535")
    colours, dtype = "RGB" if kind in (3, 6) else "L", "uint8" if largest < 256 else "uint16"
    mode = "1" if kind in (1, 4) else mode_name(colours, 1, dtype)
    return Header("PNM", mode, width, height, 3 if colours == "RGB" else 1, dtype, 1), kind, largest, match.end()


def _raw(data: bytes, start: int, count: int, dtype: np.dtype[Any]) -> NDArray[Any]:
    if len(data) - start < count * dtype.itemsize:
        raise ValueError(
            f"it is cut off: {count * dtype.itemsize} bytes of pixels are wanted, {len(data) - start} left"
        )
    return np.frombuffer(data, dtype, count, start).astype(dtype.newbyteorder("="))


def _text(text: bytes, count: int, largest: int) -> NDArray[Any]:
    text = _COMMENT.sub(b"", text)
    if not _ONLY_NUMBERS.fullmatch(text):
        raise ValueError("there is something else than numbers among its pixels")
    if largest == 1 and count > 0 and len(text) >= count and not text.isspace():
        digits = b"".join(text.split())
        # Only the bits of P1 may stand without blanks between them.
        if len(digits) >= count and set(digits[:count]) <= set(b"01"):
            return np.frombuffer(digits, np.uint8, count) - np.uint8(48)
    numbers = text.split(None, count)[:count]
    if len(numbers) < count:
        raise ValueError(f"it is cut off: {count} values are wanted, {len(numbers)} are there")
    if text.endswith(numbers[-1]) and len(numbers[-1]) < len(str(largest)):
        raise ValueError("it is cut off in its last number, or lacks the line break after it")
    if max(map(len, numbers)) > 9:
        raise ValueError("it holds a number that is too large")
    return np.array(numbers).astype(np.int64)
