"""Odd NPY and NPZ files."""

from pathlib import Path
from typing import Any

import numpy as np

from cyclegan.images import PixelFormat
from tests.images.hand_made import numpy_file
from tests.images.odd_files import GREY, RGB, Odd

FROM_0_TO_1 = PixelFormat(channels=1, range=(0, 1))
SIX = PixelFormat(channels=6, range=(0, 1))
COLOURS = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
BANDS = np.full((20, 2, 6), 0.25, np.float32)
BOTH = np.zeros((3, 8, 3), np.uint8)
TWO_ARRAYS = numpy_file(np.savez, image=BOTH, mask=BOTH)


def npy(kind: str, array: Any, pixels: Any, pixel_format: PixelFormat = RGB, dtype: type = np.uint8) -> Odd:
    """An NPY file; `pixels` is the pattern of an error if it is a string."""
    expected = {"error": pixels} if isinstance(pixels, str) else {"pixels": pixels}
    return Odd(f"NPY, {kind}", ".npy", numpy_file(np.save, array), pixel_format=pixel_format, dtype=dtype, **expected)


def bomb(path: Path) -> None:
    np.savez_compressed(path, np.zeros((9500, 9500), np.uint8))


KINDS = [
    npy("(height, width)", np.array([[1, 2], [3, 4]], np.uint8), [[1, 2], [3, 4]], GREY),
    npy("(height, width, channels)", COLOURS, COLOURS),
    npy("(channels, height, width)", COLOURS.transpose(2, 0, 1), COLOURS),
    npy("Fortran order", np.asfortranarray(COLOURS), COLOURS),
    npy("channels first or last, ambiguous", BOTH, r"may be its first or its last axis"),
    npy("six bands of float32", BANDS, BANDS, SIX, np.float32),
    npy("six bands, read as RGB", np.zeros((9, 8, 6), np.uint8), r"has 6 channels \(6×uint8\).*3; set channels=6"),
    npy("other byte order", np.array([[1, 258]], ">u2"), [[1, 258]], GREY, np.uint16),
    npy("bool", np.array([[True, False]]), [[255, 0]], GREY),
    npy("float64", np.array([[0.5, 1e300]]), [[0.5, float(np.finfo(np.float32).max)]], FROM_0_TO_1, np.float32),
    npy("int64 without a range", np.array([[-7, 900]]), r"int64 from -7 to 900.*range=\[-7, 900\]", GREY),
    npy("NaN", np.array([[0, np.nan, np.inf]], np.float32), r"2 of its values are NaN", FROM_0_TO_1),
    npy("Python objects", np.array([[{}]]), r"object.*never unpickled"),
    npy("four axes", np.zeros((2, 8, 8, 3), np.uint8), r"images are"),
    Odd("NPZ, one array", ".npz", numpy_file(np.savez_compressed, image=COLOURS), COLOURS),
    Odd("NPZ, two arrays", ".npz", TWO_ARRAYS, error=r"holds 2 arrays \(image, mask\)"),
    Odd("NPZ, empty", ".npz", numpy_file(np.savez), error=r"holds 0 arrays"),
    Odd("NPZ, a bomb of 90 MB", ".npz", bomb, pixel_format=GREY, error=r"9500×9500 pixels, more than"),
]
