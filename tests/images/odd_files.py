"""Odd image files, each with the expected pixels or the expected error of `read`.

`python -m tests.images.odd_files > docs/odd-files.md` writes the page that lists them.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from cyclegan.images import PixelFormat

RGB, GREY = PixelFormat(), PixelFormat(channels=1)

INTRODUCTION = """\
# Odd image files

A file is recognised by its content, not by its extension. It is decoded completely or refused with an error that names
the file, what was found and what to do; it never becomes an image that is partly grey or black. This page is generated
from the tests: `tests/images/` makes a file of each kind, and compares every pixel or the error with what is expected.

The settings are keys of `data.domains.A` that the file is read with; without any, it is read as RGB.

| Kind of file | Settings | Result |
|---|---|---|"""

LIMITS = """
Damage that cannot be noticed: a JPEG in which coded pixels were replaced by others, or by zeros if its own Huffman
tables give zeros a meaning (those of an optimised file may); and changed bytes in formats without a checksum (BMP, PNM,
GIF, WebP, NPY, and TIFF without deflate). Such files have the right size and wrong colours."""


class Odd(NamedTuple):
    """A kind of file."""

    kind: str
    extension: str
    make: bytes | Callable[[Path], object]  # content, or a function that writes the file
    expected: Any  # pixels; or the pattern of the expected error, a string
    pixel_format: PixelFormat = RGB
    dtype: Any = np.uint8


def odd_files() -> list[Odd]:
    from tests.images import odd_faults, odd_npy, odd_rasters, odd_tiffs

    return [*odd_rasters.KINDS, *odd_tiffs.KINDS, *odd_npy.KINDS, *odd_faults.KINDS]


def page() -> str:
    rows = (f"| {odd.kind} | {_settings(odd.pixel_format)} | {_result(odd)} |" for odd in odd_files())
    return "\n".join([INTRODUCTION, *rows, LIMITS, ""])


def _settings(pixel_format: PixelFormat) -> str:
    words = {
        "channels": str(pixel_format.channels) if pixel_format.channels != 3 else "",
        "range": "[{:g}, {:g}]".format(*pixel_format.range) if pixel_format.range else "",
        "page": str(pixel_format.page or ""),
        "convert": f"[{', '.join(pixel_format.convert)}]" if pixel_format.convert else "",
    }
    return ", ".join(f"`{key}={value}`" for key, value in words.items() if value)


def _result(odd: Odd) -> str:
    return "refused" if isinstance(odd.expected, str) else f"read as {np.dtype(odd.dtype)}"


if __name__ == "__main__":
    print(page(), end="")
