"""JPEG: is it whole, how small may it be decoded, and which way round are its inks?"""

import re
from io import BytesIO
from typing import Any

from cyclegan.errors import ImageError
from cyclegan.images.header import Header, Stored, Wanted
from cyclegan.images.raster import header_of_image, open_image, orientation, stored
from cyclegan.images.suitable import require_decodable

# In the coded pixels a byte FF is followed by 00, by a restart marker D0 to D7, or by another FF that fills up.
_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
_START_OF_IMAGE, _END_OF_IMAGE, _START_OF_SCAN, _HUFFMAN_TABLES = 0xD8, 0xD9, 0xDA, 0xC4
_SEQUENTIAL = (0xC0, 0xC1)
_HOLE = bytes(64)


def decode(data: bytes, wanted: Wanted) -> Stored:
    """The whole image; smaller if `wanted.at_least` allows it."""
    image: Any = open_image("JPEG", BytesIO(data))
    turned = orientation(image)
    header: Header = header_of_image("JPEG", image)
    require_decodable(header, wanted)
    require_whole(data, wanted.name)
    if wanted.at_least is not None:
        across, down = (max(side, 1) for side in wanted.at_least)
        lies = (header.width, header.height) != image.size
        image.draft(None, (down, across) if lies else (across, down))
    image.load()
    jpeg = stored(image, turned)
    if jpeg.mode == "CMYK" and "adobe" not in image.info:
        # Adobe's programs store inks upside down. Pillow takes every file for one of theirs.
        return jpeg._replace(pixels=255 - jpeg.pixels)
    return jpeg


def require_whole(data: bytes, name: str) -> None:
    """Refuses a JPEG without an end: libjpeg would decode what is missing as grey, often without a word.

    Raises:
        ImageError: it ends before its end, or has a hole of zeros that cannot be coded pixels.
    """
    position, first_scan, zeros_mean, sequential, components = 0, 0, None, False, 0
    shortest: dict[int, int] = {}
    while True:
        found = _MARKER.search(data, position)
        if found is None:
            raise ImageError(
                f"{name}: {len(data)} bytes of a JPEG that is cut off: it has no end of image "
                "(FF D9) after its pixels; put the whole image in its place"
            )
        position = found.start()
        marker = data[position + 1]
        if marker == _END_OF_IMAGE and first_scan:
            if zeros_mean:
                _require_no_hole(data, first_scan, name)
            return
        if marker in (_START_OF_IMAGE, _END_OF_IMAGE, 0x01):  # without a length
            position += 2
            continue
        length = int.from_bytes(data[position + 2 : position + 4], "big")
        segment = data[position + 4 : position + 2 + length]
        position += 2 + max(length, 2)
        if marker in _SEQUENTIAL:
            sequential, components = True, segment[5]
        elif marker == _HUFFMAN_TABLES:
            shortest.update(_shortest_codes(segment))
        elif marker == _START_OF_SCAN:
            is_first, first_scan = not first_scan, first_scan or position
            if sequential and is_first:
                zeros_mean = shortest.get(0x10 | segment[2] & 15)
                if segment[0] == components:  # the only scan, so its end is the end; markers need not be looked for
                    position = max(position, data.rfind(b"\xff\xd9"))


def _shortest_codes(segment: bytes) -> dict[int, int]:
    """Of each Huffman table in a segment DHT (16 · is it AC + number): what a code of nothing but zeros means."""
    shortest, start = {}, 0
    while start + 17 < len(segment):
        count = sum(segment[start + 1 : start + 17])
        shortest[segment[start]] = segment[start + 17]
        start += 17 + count
    return shortest


def _require_no_hole(data: bytes, start: int, name: str) -> None:
    """Refuses many zeros in the coded pixels that begin here.

    Where a part of a file was never filled in, it is zeros, which decode without a word. If zeros mean "the rest of
    this block is empty" (0), they may be a plain area, and nobody can tell; if they mean a step, then block after
    block would consist of nothing but steps, which no image does.
    """
    hole = data.find(_HOLE, start)
    if hole >= 0 and not _MARKER.search(data, start, hole):  # behind the end there may be anything
        raise ImageError(
            f"{name}: {len(data)} bytes of a JPEG with a hole: from byte {hole} on there are zeros in place of "
            "pixels; put the whole image in its place"
        )
