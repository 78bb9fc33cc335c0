"""The sample grids that a page carries in itself."""

import base64
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple, TypeVar

Item = TypeVar("Item")

MAX_IMAGES = 40
MAX_BYTES = 12_000_000
"""Of the JPEG files that a page carries, unless two alone are larger."""


class Image(NamedTuple):
    """A sample grid as a page embeds it."""

    epoch: int
    base64: str


def embed(samples: Mapping[int, Path]) -> list[Image]:
    """Evenly chosen grids, the first and the last among them; the files' own bytes, nothing is encoded anew.

    What cannot be read or is no JPEG file is left out.

    Args:
        samples: the files by epoch, in order.
    """
    sizes = [size_of(path) for path in samples.values()]
    average = sum(sizes) / max(len(sizes), 1)
    room = int(MAX_BYTES / average) if average else MAX_IMAGES
    images = []
    for epoch, path in evenly(list(samples.items()), max(2, min(MAX_IMAGES, room))):
        try:
            data = path.read_bytes()
        except OSError:
            continue
        if data.startswith(b"\xff\xd8") and data.endswith(b"\xff\xd9"):
            images.append(Image(epoch, base64.b64encode(data).decode("ascii")))
    return images


def evenly(items: list[Item], count: int) -> list[Item]:
    """At most `count` items, at least two, at even steps from the first to the last."""
    if len(items) <= count:
        return items
    return [items[round(step * (len(items) - 1) / (count - 1))] for step in range(count)]


def size_of(path: Path) -> int:
    """Bytes of a file; none of one that went away."""
    try:
        return path.stat().st_size
    except OSError:
        return 0
