"""Reading truncated and corrupted files: the result is the intact image or an `ImageError`."""

import logging
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cyclegan.images import ImageError, PixelFormat, decode, header_of
from tests.images.hand_made import npy_file, pillow_file, tiff_file

PIXELS = np.random.default_rng(0).integers(0, 256, (24, 20, 3), np.uint8)
FORMAT = PixelFormat(range=(0, 255), convert=("alpha", "grey", "cmyk"))
LIMIT = 10**6


FILES = {
    "jpeg": pillow_file(PIXELS, "JPEG"),
    "progressive jpeg": pillow_file(PIXELS, "JPEG", progressive=True),
    "png": pillow_file(PIXELS, "PNG"),
    "webp": pillow_file(PIXELS, "WEBP"),
    "webp lossless": pillow_file(PIXELS, "WEBP", lossless=True),
    "bmp": pillow_file(PIXELS, "BMP"),
    "gif": pillow_file(PIXELS, "GIF"),
    "avif": pillow_file(PIXELS, "AVIF"),
    "jpeg 2000": pillow_file(PIXELS, "JPEG2000"),
    "ppm": pillow_file(PIXELS, "PPM"),
    "tiff": tiff_file(PIXELS),
    "tiff lzw": tiff_file(PIXELS, compression="lzw"),
    "tiff deflate": tiff_file(PIXELS, compression="zlib", predictor=True),
    "tiff jpeg": tiff_file(PIXELS, compression="jpeg"),
    "npy": npy_file(PIXELS),
}
of_every_format = pytest.mark.parametrize("data", FILES.values(), ids=FILES)


@pytest.fixture(autouse=True)
def silent(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL, "tifffile")


def require_intact_or_error(data: bytes, lengths: range) -> None:
    intact = decode(data, "intact", FORMAT)
    errors = 0
    for length in lengths:
        try:
            assert np.array_equal(decode(data[:length], "cut", FORMAT), intact), length
        except ImageError as error:
            assert str(error).startswith("cut: ")  # noqa: PT017 - either outcome is right
            errors += 1
    assert errors > len(lengths) / 4


@of_every_format
def test_truncated_file_gives_the_intact_image_or_an_error(data: bytes) -> None:
    require_intact_or_error(data, range(0, len(data), 1 + len(data) // 40))
    require_intact_or_error(data, range(0, 40, 2))


def require_pixels_or_error(data: bytes) -> None:
    with suppress(ImageError):
        header_of(data, "changed")
    try:
        pixels = decode(data, "changed", FORMAT, max_pixels=LIMIT)
    except ImageError as error:
        assert str(error).startswith("changed: ")  # noqa: PT017
    else:
        assert pixels.shape[2] == 3
        assert pixels.shape[0] * pixels.shape[1] <= LIMIT
        assert pixels.dtype in (np.uint8, np.uint16, np.int16, np.float32)


@of_every_format
@settings(max_examples=15, deadline=None)
@given(draw=st.data())
def test_changed_bytes_give_valid_pixels_or_an_error(data: bytes, draw: st.DataObject) -> None:
    damaged = bytearray(data)
    # Half of the changes hit the header.
    positions = st.integers(0, min(len(data), 200) - 1) | st.integers(0, len(data) - 1)
    for position, value in draw.draw(st.lists(st.tuples(positions, st.integers(0, 255)), min_size=1, max_size=4)):
        damaged[position] = value
    require_pixels_or_error(bytes(damaged))
