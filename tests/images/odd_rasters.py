"""Odd files of every format but TIFF and NPY that are intact."""

import zlib
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageCms

from cyclegan.images import PixelFormat
from tests.images.hand_made import (
    BLUE,
    GREEN,
    RED,
    WHITE,
    chunk,
    exif,
    icc_profile,
    interlaced_png,
    jpeg,
    png,
    shorts,
    without_segment,
)
from tests.images.odd_files import GREY, RGB, Odd

ONTO_WHITE, ALLOW_CMYK = PixelFormat(convert=("alpha",)), PixelFormat(convert=("cmyk",))
FOUR = PixelFormat(channels=4)


def two(mode: str, left: object, right: object, kind: str = "PNG", **options: Any) -> bytes:
    """A file with two pixels."""
    image, file = Image.new(mode, (2, 1)), BytesIO()
    if mode == "P":
        image.putpalette([*RED, *BLUE])
    image.putpixel((0, 0), left)  # type: ignore[arg-type]
    image.putpixel((1, 0), right)  # type: ignore[arg-type]
    image.save(file, kind, **options)
    return file.getvalue()


def animation(path: Path) -> None:
    frames = [Image.new("RGB", (1, 1), BLUE)]
    Image.new("RGB", (1, 1), RED).save(path, save_all=True, append_images=frames, lossless=True)


def profiled(path: Path, profile: bytes) -> None:
    Image.new("RGB", (1, 1), (128, 0, 255)).save(path, icc_profile=profile)


NOISE = np.random.default_rng(0).integers(0, 256, (11, 13, 3), np.uint8)
DEEP = np.random.default_rng(0).integers(0, 65536, (3, 5), np.uint16)
# Light of 128/255 is 1.055 · 0.502^(1/2.4) - 0.055 = 0.7368 in sRGB.
LINEAR, SWAPPED = [[(188, 0, 255)]], [[(255, 0, 188)]]
RED_JPEG = [[(254, 0, 0)] * 16] * 16  # pure red is not among the colours of 8-bit YCbCr
ADOBE = jpeg((0, 255, 255, 0), "CMYK")  # no cyan, all magenta and yellow
WITHOUT_ADOBE = without_segment(jpeg((255, 0, 0, 255), "CMYK"), 0xEE)  # stored as (0, 255, 255, 0)
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
TRANSPARENT = two("RGBA", (*RED, 0), (0, 0, 0, 51))
COLOUR_KEY = png((2, 1), 16, 2, [shorts(1, 2, 3, 1, 2, 4)], chunk(b"tRNS", shorts(1, 2, 3)))
GREY_KEY = png((4, 1), 2, 0, [b"\x1b"], chunk(b"tRNS", shorts(1)))
TURNED_LATE = png((2, 1), 8, 2, [bytes([*RED, *BLUE])], after=chunk(b"eXIf", exif(8).tobytes()[6:]))
TURNED_DEEP = png((2, 1), 16, 0, [shorts(1, 2)], chunk(b"eXIf", exif(3).tobytes()[6:]))
RED_AND_BLUE = chunk(b"PLTE", bytes([*RED, *BLUE])) + chunk(b"tRNS", b"\x09")
INTERLACED_PALETTE = interlaced_png(np.array([[0], [1]], np.uint8), 3, RED_AND_BLUE)
LONG_TEXT = chunk(b"zTXt", b"note\0\0" + zlib.compress(bytes(10_000_000)))


def a_png(kind: str, data: bytes, expected: Any, pixel_format: PixelFormat = RGB, dtype: type = np.uint8) -> Odd:
    return Odd(f"PNG, {kind}", ".png", data, expected, pixel_format, dtype)


KINDS = [
    Odd("JPEG, grey", ".jpg", jpeg(77, "L"), [[(77, 77, 77)] * 16] * 16),
    Odd("JPEG, broken EXIF", ".jpg", jpeg()[:2] + b"\xff\xe1\0\x10Exif\0\0garbage!" + jpeg()[2:], RED_JPEG),
    Odd("JPEG, bytes after its end", ".jpg", jpeg() + b"MOV of a phone", RED_JPEG),
    Odd("JPEG, CMYK, inverted (Adobe)", ".jpg", ADOBE, [[RED] * 16] * 16, ALLOW_CMYK),
    Odd("JPEG, CMYK", ".jpg", WITHOUT_ADOBE, [[RED] * 16] * 16, ALLOW_CMYK),
    Odd("JPEG, CMYK, conversion not allowed", ".jpg", ADOBE, r"CMYK.*convert=\[cmyk\]"),
    Odd("PNG named .JPG", ".JPG", two("RGB", RED, BLUE), [[RED, BLUE]]),
    a_png("1 bit", two("1", 0, 1), [[(0, 0, 0), WHITE]]),
    a_png("grey of 2 bits", png((4, 1), 2, 0, [b"\x1b"]), [[0, 85, 170, 255]], GREY),
    a_png(
        "grey of 2 bits with a transparent grey",
        GREY_KEY,
        [[(0, 255), (85, 0), (170, 255), (255, 255)]],
        PixelFormat(2),
    ),
    a_png("palette", two("P", 0, 1), [[RED, BLUE]]),
    a_png("palette with transparency", two("P", 0, 1, transparency=bytes([0, 255])), [[WHITE, BLUE]], ONTO_WHITE),
    a_png("transparent colour", two("RGB", RED, GREEN, transparency=RED), [[WHITE, GREEN]], ONTO_WHITE),
    a_png("opaque alpha", two("RGBA", (*RED, 255), (*BLUE, 255)), [[RED, BLUE]]),
    a_png("transparent pixels, conversion not allowed", TRANSPARENT, r"transparent.*convert=\[alpha\].*channels=4"),
    # A fifth of black on white is 4/5 · 255 = 204.
    a_png("transparent pixels, blended with white", TRANSPARENT, [[WHITE, (204, 204, 204)]], ONTO_WHITE),
    a_png("transparent pixels, four channels", TRANSPARENT, [[(*RED, 0), (0, 0, 0, 51)]], FOUR),
    a_png("no alpha, four channels", two("RGB", RED, BLUE), [[(*RED, 255), (*BLUE, 255)]], FOUR),
    a_png("grey and alpha", two("LA", (7, 8), (9, 255)), [[(7, 8), (9, 255)]], PixelFormat(channels=2)),
    a_png("RGB of equal channels, to grey", two("RGB", (5, 5, 5), (9, 9, 9)), [[5, 9]], GREY),
    a_png("colours to grey, conversion not allowed", two("RGB", RED, GREEN), r"has colours.*convert=\[grey\]", GREY),
    # 0.299 · 255 = 76.2, 0.587 · 255 = 149.7
    a_png("colours to grey", two("RGB", RED, GREEN), [[76, 150]], PixelFormat(channels=1, convert=("grey",))),
    a_png("grey of 16 bits", png((2, 1), 16, 0, [shorts(1000, 65535)]), [[1000, 65535]], GREY, np.uint16),
    a_png("RGB of 16 bits", png((1, 1), 16, 2, [shorts(4, 5, 60001)]), [[(4, 5, 60001)]], RGB, np.uint16),
    a_png("RGBA of 16 bits", png((1, 1), 16, 6, [shorts(1, 2, 300, 5)]), [[(1, 2, 300, 5)]], FOUR, np.uint16),
    a_png("transparent colour of 16 bits", COLOUR_KEY, [[(65535, 65535, 65535), (1, 2, 4)]], ONTO_WHITE, np.uint16),
    a_png("EXIF orientation after the pixels", TURNED_LATE, [[BLUE], [RED]]),
    a_png("EXIF orientation, 16 bits", TURNED_DEEP, [[2, 1]], GREY, np.uint16),
    a_png("interlaced", interlaced_png(NOISE, 2), NOISE),
    a_png("interlaced, of 16 bits", interlaced_png(DEEP, 0), DEEP, GREY, np.uint16),
    a_png("interlaced, palette with transparency", INTERLACED_PALETTE, [[(*RED, 9)], [(*BLUE, 255)]], FOUR),
    Odd("PNG with an ICC profile", ".png", lambda p: profiled(p, icc_profile()), LINEAR),
    Odd("TIFF with an ICC profile", ".tif", lambda p: profiled(p, icc_profile("bgr")), SWAPPED),
    Odd("PNG with an sRGB profile", ".png", lambda p: profiled(p, SRGB), [[(128, 0, 255)]]),
    Odd("PNG with a broken ICC profile", ".png", lambda p: profiled(p, icc_profile()[:200]), [[(128, 0, 255)]]),
    Odd("PNG with a text that unpacks to 10 MB", ".png", png((1, 1), 8, 2, [bytes(RED)], LONG_TEXT), [[RED]]),
    Odd("PNG, animated", ".png", animation, [[RED]]),
    Odd("WebP, lossless", ".webp", two("RGB", RED, BLUE, "WEBP", lossless=True), [[RED, BLUE]]),
    Odd("WebP, second frame", ".webp", animation, [[BLUE]], PixelFormat(page=1)),
    Odd("BMP", ".bmp", two("RGB", RED, BLUE, "BMP"), [[RED, BLUE]]),
    Odd("BMP, palette", ".bmp", two("P", 0, 1, "BMP"), [[RED, BLUE]]),
    Odd("GIF, first frame", ".gif", animation, [[RED]]),
    Odd("GIF, second frame", ".gif", animation, [[BLUE]], PixelFormat(page=1)),
    Odd("GIF, missing frame", ".gif", animation, r"no page 2.*pages is 2", PixelFormat(page=2)),
    Odd("GIF, transparent colour", ".gif", two("P", 0, 1, "GIF", transparency=0), [[WHITE, BLUE]], ONTO_WHITE),
    Odd("AVIF", ".avif", lambda p: Image.new("RGB", (2, 1), WHITE).save(p), [[WHITE, WHITE]]),
    Odd("JPEG 2000", ".jp2", lambda p: Image.fromarray(NOISE).save(p), NOISE),
    Odd("JPEG 2000, grey of 16 bits", ".jp2", lambda p: Image.fromarray(DEEP).save(p), DEEP, GREY, np.uint16),
    Odd("PBM", ".pbm", b"P4 10 1\n\x55\x40", [[255, 0] * 5], GREY),
    Odd("PGM", ".pgm", b"P5 2 1 255\n\x07\xff", [[7, 255]], GREY),
    Odd("PGM with 15 as largest value", ".pgm", b"P5 2 1 15\n\x01\x0f", [[17, 255]], GREY),
    Odd("PGM of 16 bits", ".pgm", b"P5 2 1 65535\n" + shorts(258, 65535), [[258, 65535]], GREY, np.uint16),
    Odd("PPM", ".ppm", b"P6 1 1 255\n\1\2\3", [[(1, 2, 3)]]),
]
