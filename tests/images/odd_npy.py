"""Odd NPY files."""

from typing import Any

import numpy as np

from cyclegan.images import PixelFormat
from tests.images.hand_made import npy_file
from tests.images.odd_files import GREY, RGB, Odd

FROM_0_TO_1 = PixelFormat(channels=1, range=(0, 1))
SIX = PixelFormat(channels=6, range=(0, 1))
COLOURS = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
BANDS = np.full((20, 2, 6), 0.25, np.float32)
BOTH = np.zeros((3, 8, 3), np.uint8)


def npy(kind: str, array: Any, expected: Any, pixel_format: PixelFormat = RGB, dtype: type = np.uint8) -> Odd:
    return Odd(f"NPY, {kind}", ".npy", npy_file(array), expected, pixel_format, dtype)


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
    npy("Python objects", np.array([[{}]]), r"Object arrays cannot be loaded"),
    npy("four axes", np.zeros((2, 8, 8, 3), np.uint8), r"images are"),
]
