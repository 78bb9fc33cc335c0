"""Odd TIFF files that are intact."""

from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from PIL import Image

from cyclegan.images import PixelFormat
from tests.images.hand_made import BLUE, GREEN, RED, tags, tiff
from tests.images.odd_files import GREY, RGB, Odd

RAMP = np.arange(64 * 48 * 3, dtype=np.uint16).reshape(64, 48, 3)
BANDS = np.arange(5 * 4 * 6, dtype=np.uint16).reshape(5, 4, 6)
FLAT = np.full((16, 16, 3), 77, np.uint8)
RANGED = PixelFormat(channels=1, range=(-1, 1000))
FOUR, SIX, CMYK = PixelFormat(channels=4), PixelFormat(channels=6), PixelFormat(convert=("cmyk",))
YCBCR = tiff(tags(2, 2, 6, [8, 8, 8]) | {530: (3, [2, 2])}, bytes([0, 255, 255, 0, 128, 128]))
TURNED: dict[str, Any] = {"photometric": "rgb", "extratags": [(274, 3, 1, 6, True)]}


def saved(
    kind: str, stored: Any, expected: Any, pixel_format: PixelFormat = RGB, dtype: type = np.uint8, **options: Any
) -> Odd:

    def make(path: Path) -> None:
        tifffile.imwrite(path, stored, metadata=None, **options)

    return Odd(f"TIFF, {kind}", ".tif", make, expected, pixel_format, dtype)


def u8(*values: object) -> Any:
    return np.array([values], np.uint8)


def f32(*values: float) -> Any:
    return np.array([values], np.float32)


def pages(path: Path) -> None:
    with tifffile.TiffWriter(path) as file:
        for value in (1, 2, 3):
            file.write(np.full((1, 2), value, np.uint8), metadata=None)


def colormap(step: int) -> Any:
    colours = np.zeros((3, 256), np.uint16)
    colours[:, 1] = (255 * step, 1 * step, 2 * step)
    return colours


def ramp(kind: str, **options: Any) -> Odd:
    return saved(kind, RAMP, RAMP, RGB, np.uint16, photometric="rgb", **options)


def typed(dtype: type, values: list[float], out: type, pixel_format: PixelFormat = RANGED) -> Odd:
    return saved(str(np.dtype(dtype)), np.array([values], dtype), [values], pixel_format, out)


KINDS = [
    ramp("16 bits"),
    ramp("LZW", compression="lzw", predictor=True),
    ramp("deflate", compression="zlib"),
    ramp("Zstandard", compression="zstd"),
    ramp("tiles", tile=(16, 32)),
    ramp("big-endian", byteorder=">"),
    ramp("BigTIFF", bigtiff=True),
    saved(
        "planes one after the other", RAMP.transpose(2, 0, 1), RAMP, RGB, np.uint16, photometric="rgb",
        planarconfig="separate",
    ),
    saved(
        "six planes, compressed", BANDS.transpose(2, 0, 1), BANDS, SIX, np.uint16, photometric="minisblack",
        planarconfig="separate", compression="zlib",
    ),
    saved("JPEG compression", FLAT, FLAT, photometric="rgb", compression="jpeg"),
    typed(np.int16, [-1, 999], np.int16, GREY),
    typed(np.int8, [-1, 99], np.float32),
    typed(np.int32, [-1, 999], np.float32),
    typed(np.uint32, [1, 999], np.float32),
    typed(np.float16, [-0.5, 0.25], np.float32),
    typed(np.float32, [-0.5, 0.25], np.float32),
    typed(np.float64, [-0.5, 0.25], np.float32),
    saved("float32 without a range", f32(-0.5, 8), r"float32 from -0\.5 to 8.*range=\[-0\.5, 8\]", GREY),
    Odd("TIFF, 1 bit", ".tif", tiff(tags(3, 1, 1, [1]), b"\x40"), [[0, 255, 0]], GREY),
    Odd("TIFF, 4 bits", ".tif", tiff(tags(2, 1, 1, [4]), b"\x1f"), [[17, 255]], GREY),
    # 65535 / 4095 = 16.004
    Odd("TIFF, 12 bits", ".tif", tiff(tags(2, 1, 1, [12]), b"\x00\x1f\xff"), [[16, 65535]], GREY, np.uint16),
    saved("white is 0", u8(0, 200), [[255, 55]], GREY, photometric="miniswhite"),
    Odd("TIFF, fax", ".tif", lambda p: Image.new("1", (8, 1), 1).save(p, compression="group4"), [[255] * 8], GREY),
    saved("palette", u8(0, 1), [[(0, 0, 0), (255, 1, 2)]], photometric="palette", colormap=colormap(257)),
    saved(
        "palette of 16 bits", u8(0, 1), [[(0, 0, 0), (51255, 201, 402)]], RGB, np.uint16, photometric="palette",
        colormap=colormap(201),
    ),
    saved("opaque alpha", u8((1, 2, 3, 255)), [[(1, 2, 3)]], photometric="rgb", extrasamples=["unassalpha"]),
    saved(
        "premultiplied alpha", u8((51, 0, 0, 51)), [[(255, 0, 0, 51)]], FOUR, photometric="rgb",
        extrasamples=["assocalpha"],
    ),
    saved(
        "RGB and a band that is not alpha", u8((1, 2, 3, 4)), [[(1, 2, 3, 4)]], FOUR, photometric="rgb",
        extrasamples=["unspecified"],
    ),
    saved("six bands", BANDS, BANDS, SIX, np.uint16, photometric="minisblack", planarconfig="contig"),
    saved("CMYK", u8((0, 255, 255, 0), (0, 0, 0, 51)), [[RED, (204, 204, 204)]], CMYK, photometric="separated"),
    saved(
        "CMYK of 16 bits", np.array([[(0, 65535, 0, 0), (0, 0, 0, 5)]], np.uint16),
        [[(65535, 0, 65535), (65530, 65530, 65530)]], CMYK, np.uint16, photometric="separated",
    ),
    saved("LAB", u8((1, 2, 3)), r"CIELAB.*which is not supported; save it as RGB", photometric="cielab"),
    Odd("TIFF, YCbCr without JPEG", ".tif", YCBCR, r"YCBCR.*save it as RGB"),
    saved("orientation", u8(RED, GREEN, BLUE), [[RED], [GREEN], [BLUE]], **TURNED),
    Odd("TIFF, third page", ".tif", pages, [[3, 3]], PixelFormat(channels=1, page=2)),
    Odd("TIFF, missing page", ".tif", pages, r"no page 3.*pages is 3", PixelFormat(1, page=3)),
]  # fmt: skip
