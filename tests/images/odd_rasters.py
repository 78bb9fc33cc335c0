"""JPEG, PNG, WebP, BMP, GIF and PNM that are read, or lack a word of permission."""

import zlib
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
    icc_profile,
    interlaced_png,
    jpeg,
    png,
    shorts,
    without_segment,
)
from tests.images.odd_files import GREY, Odd

ONTO_WHITE = PixelFormat(convert=("alpha",))
FOUR = PixelFormat(channels=4)


def exif(orientation: int) -> Image.Exif:
    tags = Image.Exif()
    tags[0x0112] = orientation
    return tags


def two(mode: str, left: object, right: object) -> Image.Image:
    image = Image.new(mode, (2, 1))
    image.putpixel((0, 0), left)  # type: ignore[arg-type]
    image.putpixel((1, 0), right)  # type: ignore[arg-type]
    return image


def palette(path: Path, **options: Any) -> None:
    image = two("P", 0, 1)
    image.putpalette([*RED, *BLUE])
    image.save(path, **options)


def turned_jpeg(path: Path) -> None:
    image = Image.new("RGB", (32, 16), RED)
    image.paste(BLUE, (16, 0, 32, 16))  # on the right, so at the bottom once it is turned right by 90 degrees
    image.save(path, quality=100, subsampling=0, exif=exif(6))


def animation(path: Path) -> None:
    Image.new("RGB", (1, 1), RED).save(path, save_all=True, append_images=[Image.new("RGB", (1, 1), BLUE)])


def lossless_animation(path: Path) -> None:
    frames = [Image.new("RGB", (1, 1), BLUE)]
    Image.new("RGB", (1, 1), RED).save(path, save_all=True, append_images=frames, lossless=True)


def animated_png(path: Path) -> None:
    Image.new("RGB", (1, 1), RED).save(path, save_all=True, append_images=[Image.new("RGB", (1, 1), BLUE)])


def text(value: str) -> bytes:
    return chunk(b"zTXt", b"note\0\0" + zlib.compress(value.encode()))


def profiled(path: Path, profile: bytes) -> None:
    Image.new("RGB", (1, 1), (128, 0, 255)).save(path, icc_profile=profile)


RED_AND_BLUE = chunk(b"PLTE", bytes([*RED, *BLUE])) + chunk(b"tRNS", b"\x09")
NOISE = np.random.default_rng(0).integers(0, 256, (11, 13, 3), np.uint8)
DEEP = np.random.default_rng(0).integers(0, 65536, (3, 5), np.uint16)
# Light of 128/255 is 1.055 · 0.502^(1/2.4) - 0.055 = 0.7368 in sRGB.
LINEAR, SWAPPED = [[(188, 0, 255)]], [[(255, 0, 188)]]
RED_JPEG = [[(254, 0, 0)] * 16] * 16  # pure red is not among the colours of 8-bit YCbCr
COLOUR_KEY = chunk(b"tRNS", shorts(1, 2, 3))

KINDS = [
    Odd("JPEG, grey", ".jpg", lambda p: p.write_bytes(jpeg(77, "L")), [[(77, 77, 77)] * 16] * 16),
    Odd("JPEG, turned by EXIF", ".jpg", turned_jpeg, [[(254, 0, 0)] * 16] * 16 + [[(0, 0, 254)] * 16] * 16),
    Odd(
        "JPEG, broken EXIF",
        ".jpg",
        lambda p: p.write_bytes(jpeg()[:2] + b"\xff\xe1\0\x10Exif\0\0garbage!" + jpeg()[2:]),
        RED_JPEG,
    ),
    Odd("JPEG, bytes after its end", ".jpg", lambda p: p.write_bytes(jpeg() + b"MOV of a phone"), RED_JPEG),
    Odd(
        "JPEG, CMYK, with its inks upside down (Adobe)",
        ".jpg",
        lambda p: p.write_bytes(jpeg((0, 255, 255, 0), "CMYK")),  # no cyan, all magenta and yellow
        [[RED] * 16] * 16,
        pixel_format=PixelFormat(convert=("cmyk",)),
    ),
    Odd(
        "JPEG, CMYK, with its inks upright",
        ".jpg",
        lambda p: p.write_bytes(without_segment(jpeg((255, 0, 0, 255), "CMYK"), 0xEE)),  # stored as (0, 255, 255, 0)
        [[RED] * 16] * 16,
        pixel_format=PixelFormat(convert=("cmyk",)),
    ),
    Odd(
        "JPEG, CMYK, not allowed",
        ".jpg",
        lambda p: p.write_bytes(jpeg((0, 255, 255, 0), "CMYK")),
        error=r"is CMYK.*convert=\[cmyk\]",
    ),
    Odd("PNG named .jpg", ".jpg", lambda p: Image.new("RGB", (1, 1), RED).save(p, "PNG"), [[RED]]),
    Odd("PNG, ending in capitals", ".PNG", lambda p: Image.new("RGB", (1, 1), RED).save(p, "PNG"), [[RED]]),
    Odd("PNG, 1 bit", ".png", lambda p: two("1", 0, 1).save(p), [[(0, 0, 0), WHITE]]),
    Odd(
        "PNG, grey of 2 bits",
        ".png",
        lambda p: p.write_bytes(png((4, 1), 2, 0, [b"\x1b"])),
        [[0, 85, 170, 255]],
        pixel_format=GREY,
    ),
    Odd("PNG, palette", ".png", palette, [[RED, BLUE]]),
    Odd(
        "PNG, palette with transparency",
        ".png",
        lambda p: palette(p, transparency=bytes([0, 255])),
        [[WHITE, BLUE]],
        pixel_format=ONTO_WHITE,
    ),
    Odd(
        "PNG, a colour that is transparent",
        ".png",
        lambda p: two("RGB", RED, GREEN).save(p, transparency=RED),
        [[WHITE, GREEN]],
        pixel_format=ONTO_WHITE,
    ),
    Odd("PNG, opaque alpha", ".png", lambda p: two("RGBA", (*RED, 255), (*BLUE, 255)).save(p), [[RED, BLUE]]),
    Odd(
        "PNG, transparent pixels, not allowed",
        ".png",
        lambda p: two("RGBA", (*RED, 255), (*BLUE, 254)).save(p),
        error=r"transparent pixels.*convert=\[alpha\].*channels=4",
    ),
    Odd(
        "PNG, transparent pixels, onto white",
        ".png",
        lambda p: two("RGBA", (*RED, 0), (0, 0, 0, 51)).save(p),  # a fifth of black on white: 4/5 · 255 = 204
        [[WHITE, (204, 204, 204)]],
        pixel_format=ONTO_WHITE,
    ),
    Odd(
        "PNG, transparent pixels, as four channels",
        ".png",
        lambda p: two("RGBA", (1, 2, 3, 0), (4, 5, 6, 7)).save(p),
        [[(1, 2, 3, 0), (4, 5, 6, 7)]],
        pixel_format=FOUR,
    ),
    Odd(
        "PNG without alpha, as four channels",
        ".png",
        lambda p: two("RGB", RED, BLUE).save(p),
        [[(*RED, 255), (*BLUE, 255)]],
        pixel_format=FOUR,
    ),
    Odd(
        "PNG, grey and alpha, as two channels",
        ".png",
        lambda p: two("LA", (7, 8), (9, 255)).save(p),
        [[(7, 8), (9, 255)]],
        pixel_format=PixelFormat(channels=2),
    ),
    Odd(
        "PNG, RGB of equal channels, as grey",
        ".png",
        lambda p: two("RGB", (5, 5, 5), (9, 9, 9)).save(p),
        [[5, 9]],
        pixel_format=GREY,
    ),
    Odd(
        "PNG, colours as grey, not allowed",
        ".png",
        lambda p: two("RGB", (5, 5, 5), (9, 9, 8)).save(p),
        error=r"has colours.*convert=\[grey\]",
        pixel_format=GREY,
    ),
    Odd(
        "PNG, colours as grey, allowed",
        ".png",
        lambda p: two("RGB", RED, GREEN).save(p),
        [[76, 150]],  # 0.299 · 255 = 76.2, 0.587 · 255 = 149.7
        pixel_format=PixelFormat(channels=1, convert=("grey",)),
    ),
    Odd(
        "PNG, grey of 16 bits",
        ".png",
        lambda p: p.write_bytes(png((2, 1), 16, 0, [shorts(1000, 65535)])),
        [[1000, 65535]],
        pixel_format=GREY,
        dtype=np.uint16,
    ),
    Odd(
        "PNG, RGB of 16 bits",
        ".png",
        lambda p: p.write_bytes(png((1, 2), 16, 2, [shorts(1, 2, 3), shorts(4, 5, 60001)])),
        [[(1, 2, 3)], [(4, 5, 60001)]],
        dtype=np.uint16,
    ),
    Odd(
        "PNG, RGBA of 16 bits",
        ".png",
        lambda p: p.write_bytes(png((1, 1), 16, 6, [shorts(1, 2, 300, 65535)])),
        [[(1, 2, 300)]],
        dtype=np.uint16,
    ),
    Odd(
        "PNG, grey and alpha of 16 bits",
        ".png",
        lambda p: p.write_bytes(png((1, 1), 16, 4, [shorts(300, 5)])),
        [[(300, 5)]],
        pixel_format=PixelFormat(channels=2),
        dtype=np.uint16,
    ),
    Odd(
        "PNG, a colour of 16 bits that is transparent",
        ".png",
        lambda p: p.write_bytes(png((2, 1), 16, 2, [shorts(1, 2, 3, 1, 2, 4)], COLOUR_KEY)),
        [[(65535, 65535, 65535), (1, 2, 4)]],
        pixel_format=ONTO_WHITE,
        dtype=np.uint16,
    ),
    Odd(
        "PNG, turned by EXIF behind its pixels",
        ".png",
        lambda p: p.write_bytes(png((2, 1), 8, 2, [bytes([*RED, *BLUE])], after=chunk(b"eXIf", exif(8).tobytes()[6:]))),
        [[BLUE], [RED]],
    ),
    Odd(
        "PNG, turned, of 16 bits",
        ".png",
        lambda p: p.write_bytes(png((2, 1), 16, 0, [shorts(1, 2)], chunk(b"eXIf", exif(3).tobytes()[6:]))),
        [[2, 1]],
        pixel_format=GREY,
        dtype=np.uint16,
    ),
    Odd("PNG, interlaced", ".png", lambda p: p.write_bytes(interlaced_png(NOISE, 2)), NOISE),
    Odd(
        "PNG, interlaced, of 16 bits",
        ".png",
        lambda p: p.write_bytes(interlaced_png(DEEP, 0)),
        DEEP,
        pixel_format=GREY,
        dtype=np.uint16,
    ),
    Odd(
        "PNG, interlaced, palette with transparency",
        ".png",
        lambda p: p.write_bytes(
            interlaced_png(
                np.array([[0], [1]], np.uint8), 3, chunk(b"PLTE", bytes([*RED, *BLUE])) + chunk(b"tRNS", b"\x09")
            )
        ),
        [[(*RED, 9)], [(*BLUE, 255)]],
        pixel_format=FOUR,
    ),
    Odd("PNG with an ICC profile", ".png", lambda p: profiled(p, icc_profile()), LINEAR),
    Odd("TIFF with an ICC profile", ".tif", lambda p: profiled(p, icc_profile("bgr")), SWAPPED),
    Odd(
        "PNG with the ICC profile of sRGB",
        ".png",
        lambda p: profiled(p, ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()),
        [[(128, 0, 255)]],
    ),
    Odd("PNG with a broken ICC profile", ".png", lambda p: profiled(p, icc_profile()[:200]), [[(128, 0, 255)]]),
    Odd(
        "PNG with a text that unpacks to 100 MB",
        ".png",
        lambda p: p.write_bytes(png((1, 1), 8, 2, [bytes(RED)], text("x" * 100_000_000))),
        [[RED]],
    ),
    Odd("PNG, animated", ".png", animated_png, [[RED]]),
    Odd("WebP without loss", ".webp", lambda p: two("RGB", RED, BLUE).save(p, lossless=True), [[RED, BLUE]]),
    Odd("WebP, animated, page 1", ".webp", lossless_animation, [[BLUE]], pixel_format=PixelFormat(page=1)),
    Odd(
        "WebP, transparent, onto white",
        ".webp",
        lambda p: two("RGBA", (*RED, 0), (*BLUE, 255)).save(p, lossless=True),
        [[WHITE, BLUE]],
        pixel_format=ONTO_WHITE,
    ),
    Odd("BMP", ".bmp", lambda p: two("RGB", RED, BLUE).save(p), [[RED, BLUE]]),
    Odd("BMP, palette", ".bmp", palette, [[RED, BLUE]]),
    Odd("GIF, first frame", ".gif", animation, [[RED]]),
    Odd("GIF, page 1", ".gif", animation, [[BLUE]], pixel_format=PixelFormat(page=1)),
    Odd(
        "GIF, page that is not there",
        ".gif",
        animation,
        error=r"has 2 pages.*no page 2",
        pixel_format=PixelFormat(page=2),
    ),
    Odd("PBM", ".pbm", lambda p: p.write_bytes(b"P4 10 1\n\x55\x40"), [[255, 0] * 5], pixel_format=GREY),
    Odd(
        "PBM as text",
        ".pbm",
        lambda p: p.write_bytes(b"P1\n# a comment\n3 1\n0 11\n"),
        [[255, 0, 0]],
        pixel_format=GREY,
    ),
    Odd("AVIF", ".avif", lambda p: Image.new("RGB", (2, 1), WHITE).save(p), [[WHITE, WHITE]]),
    Odd("JPEG 2000", ".jp2", lambda p: Image.fromarray(NOISE).save(p), NOISE),
    Odd("PGM", ".pgm", lambda p: p.write_bytes(b"P5 2 1 255\n\x07\xff"), [[7, 255]], pixel_format=GREY),
    Odd(
        "PGM that counts to 15", ".pgm", lambda p: p.write_bytes(b"P5 2 1 15\n\x01\x0f"), [[17, 255]], pixel_format=GREY
    ),
    Odd(
        "PGM of 16 bits",
        ".pgm",
        lambda p: p.write_bytes(b"P5 2 1 65535\n" + shorts(258, 65535)),
        [[258, 65535]],
        pixel_format=GREY,
        dtype=np.uint16,
    ),
    Odd(
        "PPM of 16 bits",
        ".ppm",
        lambda p: p.write_bytes(b"P6 1 1 65535\n" + shorts(258, 3, 65535)),
        [[(258, 3, 65535)]],
        dtype=np.uint16,
    ),
    Odd(
        "PPM as text, of 10 bits",
        ".ppm",
        lambda p: p.write_bytes(b"P3 1 1 1023\n0 1 1023\n"),
        [[(0, 64, 65535)]],
        dtype=np.uint16,
    ),  # 65535 / 1023 = 64.06
    Odd(
        "Image with a name in Unicode and with blanks",
        " ünïcode 図 .png",
        lambda p: Image.new("RGB", (1, 1), RED).save(p),
        [[RED]],
    ),
]
