"""NPY and NPZ: arrays of numpy, whose sizes are checked before memory is taken."""

import math
import zipfile
from io import BytesIO
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from cyclegan.errors import ImageError
from cyclegan.images.header import Header, Stored, Wanted, mode_name, native
from cyclegan.images.suitable import require_decodable

_FEW = 16
"""Fewer channels than this many, or as many, are taken for channels where nobody says how many there are."""


def header_npy(file: IO[bytes], name: str, channels: int | None) -> Header:
    """What an NPY file says about its array; how many channels are wanted may decide which axis they are."""
    shape, dtype, _ = _array_header(file)
    return _header("NPY", shape, dtype, channels, name)


def header_npz(file: IO[bytes], name: str, channels: int | None) -> Header:
    """What an NPZ file says about its only array."""
    with zipfile.ZipFile(file) as archive, archive.open(_only_member(archive, name)) as member:
        shape, dtype, _ = _array_header(member)
        return _header("NPZ", shape, dtype, channels, name)


def decode_npy(data: bytes, wanted: Wanted) -> Stored:
    """The array as an image."""
    file = BytesIO(data)
    return _image("NPY", file, len(data), wanted)


def decode_npz(data: bytes, wanted: Wanted) -> Stored:
    """The only array of the archive as an image."""
    with zipfile.ZipFile(BytesIO(data)) as archive:
        info = _only_member(archive, wanted.name)
        with archive.open(info) as member:
            return _image("NPZ", member, info.file_size, wanted)


def _image(kind: str, file: IO[bytes], size: int, wanted: Wanted) -> Stored:
    shape, dtype, fortran = _array_header(file)
    channels = wanted.pixel_format.channels
    head = _header(kind, shape, dtype, channels, wanted.name)
    require_decodable(head, wanted)
    count = math.prod(shape)
    if size - file.tell() < count * dtype.itemsize:
        raise ImageError(
            f"{wanted.name}: is cut off: an array {shape} of {dtype} needs {count * dtype.itemsize} bytes, "
            f"{size - file.tell()} are there; put the whole image in its place"
        )
    values = file.read(count * dtype.itemsize)
    while file.read(1 << 20):  # to the end, where a zip archive compares its checksum
        pass
    pixels: NDArray[Any] = np.frombuffer(values, dtype, count).reshape(shape, order="F" if fortran else "C")
    if len(shape) == 2:
        pixels = pixels[..., np.newaxis]
    elif _channel_axis(shape, channels, wanted.name) == 0:
        pixels = np.moveaxis(pixels, 0, 2)
    return Stored(native(pixels), head.colours or "bands")


def _array_header(file: IO[bytes]) -> tuple[tuple[int, ...], np.dtype[Any], bool]:
    """Shape, type, and whether columns come first."""
    version = npy.read_magic(file)
    read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    shape, fortran, dtype = read(file)
    if dtype.kind not in "biuf":
        raise ValueError(f"it holds {dtype}, which are no pixels; objects are never unpickled")
    return shape, dtype, fortran


def _only_member(archive: zipfile.ZipFile, name: str) -> zipfile.ZipInfo:
    members = archive.infolist()
    if len(members) != 1:
        keys = ", ".join(member.filename.removesuffix(".npy") for member in members[:8])
        raise ImageError(
            f"{name}: holds {len(members)} arrays ({keys}{', ...' if len(members) > 8 else ''}), and which of them is "
            "the image cannot be known; save each image as a file of its own"
        )
    return members[0]


def _header(kind: str, shape: tuple[int, ...], dtype: np.dtype[Any], channels: int | None, name: str) -> Header:
    stored = "uint8" if dtype == np.bool_ else dtype.name
    if len(shape) == 2:
        (height, width), depth = shape, 1
    elif len(shape) == 3:
        axis = _channel_axis(shape, channels, name)
        depth = shape[axis]
        height, width = shape[:2] if axis == 2 else shape[1:]
    else:
        raise ValueError(f"it is an array {shape}; images are (height, width) or (height, width, channels)")
    mode = mode_name({1: "L", 3: "RGB"}.get(depth, "bands"), depth, stored)
    return Header(kind, mode, width, height, depth, stored, 1)


def _channel_axis(shape: tuple[int, ...], channels: int | None, name: str) -> int:
    """Which axis of three holds the channels: 2 or 0."""
    fits = [axis for axis in (2, 0) if shape[axis] == channels]
    if len(fits) == 2 and shape[1] != channels:
        raise ImageError(
            f"{name}: is an array {shape}, whose {channels} channels may be its first or its last axis; "
            "save it as (height, width, channels) with another height"
        )
    for usual in ((1, 3), (2, 4), range(_FEW + 1)):
        fits = fits or [axis for axis in (2, 0) if shape[axis] in usual]
    return fits[0] if fits else 2
