"""TIFF that is read, or lacks a word of permission."""

from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from PIL import Image

from cyclegan.images import PixelFormat
from tests.images.hand_made import BLUE, GREEN, RED, WHITE, tags, tiff
from tests.images.odd_files import GREY, Odd

RAMP = np.arange(64 * 48 * 3, dtype=np.uint16).reshape(64, 48, 3)
BANDS = np.arange(5 * 4 * 6, dtype=np.uint16).reshape(5, 4, 6)
RANGED = PixelFormat(channels=1, range=(-1, 1000))


def write(path: Path, pixels: Any, **options: Any) -> None:
    tifffile.imwrite(path, pixels, metadata=None, **options)


def pages(path: Path) -> None:
    with tifffile.TiffWriter(path) as file:
        for value in (1, 2, 3):
            file.write(np.full((1, 2), value, np.uint8), metadata=None)


def palette(path: Path, step: int) -> None:
    colours = np.zeros((3, 256), np.uint16)
    colours[:, 1] = (255 * step, 1 * step, 2 * step)
    write(path, np.array([[0, 1]], np.uint8), photometric="palette", colormap=colours)


def compressed(name: str, **options: Any) -> Odd:
    return Odd(f"TIFF, {name}", ".tif", lambda p: write(p, RAMP, photometric="rgb", **options), RAMP, dtype=np.uint16)


def typed(dtype: type, values: list[float], out: type, pixel_format: PixelFormat = RANGED) -> Odd:
    def make(path: Path) -> None:
        write(path, np.array([values], dtype))

    return Odd(f"TIFF, {np.dtype(dtype)}", ".tif", make, [values], pixel_format=pixel_format, dtype=out)


KINDS = [
    compressed("16 bits"),
    compressed("LZW", compression="lzw", predictor=True),
    compressed("deflate", compression="zlib"),
    compressed("Zstandard", compression="zstd"),
    compressed("tiles", tile=(16, 32)),
    Odd(
        "TIFF, planes one after the other",
        ".tif",
        lambda p: write(p, RAMP.transpose(2, 0, 1), photometric="rgb", planarconfig="separate"),
        RAMP,
        dtype=np.uint16,
    ),
    Odd(
        "TIFF, six planes, compressed",
        ".tif",
        lambda p: write(
            p, BANDS.transpose(2, 0, 1), photometric="minisblack", planarconfig="separate", compression="zlib"
        ),
        BANDS,
        pixel_format=PixelFormat(channels=6),
        dtype=np.uint16,
    ),
    compressed("big-endian", byteorder=">"),
    compressed("BigTIFF", bigtiff=True),
    Odd(
        "TIFF, JPEG inside",
        ".tif",
        lambda p: write(p, np.full((16, 16, 3), 77, np.uint8), photometric="rgb", compression="jpeg"),
        np.full((16, 16, 3), 77),
    ),
    typed(np.int16, [-1, 999], np.int16, GREY),
    typed(np.int8, [-1, 99], np.float32),
    typed(np.int32, [-1, 999], np.float32),
    typed(np.uint32, [1, 999], np.float32),
    typed(np.float16, [-0.5, 0.25], np.float32),
    typed(np.float32, [-0.5, 0.25], np.float32),
    typed(np.float64, [-0.5, 0.25], np.float32),
    Odd(
        "TIFF, float32 without a range",
        ".tif",
        lambda p: write(p, np.array([[-0.5, 8.25]], np.float32)),
        error=r"float32 from -0\.5 to 8\.25.*range=\[-0\.5, 8\.25\]",
        pixel_format=GREY,
    ),
    Odd(
        "TIFF, NaN",
        ".tif",
        lambda p: write(p, np.array([[0, np.nan]], np.float32)),
        error=r"1 of its values are NaN",
        pixel_format=RANGED,
    ),
    Odd(
        "TIFF, 1 bit",
        ".tif",
        lambda p: p.write_bytes(tiff(tags(3, 1, 1, [1]), b"\x40")),
        [[0, 255, 0]],
        pixel_format=GREY,
    ),
    Odd(
        "TIFF, 4 bits",
        ".tif",
        lambda p: p.write_bytes(tiff(tags(2, 1, 1, [4]), b"\x1f")),
        [[17, 255]],
        pixel_format=GREY,
    ),
    Odd(
        "TIFF, 12 bits",
        ".tif",
        lambda p: p.write_bytes(tiff(tags(2, 1, 1, [12]), b"\x00\x1f\xff")),
        [[16, 65535]],
        pixel_format=GREY,
        dtype=np.uint16,
    ),  # 65535 / 4095 = 16.004
    Odd(
        "TIFF whose white is 0",
        ".tif",
        lambda p: write(p, np.array([[0, 200]], np.uint8), photometric="miniswhite"),
        [[255, 55]],
        pixel_format=GREY,
    ),
    Odd(
        "TIFF of 1 bit whose white is 0, fax",
        ".tif",
        lambda p: Image.new("1", (8, 1), 1).save(p, compression="group4"),
        [[255] * 8],
        pixel_format=GREY,
    ),
    Odd("TIFF, palette", ".tif", lambda p: palette(p, 257), [[(0, 0, 0), (255, 1, 2)]]),
    Odd(
        "TIFF, palette of 16 bits", ".tif", lambda p: palette(p, 201), [[(0, 0, 0), (51255, 201, 402)]], dtype=np.uint16
    ),
    Odd(
        "TIFF, opaque alpha",
        ".tif",
        lambda p: write(p, np.array([[(1, 2, 3, 255)]], np.uint8), photometric="rgb", extrasamples=["unassalpha"]),
        [[(1, 2, 3)]],
    ),
    Odd(
        "TIFF, colours multiplied with their alpha",
        ".tif",
        lambda p: write(p, np.array([[(51, 0, 0, 51)]], np.uint8), photometric="rgb", extrasamples=["assocalpha"]),
        [[(255, 0, 0, 51)]],
        pixel_format=PixelFormat(channels=4),
    ),
    Odd(
        "TIFF, RGB and a band that is no alpha",
        ".tif",
        lambda p: write(p, np.array([[(1, 2, 3, 4)]], np.uint8), photometric="rgb", extrasamples=["unspecified"]),
        [[(1, 2, 3, 4)]],
        pixel_format=PixelFormat(channels=4),
    ),
    Odd(
        "TIFF, six bands",
        ".tif",
        lambda p: write(p, BANDS, photometric="minisblack", planarconfig="contig"),
        BANDS,
        pixel_format=PixelFormat(channels=6),
        dtype=np.uint16,
    ),
    Odd(
        "TIFF, six bands where three are asked for",
        ".tif",
        lambda p: write(p, BANDS, photometric="minisblack", planarconfig="contig"),
        error=r"has 6 channels \(6×uint16\).*set channels=6",
    ),
    Odd(
        "TIFF, CMYK",
        ".tif",
        lambda p: write(p, np.array([[(0, 255, 255, 0), (0, 0, 0, 51)]], np.uint8), photometric="separated"),
        [[RED, (204, 204, 204)]],
        pixel_format=PixelFormat(convert=("cmyk",)),
    ),
    Odd(
        "TIFF, CMYK of 16 bits",
        ".tif",
        lambda p: write(p, np.array([[(0, 65535, 0, 0), (0, 0, 0, 5)]], np.uint16), photometric="separated"),
        [[(65535, 0, 65535), (65530, 65530, 65530)]],
        pixel_format=PixelFormat(convert=("cmyk",)),
        dtype=np.uint16,
    ),
    Odd(
        "TIFF, LAB",
        ".tif",
        lambda p: write(p, np.array([[(255, 0, 0), (0, 0, 0), (138, 81, 70)]], np.uint8), photometric="cielab"),
        [[WHITE, (0, 0, 0), RED]],
        pixel_format=PixelFormat(convert=("lab",)),
    ),
    Odd(
        "TIFF, LAB, not allowed",
        ".tif",
        lambda p: write(p, np.zeros((1, 1, 3), np.uint8), photometric="cielab"),
        error=r"is LAB.*convert=\[lab\]",
    ),
    Odd(
        "TIFF, YCbCr without JPEG",
        ".tif",
        lambda p: p.write_bytes(tiff(tags(2, 2, 6, [8, 8, 8]) | {530: (3, [2, 2])}, bytes([0, 255, 255, 0, 128, 128]))),
        error=r"YCbCr without JPEG.*save it as RGB",
    ),
    Odd(
        "TIFF, turned by its tag",
        ".tif",
        lambda p: write(
            p, np.array([[RED, GREEN, BLUE]], np.uint8), photometric="rgb", extratags=[(274, 3, 1, 6, True)]
        ),
        [[RED], [GREEN], [BLUE]],
    ),
    Odd("TIFF, page 2 of three", ".tif", pages, [[3, 3]], pixel_format=PixelFormat(channels=1, page=2)),
    Odd(
        "TIFF, page that is not there",
        ".tif",
        pages,
        error=r"has 3 pages.*no page 3",
        pixel_format=PixelFormat(channels=1, page=3),
    ),
]
