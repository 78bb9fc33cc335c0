"""NPY and NPZ."""

import numpy as np

from cyclegan.images import PixelFormat
from tests.images.odd_files import GREY, Odd

FROM_0_TO_1 = PixelFormat(channels=1, range=(0, 1))
TWO_BY_TWO = [[1, 2], [3, 4]]
COLOURS = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
SIX = PixelFormat(channels=6, range=(0, 1))

KINDS = [
    Odd(
        "NPY, (height, width)",
        ".npy",
        lambda p: np.save(p, np.array(TWO_BY_TWO, np.uint8)),
        TWO_BY_TWO,
        pixel_format=GREY,
    ),
    Odd("NPY, (height, width, channels)", ".npy", lambda p: np.save(p, COLOURS), COLOURS),
    Odd("NPY, (channels, height, width)", ".npy", lambda p: np.save(p, COLOURS.transpose(2, 0, 1)), COLOURS),
    Odd("NPY, column after column (Fortran)", ".npy", lambda p: np.save(p, np.asfortranarray(COLOURS)), COLOURS),
    Odd(
        "NPY, channels first or last, which cannot be known",
        ".npy",
        lambda p: np.save(p, np.zeros((3, 8, 3), np.uint8)),
        error=r"may be its first or its last axis",
    ),
    Odd(
        "NPY, six bands of float32",
        ".npy",
        lambda p: np.save(p, np.full((20, 2, 6), 0.25, np.float32)),
        np.full((20, 2, 6), 0.25),
        pixel_format=SIX,
        dtype=np.float32,
    ),
    Odd(
        "NPY, six bands where three are asked for",
        ".npy",
        lambda p: np.save(p, np.zeros((9, 8, 6), np.uint8)),
        error=r"has 6 channels \(6×uint8\).*asks for 3; set channels=6",
    ),
    Odd(
        "NPY, other byte order",
        ".npy",
        lambda p: np.save(p, np.array([[1, 258]], ">u2")),
        [[1, 258]],
        pixel_format=GREY,
        dtype=np.uint16,
    ),
    Odd("NPY, true and false", ".npy", lambda p: np.save(p, np.array([[True, False]])), [[255, 0]], pixel_format=GREY),
    Odd(
        "NPY, float64 with a range",
        ".npy",
        lambda p: np.save(p, np.array([[0.5, 1e300]])),
        [[0.5, float(np.finfo(np.float32).max)]],
        pixel_format=FROM_0_TO_1,
        dtype=np.float32,
    ),
    Odd(
        "NPY, int64 without a range",
        ".npy",
        lambda p: np.save(p, np.array([[-7, 900]])),
        error=r"int64 from -7 to 900.*range=\[-7, 900\]",
        pixel_format=GREY,
    ),
    Odd(
        "NPY, NaN or infinite",
        ".npy",
        lambda p: np.save(p, np.array([[0, np.nan, np.inf]], np.float32)),
        error=r"2 of its values are NaN or infinite",
        pixel_format=FROM_0_TO_1,
    ),
    Odd(
        "NPY with Python objects",
        ".npy",
        lambda p: np.save(p, np.array([[{}]]), allow_pickle=True),
        error=r"object.*never unpickled",
    ),
    Odd("NPY of four axes", ".npy", lambda p: np.save(p, np.zeros((2, 8, 8, 3), np.uint8)), error=r"images are"),
    Odd("NPZ with one array", ".npz", lambda p: np.savez_compressed(p, image=COLOURS), COLOURS),
    Odd(
        "NPZ with two arrays",
        ".npz",
        lambda p: np.savez(p, image=COLOURS, mask=COLOURS),
        error=r"holds 2 arrays \(image, mask\)",
    ),
    Odd("NPZ with nothing in it", ".npz", lambda p: np.savez(p), error=r"holds 0 arrays"),
    Odd(
        "NPZ that unpacks to 90 MB (a bomb)",
        ".npz",
        lambda p: np.savez_compressed(p, np.zeros((9500, 9500), np.uint8)),
        error=r"9500×9500 pixels large, more than",
        pixel_format=GREY,
    ),
]
