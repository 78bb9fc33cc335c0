"""Every kind of odd image file: how to make it, and what has to happen. docs/data.md lists the same kinds."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from cyclegan.images import PixelFormat

RGB, GREY = PixelFormat(), PixelFormat(channels=1)


class Odd(NamedTuple):
    """A kind of file.

    `pixels` are all that `read` must give, exactly, one row after the other; or `error` is a pattern of what it says.
    """

    kind: str
    ending: str
    make: Callable[[Path], object]
    pixels: Any = None
    error: str = ""
    pixel_format: PixelFormat = RGB
    dtype: type = np.uint8


def odd_files() -> list[Odd]:
    """All kinds."""
    from tests.images import odd_arrays, odd_faults, odd_rasters, odd_tiffs

    return [*odd_rasters.KINDS, *odd_tiffs.KINDS, *odd_arrays.KINDS, *odd_faults.KINDS]
