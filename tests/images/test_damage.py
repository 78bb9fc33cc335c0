"""Files that are cut or changed anywhere give the intact image or an `ImageError`, and nothing else."""

import logging
from collections.abc import Callable
from io import BytesIO

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from cyclegan.images import ImageError, PixelFormat, decode, header_of

PIXELS = np.random.default_rng(0).integers(0, 256, (24, 20, 3), np.uint8)
FORMAT = PixelFormat(range=(0, 255), convert=("alpha", "grey", "cmyk"))
LIMIT = 10**6


def pillow(kind: str, **options: object) -> bytes:
    file = BytesIO()
    Image.fromarray(PIXELS).save(file, kind, **options)
    return file.getvalue()


def tiff(**options: object) -> bytes:
    file = BytesIO()
    tifffile.imwrite(file, PIXELS, photometric="rgb", rowsperstrip=8, **options)  # type: ignore[arg-type]
    return file.getvalue()


def numpy(save: Callable[..., None]) -> bytes:
    file = BytesIO()
    save(file, PIXELS)
    return file.getvalue()


FILES = {
    "jpeg": pillow("JPEG"),
    "progressive jpeg": pillow("JPEG", progressive=True),
    "png": pillow("PNG"),
    "webp": pillow("WEBP"),
    "webp lossless": pillow("WEBP", lossless=True),
    "bmp": pillow("BMP"),
    "gif": pillow("GIF"),
    "ppm": pillow("PPM"),
    "tiff": tiff(),
    "tiff lzw": tiff(compression="lzw"),
    "tiff deflate": tiff(compression="zlib", predictor=True),
    "tiff jpeg": tiff(compression="jpeg"),
    "npy": numpy(np.save),
    "npz": numpy(np.savez),
    "npz deflate": numpy(np.savez_compressed),
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
def test_a_cut_file_is_the_intact_image_or_an_error(data: bytes) -> None:
    require_intact_or_error(data, range(0, len(data), 1 + len(data) // 40))
    require_intact_or_error(data, range(0, 40, 2))


@pytest.mark.slow
@of_every_format
def test_a_file_cut_at_any_byte_is_the_intact_image_or_an_error(data: bytes) -> None:
    require_intact_or_error(data, range(len(data)))


def require_pixels_or_error(data: bytes) -> None:
    try:
        header_of(data, "changed")
    except ImageError as error:
        assert str(error).startswith("changed: ")  # noqa: PT017
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
def test_changed_bytes_give_pixels_of_the_wanted_kind_or_an_error(data: bytes, draw: st.DataObject) -> None:
    damaged = bytearray(data)
    # Half of the changes hit the start, where sizes and types stand.
    positions = st.integers(0, min(len(data), 200) - 1) | st.integers(0, len(data) - 1)
    for position, value in draw.draw(st.lists(st.tuples(positions, st.integers(0, 255)), min_size=1, max_size=4)):
        damaged[position] = value
    require_pixels_or_error(bytes(damaged))


@of_every_format
def test_noise_after_a_valid_start_is_an_error(data: bytes) -> None:
    noise = np.random.default_rng(0).bytes(200)
    for length in (8, 12, 20):
        with pytest.raises(ImageError, match=r"^noise: "):
            decode(data[:length] + noise, "noise", FORMAT, max_pixels=LIMIT)
