"""Decode plain arrays: NPY, NPZ with one array, and binary PNM (PBM, PGM, PPM).

Sizes are checked before memory is allocated. Pillow would reduce PPM of 16 bits to 8.
"""

import math
import re
import zipfile
from io import BytesIO
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from cyclegan.errors import ImageError
from cyclegan.images.header import Header, Stored, Wanted, mode_name, native, require_decodable, scale_to_full_range

_MOST_CHANNELS = 16
"""Largest axis that is taken for channels where the number of channels is not given."""

# Comments may stand wherever blanks may; a single blank ends the header.
_PNM_NUMBER = rb"(?:[ \t\r\n\v\f]|#[^\r\n]*[\r\n])+(\d{1,10})"
_PBM_HEADER = re.compile(rb"P(4)" + _PNM_NUMBER * 2 + rb"[ \t\r\n\v\f]")
_PGM_PPM_HEADER = re.compile(rb"P([56])" + _PNM_NUMBER * 3 + rb"[ \t\r\n\v\f]")


def header_npy(file: IO[bytes], name: str, channels: int | None) -> Header:
    """Read the header of an NPY file. `channels` decides which axis holds them, if both the first and last could."""
    shape, dtype, _ = _array_header(file)
    return _header("NPY", shape, dtype, channels, name)


def header_npz(file: IO[bytes], name: str, channels: int | None) -> Header:
    """Read the header of the only array in an NPZ file."""
    with zipfile.ZipFile(file) as archive, archive.open(_only_member(archive, name)) as member:
        shape, dtype, _ = _array_header(member)
        return _header("NPZ", shape, dtype, channels, name)


def header_pnm(file: IO[bytes]) -> Header:
    """Read the header of a binary PNM file."""
    return _parse_pnm(file.read(4096))[0]


def decode_npy(data: bytes, wanted: Wanted) -> Stored:
    """Decode an NPY file."""
    return _decode_array("NPY", BytesIO(data), len(data), wanted)


def decode_npz(data: bytes, wanted: Wanted) -> Stored:
    """Decode the only array in an NPZ file."""
    with zipfile.ZipFile(BytesIO(data)) as archive:
        info = _only_member(archive, wanted.name)
        with archive.open(info) as member:
            return _decode_array("NPZ", member, info.file_size, wanted)


def decode_pnm(data: bytes, wanted: Wanted) -> Stored:
    """Decode a binary PNM file, scaled so that its largest value becomes 255, or 65535 if it is above 255."""
    header, largest, start = _parse_pnm(data)
    require_decodable(header, wanted)
    width, height, channels = header.width, header.height, header.channels
    bitmap = header.mode == "1"
    dtype = np.dtype(np.uint8 if largest < 256 else ">u2")
    row = -(-width // 8) if bitmap else width * channels
    if len(data) - start < height * row * dtype.itemsize:
        raise ValueError(f"it is cut off: {height * row * dtype.itemsize} bytes of pixels are needed, "
                         f"{len(data) - start} are left")  # fmt: skip
    values: NDArray[Any] = native(np.frombuffer(data, dtype, height * row, start).reshape(height, row))
    if bitmap:
        values = 1 - np.unpackbits(values, axis=1)[:, :width]  # 1 is black
    if values.max() > largest:
        raise ValueError(f"it holds {values.max()}, but its header gives {largest} as the largest value")
    return Stored(
        scale_to_full_range(values, largest).reshape(height, width, channels), "L" if channels == 1 else "RGB"
    )


def _decode_array(kind: str, file: IO[bytes], size: int, wanted: Wanted) -> Stored:
    shape, dtype, fortran = _array_header(file)
    channels = wanted.pixel_format.channels
    header = _header(kind, shape, dtype, channels, wanted.name)
    require_decodable(header, wanted)
    count = math.prod(shape)
    if size - file.tell() < count * dtype.itemsize:
        raise ImageError(
            f"{wanted.name}: is cut off: an array {shape} of {dtype} needs {count * dtype.itemsize} bytes, "
            f"{size - file.tell()} are left; replace it with an intact file"
        )
    values = file.read(count * dtype.itemsize)
    while file.read(1 << 20):  # to the end, where a zip archive compares its checksum
        pass
    pixels: NDArray[Any] = np.frombuffer(values, dtype, count).reshape(shape, order="F" if fortran else "C")
    if len(shape) == 2:
        pixels = pixels[..., np.newaxis]
    elif _channel_axis(shape, channels, wanted.name) == 0:
        pixels = np.moveaxis(pixels, 0, 2)
    return Stored(native(pixels), header.colours or "bands")


def _array_header(file: IO[bytes]) -> tuple[tuple[int, ...], np.dtype[Any], bool]:
    """Return shape, type and whether the array is in Fortran order."""
    version = npy.read_magic(file)
    read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    shape, fortran, dtype = read(file)
    if dtype.kind not in "biuf":
        raise ValueError(f"it holds {dtype}, not numbers; objects are never unpickled")
    return shape, dtype, fortran


def _only_member(archive: zipfile.ZipFile, name: str) -> zipfile.ZipInfo:
    members = archive.infolist()
    if len(members) != 1:
        keys = ", ".join(member.filename.removesuffix(".npy") for member in members[:8])
        raise ImageError(
            f"{name}: holds {len(members)} arrays ({keys}{', ...' if len(members) > 8 else ''}) instead of one; "
            "save each image as a file of its own"
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
    """Return the axis of three that holds the channels: 2 or 0."""
    fits = [axis for axis in (2, 0) if shape[axis] == channels]
    if len(fits) == 2 and shape[1] != channels:
        raise ImageError(
            f"{name}: is an array {shape}, whose {channels} channels may be its first or its last axis; "
            "save it as (height, width, channels) with another height"
        )
    for usual in ((1, 3), (2, 4), range(_MOST_CHANNELS + 1)):
        fits = fits or [axis for axis in (2, 0) if shape[axis] in usual]
    return fits[0] if fits else 2


def _parse_pnm(data: bytes) -> tuple[Header, int, int]:
    """Return the header, the largest value, and the position of the pixels."""
    match = _PBM_HEADER.match(data, 0, 4096) or _PGM_PPM_HEADER.match(data, 0, 4096)
    if match is None:
        raise ValueError("its header is damaged")
    kind, width, height, largest = (*map(int, match.groups()), 1)[:4]
    if not 0 < largest < 65536:
        raise ValueError(f"its largest value is {largest}, not 1 to 65535")
    colours, dtype = "RGB" if kind == 6 else "L", "uint8" if largest < 256 else "uint16"
    mode = "1" if kind == 4 else mode_name(colours, 1, dtype)
    return Header("PNM", mode, width, height, 3 if kind == 6 else 1, dtype, 1), largest, match.end()
