"""Files that are damaged or not images."""

import struct
from pathlib import Path

import imagecodecs
import numpy as np

from tests.images.hand_made import (
    RED,
    busy_jpeg,
    chunk,
    interlaced_png,
    jpeg,
    npy_file,
    pillow_file,
    png,
    tags,
    tiff,
    tiff_file,
)
from tests.images.odd_files import GREY, Odd

BUSY = busy_jpeg()
NOISE = np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8)
HUGE = 100_000


def missing_strip(path: Path) -> None:
    # GDAL leaves out empty strips, which would be read as black.
    path.write_bytes(
        tiff(tags(4, 1, 1, [8]), bytes(4)).replace(
            struct.pack("<HHII", 273, 4, 1, 8), struct.pack("<HHII", 273, 4, 1, 0)
        )
    )


def changed(data: bytes, position: int) -> bytes:
    return data[:position] + bytes([data[position] ^ 0xFF]) + data[position + 1 :]


def jpeg_of_size(height_and_width: bytes) -> bytes:
    return jpeg().replace(b"\x08\0\x10\0\x10\x03", b"\x08" + height_and_width + b"\x03")


def gif_header(width: int, height: int) -> bytes:
    return b"GIF89a" + struct.pack("<HH", width, height) + pillow_file(NOISE, "GIF")[10:]


HALF = len(BUSY) // 2
PNG = pillow_file(NOISE, "PNG")
WEBP = pillow_file(NOISE, "WEBP", lossless=True)
DEFLATE = tiff_file(NOISE, compression="zlib")
TIFF_JPEG = tiff_file(NOISE, compression="jpeg")
NPY = npy_file(NOISE)
HUGE_NPY = NPY.replace(b"(40, 40, 3), }", b"(99999,99999,3),}")
FLAT = np.zeros((8, 8, 3), np.uint16)
AVIF_10 = bytes(imagecodecs.avif_encode(FLAT, bitspersample=10))
JP2 = pillow_file(NOISE, "JPEG2000")
JP2_16 = bytes(imagecodecs.jpeg2k_encode(FLAT, codecformat="jp2"))

KINDS = [
    Odd("No file", ".jpg", lambda path: None, r"cannot be read \(No such file or directory\): put it back"),
    Odd("Empty file", ".jpg", b"", r"0 bytes that cannot be read as an image \(it is empty"),
    Odd("Text named .jpg", ".jpg", b"hello, world\n", r"13 bytes.*text that begins with 'hello, world"),
    Odd("HTML page named .jpg", ".jpg", b"\n<!DOCTYPE html><html>404</html>", r"32 bytes.*an HTML page"),
    Odd("Git LFS pointer", ".png", b"version https://git-lfs.github.com/spec/v1\noid", r"git lfs pull"),
    Odd("HEIC named .jpg", ".jpg", b"\0\0\0\x18ftypheic" + bytes(40), r"a HEIC image.*save it as JPEG"),
    Odd("Zeros", ".jpg", bytes(500), r"500 bytes.*zero bytes"),
    Odd("Random bytes", ".png", b"\xa9\xb8\xc7\xd6\xe5\xf4\x03\x12\xff", r"no known format.*a9 b8 c7 d6"),
    Odd("Folder named .jpg", ".jpg", lambda path: path.mkdir(), r"Is a directory\): remove the folder"),
    Odd("JPEG, cut off", ".jpg", BUSY[:HALF], rf"{HALF} bytes of a JPEG that is cut off"),
    Odd("JPEG, cut off and filled up with zeros", ".jpg", BUSY[:HALF] + bytes(HALF), r"JPEG that is cut off"),
    Odd("JPEG with a hole of zeros", ".jpg", BUSY[:HALF] + bytes(512) + BUSY[HALF + 512 :], rf"from byte {HALF}"),
    Odd("JPEG, height 0", ".jpg", jpeg_of_size(b"\0\0\0\x10"), r"cannot be read as an image"),
    Odd("JPEG, 65,535 × 65,535 (a bomb)", ".jpg", jpeg_of_size(b"\xff\xff\xff\xff"), r"65535×65535 pixels"),
    Odd("PNG, cut off", ".png", PNG[:2000], r"2000 bytes.*cut off in its IDAT chunk"),
    Odd("PNG, wrong checksum", ".png", changed(PNG, 1000), r"checksum of its IDAT chunk is wrong"),
    Odd("PNG, too few rows", ".png", png((1, 2), 8, 2, [bytes(RED)]), r"cannot be read as an image"),
    Odd("PNG of 16 bits, too few rows", ".png", png((1, 2), 16, 0, [b"\0\1"]), r"cannot be read", GREY),
    Odd("PNG, interlaced, too few rows", ".png", interlaced_png(FLAT[..., 0], 0, passes=6), "cannot be read"),
    Odd("PNG, width 0", ".png", png((0, 1), 8, 2, [b""]), r"0×1 pixels"),
    Odd("PNG, 100,000 × 100,000 (a bomb)", ".png", png((HUGE, HUGE), 8, 2, [b""]), r"100000×100000 pixels"),
    Odd("PNG without IHDR", ".png", b"\x89PNG\r\n\x1a\n" + chunk(b"IEND", b""), r"IHDR chunk is missing"),
    Odd("WebP, cut off", ".webp", WEBP[:1000], r"1000 bytes that cannot be read"),
    Odd("BMP, cut off", ".bmp", pillow_file(NOISE, "BMP")[:1000], r"1000 bytes that cannot be read"),
    Odd("GIF, cut off", ".gif", pillow_file(NOISE, "GIF")[:1200], r"1200 bytes that cannot be read"),
    Odd("GIF, 65,535 × 65,535 (a bomb)", ".gif", gif_header(65535, 65535), r"65535×65535 pixels"),
    Odd("AVIF of 10 bits", ".avif", AVIF_10, r"10 bits a channel, of which 8 would be read: save it as PNG or TIFF"),
    Odd("JPEG 2000, RGB of 16 bits", ".jp2", JP2_16, r"16 bits a channel, of which 8 would be read"),
    Odd("JPEG 2000, cut off", ".jp2", JP2[: JP2.index(b"\xff\x90") + 2], r"it has no end-of-codestream marker"),
    Odd("PPM of 16 bits", ".ppm", b"P6 1 1 65535\n" + bytes(6), r"16 bits a channel, of which 8 would be read"),
    Odd("PPM, cut off", ".ppm", b"P6 2 2 255\n\1\2\3", r"14 bytes.*truncated"),
    Odd("TIFF, cut off", ".tif", tiff_file(NOISE)[:3000], r"3000 bytes of a TIFF that is cut off"),
    Odd("TIFF, deflate, damaged", ".tif", changed(DEFLATE, 2000), r"cannot be read as an image"),
    Odd("TIFF, JPEG compression, cut off", ".tif", TIFF_JPEG.replace(b"\xff\xd9", b"\0\0"), r"JPEG that is cut off"),
    Odd("TIFF, a strip is missing", ".tif", missing_strip, r"strip or tile 0 of 1", GREY),
    Odd("TIFF, 60,000 × 60,000 (a bomb)", ".tif", tiff(tags(60000, 60000, 1, [8]), b"\0"), r"60000×60000", GREY),
    Odd("NPY, cut off", ".npy", NPY[:1000], r"1000 bytes.*expected 4800 bytes got 872"),
    Odd("NPY, 99,999 × 99,999 (a bomb)", ".npy", HUGE_NPY, r"99999×99999 pixels"),
    Odd("NPZ", ".npy", b"PK\x03\x04" + bytes(100), r"104 bytes.*zip archive or NPZ file.*save each image as NPY"),
]
