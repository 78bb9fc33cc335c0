"""Files that are cut or changed anywhere: whole images or an `ImageError`, and nothing else."""

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
FORMAT = PixelFormat(range=(0, 255), convert=("alpha", "grey", "cmyk", "lab"))
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
    "ppm text": b"P3 2 1 255\n1 20 255 7 80 192\n",
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


@of_every_format
def test_a_file_cut_at_any_byte_is_the_whole_image_or_an_error(data: bytes) -> None:
    whole = decode(data, "whole", FORMAT)
    errors = 0
    for length in range(0, len(data), 1 + len(data) // 400):
        try:
            assert np.array_equal(decode(data[:length], "cut", FORMAT), whole), length
        except ImageError as error:
            assert str(error).startswith("cut: ")  # noqa: PT017 - either outcome is right
            errors += 1
    assert errors > 20


@of_every_format
@settings(max_examples=60, deadline=None)
@given(draw=st.data())
def test_changed_bytes_give_pixels_of_the_wanted_kind_or_an_error(data: bytes, draw: st.DataObject) -> None:
    damaged = bytearray(data)
    # Half of the changes hit the start, where sizes and types stand.
    positions = st.integers(0, min(len(data), 200) - 1) | st.integers(0, len(data) - 1)
    for position, value in draw.draw(st.lists(st.tuples(positions, st.integers(0, 255)), min_size=1, max_size=4)):
        damaged[position] = value
    try:
        header_of(bytes(damaged), "changed")
    except ImageError as error:
        assert str(error).startswith("changed: ")  # noqa: PT017
    try:
        pixels = decode(bytes(damaged), "changed", FORMAT, max_pixels=LIMIT)
    except ImageError as error:
        assert str(error).startswith("changed: ")  # noqa: PT017
    else:
        assert pixels.shape[2] == 3
        assert pixels.shape[0] * pixels.shape[1] <= LIMIT
        assert pixels.dtype in (np.uint8, np.uint16, np.int16, np.float32)


@of_every_format
@given(start=st.binary(max_size=12), rest=st.binary(max_size=200))
@settings(max_examples=20, deadline=None)
def test_noise_behind_a_true_beginning_is_an_error(data: bytes, start: bytes, rest: bytes) -> None:
    with pytest.raises(ImageError, match=r"^noise: "):
        decode(data[: 8 + len(start)] + start + rest, "noise", FORMAT, max_pixels=LIMIT)
