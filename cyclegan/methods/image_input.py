"""Images of a program, and of files, as pixels that a generator can translate."""

import os
from io import BytesIO
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from cyclegan.images import PixelFormat, Pixels, decode, read

ImageInput = Image.Image | NDArray[Any] | str | os.PathLike[str]
"""An image: of Pillow, an array (H, W, C) or (H, W), or the path of a file."""

_PNG_MODES = ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")


def pixels_of(image: ImageInput, pixel_format: PixelFormat) -> Pixels:
    """Return the pixels (H, W, C) of an image in a domain's format, as if it were read from a file.

    Raises:
        ImageError: it cannot be read, or has other channels.
    """
    if isinstance(image, str | os.PathLike):
        return read(Path(image), pixel_format)
    buffer = BytesIO()
    if isinstance(image, np.ndarray):
        np.save(buffer, image)
    else:
        upright = ImageOps.exif_transpose(image)
        upright = upright if upright.mode in _PNG_MODES else upright.convert("RGB")
        upright.save(buffer, "PNG", compress_level=0)
    return decode(buffer.getvalue(), f"the given {type(image).__name__}", pixel_format)


def padded_size(width: int, height: int, multiple: int, minimum: int) -> tuple[int, int]:
    """Return the least width and height that a generator takes and that hold an image of this size."""
    wide, high = (-(-max(side, minimum) // multiple) * multiple for side in (width, height))
    return wide, high


def padded(pixels: Pixels, width: int, height: int) -> Pixels:
    """Pad pixels (H, W, C) by reflection on the right and below to (height, width, C)."""
    below, right = height - pixels.shape[0], width - pixels.shape[1]
    enlarged: Any = np.pad(pixels, ((0, below), (0, right), (0, 0)), "reflect")
    return cast("Pixels", enlarged)
