"""Decode NumPy's NPY files, with the channels on the last axis, the first, or without a channel axis."""

from io import BytesIO
from typing import IO

import numpy as np
from numpy.lib import format as npy_format

from cyclegan.errors import ImageError
from cyclegan.images.header import Header, Stored, Wanted, require_decodable

_MOST_CHANNELS = 16
"""Largest axis that is taken for channels if none has the wanted number."""


def header(file: IO[bytes], name: str, channels: int | None) -> Header:
    """Read the header. `channels` decides which axis holds them, if both the first and last could."""
    version = npy_format.read_magic(file)
    read = npy_format.read_array_header_1_0 if version == (1, 0) else npy_format.read_array_header_2_0
    shape, _, dtype = read(file)
    if len(shape) not in (2, 3):
        raise ValueError(f"it is an array {shape}; images are (height, width) or (height, width, channels)")
    if len(shape) == 2:
        height, width, depth = *shape, 1
    elif _channel_axis(shape, channels, name) == 0:
        depth, height, width = shape
    else:
        height, width, depth = shape
    colours = {1: "L", 3: "RGB"}.get(depth, "bands")
    return Header("NPY", colours, width, height, depth, "uint8" if dtype == np.bool_ else dtype.name, 1)


def decode(data: bytes, wanted: Wanted) -> Stored:
    """Decode an array of numbers; Python objects are never unpickled."""
    head = header(BytesIO(data), wanted.name, wanted.pixel_format.channels)
    require_decodable(head, wanted)
    pixels = np.load(BytesIO(data), allow_pickle=False)
    if pixels.ndim == 2:
        pixels = pixels[..., np.newaxis]
    elif pixels.shape != (head.height, head.width, head.channels):
        pixels = np.moveaxis(pixels, 0, 2)
    return Stored(pixels, head.colours)


def _channel_axis(shape: tuple[int, ...], channels: int | None, name: str) -> int:
    fits = [axis for axis in (2, 0) if shape[axis] == channels]
    if len(fits) == 2 and shape[1] != channels:
        raise ImageError(
            f"{name}: is an array {shape}, whose {channels} channels may be its first or its last axis; "
            "save it as (height, width, channels) with another height"
        )
    few = [axis for axis in (2, 0) if shape[axis] <= _MOST_CHANNELS]
    return next(iter(fits or few), 2)
