import errno
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import nullcontext
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageFile

from cyclegan.images import (
    DiskError,
    Header,
    ImageError,
    PixelFormat,
    content,
    decode,
    header,
    header_in,
    header_of,
    read,
    require_suitable,
    write,
)
from tests.images.hand_made import busy_jpeg, exif, pillow_file, png, shorts, tags, tiff

NOISE = np.random.default_rng(0).integers(0, 256, (64, 48, 3), np.uint8)


def jpeg(width: int, height: int, orientation: int = 1) -> bytes:
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    return pillow_file(pixels, "JPEG", exif=exif(orientation))


def test_ordinary_image_equals_pillow() -> None:
    with Image.open(BytesIO(busy_jpeg())) as image:
        assert np.array_equal(decode(busy_jpeg(), "busy.jpg"), np.asarray(image))


@pytest.mark.parametrize("extension", [".jpg", ".png", ".tif", ".webp"])
def test_exif_orientation_is_applied(tmp_path: Path, extension: str) -> None:
    corner = np.zeros((16, 32, 3), np.uint8)
    corner[:8, :8] = 255  # top left, as it is stored
    # The corner in which each EXIF orientation shows the first pixel.
    corners = {1: "tl", 2: "tr", 3: "br", 4: "bl", 5: "tl", 6: "tr", 7: "br", 8: "bl"}
    for orientation in range(11):  # invalid values are ignored
        path = tmp_path / f"{orientation}{extension}"
        Image.fromarray(corner).save(path, exif=exif(orientation))
        pixels = read(path)
        rotated = orientation in (5, 6, 7, 8)
        assert pixels.shape == ((32, 16, 3) if rotated else (16, 32, 3))
        assert header(path)[2:4] == (pixels.shape[1], pixels.shape[0])
        where = corners.get(orientation, "tl")
        bright = pixels[-1 if where[0] == "b" else 0, -1 if where[1] == "r" else 0, 0]
        assert bright > 250, orientation
        assert (pixels[..., 0] > 128).sum() == 64


@pytest.mark.parametrize("orientation", [1, 6])
@pytest.mark.parametrize(
    ("at_least", "expected"),
    [
        ((400, 200), (400, 200)),
        ((201, 100), (400, 200)),  # half of it would be too narrow
        ((200, 101), (400, 200)),
        ((200, 100), (200, 100)),
        ((100, 50), (100, 50)),
        ((1, 1), (50, 25)),  # an eighth is the smallest
        ((1000, 1000), (400, 200)),
    ],
)
def test_jpeg_is_decoded_at_the_smallest_sufficient_scale(
    at_least: tuple[int, int], expected: tuple[int, int], orientation: int
) -> None:
    if orientation == 6:
        at_least, expected = at_least[::-1], expected[::-1]
    data = jpeg(400, 200, orientation)
    pixels = decode(data, "photo.jpg", at_least=at_least)
    assert pixels.shape == (expected[1], expected[0], 3)
    assert np.array_equal(pixels, decode(data, "photo.jpg", at_least=at_least))


@pytest.mark.parametrize("size", [(101, 67), (63, 64), (17, 9)])
def test_odd_sizes_are_decoded_large_enough(size: tuple[int, int]) -> None:
    data = jpeg(*size)
    for width in range(1, size[0] + 1):
        assert decode(data, "photo.jpg", at_least=(width, 1)).shape[1] >= width


class Counting(BytesIO):
    count = 0

    def read(self, size: int | None = -1) -> bytes:
        data = super().read(size)
        self.count += len(data)
        return data


def test_header_reads_a_small_part_of_the_file(tmp_path: Path) -> None:
    large = np.random.default_rng(0).integers(0, 256, (600, 600, 3), np.uint8)
    for name in ("a.jpg", "a.png", "a.tif", "a.npy"):
        write(large, tmp_path / name)
        data = (tmp_path / name).read_bytes()
        assert len(data) > 400_000
        file = Counting(data)
        head = header_in(file, name)
        assert (head.width, head.height, head.channels, head.dtype, head.mode) == (600, 600, 3, "uint8", "RGB")
        assert file.count < 40_000, name


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda: jpeg(48, 64, 6), Header("JPEG", "RGB", 64, 48, 3, "uint8", 1)),
        (lambda: png((2, 1), 16, 2, [shorts(*range(6))]), Header("PNG", "RGB", 2, 1, 3, "uint16", 1)),
        (lambda: png((2, 1), 1, 0, [b"\x80"]), Header("PNG", "L", 2, 1, 1, "uint8", 1)),
        (lambda: tiff(tags(2, 1, 1, [8, 8]), b"\1\2\3\4"), Header("TIFF", "bands", 2, 1, 2, "uint8", 1)),
        (lambda: b"P6 7 5 255\n", Header("PNM", "RGB", 7, 5, 3, "uint8", 1)),
    ],
)
def test_header_fields(make: Any, expected: Header) -> None:
    assert header_of(make(), "file") == expected


def test_header_of_a_truncated_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "half.jpg"
    path.write_bytes(busy_jpeg()[:2000])
    assert header(path)[2:4] == (96, 64)
    with pytest.raises(ImageError, match=r"half\.jpg: 2000 bytes"):
        read(path)


HEAD = Header("TIFF", "RGB", 100, 100, 3, "uint8", 2)


@pytest.mark.parametrize(
    ("head", "pixel_format", "words"),
    [
        (HEAD._replace(width=10**6), PixelFormat(), r"x: .*1000000×100 pixels.*raise data.max_pixels"),
        (HEAD, PixelFormat(page=2), r"no page 2.*pages is 2"),
        (HEAD._replace(colours="bands", channels=5), PixelFormat(), r"has 5 channels.*channels=5"),
        (HEAD._replace(colours="bands", channels=4), PixelFormat(), r"has 4 channels"),
        (HEAD, PixelFormat(channels=6), r"has 3 channels.*asks for 6"),
        (HEAD._replace(colours="CMYK", channels=4), PixelFormat(), r"convert=\[cmyk\]"),
        (HEAD._replace(dtype="float32"), PixelFormat(), r"float32.*range=\[0, 1\]"),
        (HEAD, PixelFormat(channels=1), ""),  # the pixels may be equal in all channels
        (HEAD, PixelFormat(channels=4, page=1), ""),
        (HEAD._replace(colours="RGBA", channels=4), PixelFormat(), ""),  # it may be opaque
        (HEAD._replace(colours="CMYK", channels=4), PixelFormat(convert=("cmyk",)), ""),
        (HEAD._replace(colours="bands", dtype="float64"), PixelFormat(range=(0, 1)), ""),
    ],
)
def test_header_of_an_unsuitable_image_is_refused(head: Header, pixel_format: PixelFormat, words: str) -> None:
    with pytest.raises(ImageError, match=words) if words else nullcontext():
        require_suitable(head, pixel_format, "x")


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP", "GIF", "PPM", "TIFF"])
def test_max_pixels_is_an_exact_limit_per_call(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    data = pillow_file(NOISE, kind)
    if kind not in ("GIF", "WEBP"):  # whose decoders check Pillow's own limit
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    assert decode(data, "x", max_pixels=64 * 48).shape == (64, 48, 3)
    with pytest.raises(ImageError, match="48×64 pixels, more than the limit of 3071"):
        decode(data, "x", max_pixels=64 * 48 - 1)


def test_image_above_max_pixels_is_not_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    def explode(*_: object, **__: object) -> None:
        raise AssertionError("decoded")

    monkeypatch.setattr(ImageFile.ImageFile, "load", explode)
    monkeypatch.setattr(tifffile.TiffPage, "asarray", explode)
    for kind in ("JPEG", "BMP", "TIFF"):
        with pytest.raises(ImageError, match="more than the limit of 100"):
            decode(pillow_file(NOISE, kind), "x", max_pixels=100)


def test_tile_above_max_pixels_is_refused() -> None:
    entries = tags(1, 1, 1, [8], t322=50000, t323=50000)
    entries.pop(278)
    data = tiff(entries | {324: (4, [8]), 325: (4, [1])}, b"\1")
    with pytest.raises(ImageError, match="50000×50000"):
        decode(data, "x", PixelFormat(channels=1))


def test_import_does_not_load_torch_or_tifffile() -> None:
    code = "import sys, cyclegan.images; print({'torch', 'tifffile', 'imagecodecs'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


@pytest.mark.parametrize(
    ("number", "kind", "remedy"),
    [(errno.EACCES, ImageError, r"make it readable"), (errno.EIO, DiskError, "check the disk or the network folder")],
)
@pytest.mark.parametrize("function", [content, header])
def test_unreadable_file_error_names_a_remedy(
    monkeypatch: pytest.MonkeyPatch, number: int, kind: type, remedy: str, function: Callable[[str], object]
) -> None:
    def fail(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(Path, "open", fail)
    monkeypatch.setattr(Path, "read_bytes", fail)
    with pytest.raises(ImageError, match=rf"a\.png: cannot be read \({os.strerror(number)}\): {remedy}") as caught:
        function("a.png")
    assert caught.type is kind


def test_header_describes_the_selected_page(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "pages.tif") as pages:
        pages.write(NOISE[:10, :20], photometric="rgb")
        pages.write(NOISE[:30, :40, 0], photometric="minisblack")
    assert header(tmp_path / "pages.tif") == Header("TIFF", "RGB", 20, 10, 3, "uint8", 2)
    assert header(tmp_path / "pages.tif", PixelFormat(page=1)) == Header("TIFF", "L", 40, 30, 1, "uint8", 2)
    third = PixelFormat(page=2)
    with pytest.raises(ImageError, match="page"):
        require_suitable(header(tmp_path / "pages.tif", third), third, "pages.tif")


@pytest.mark.parametrize("channels", [5, 12, 20])
def test_channels_determine_the_channel_axis_of_an_npy_header(tmp_path: Path, channels: int) -> None:
    shape = (channels, 64, 12) if channels != 12 else (5, 64, 12)
    np.save(tmp_path / "a.npy", np.zeros(shape, np.uint8))
    wanted = PixelFormat(channels)
    found = header(tmp_path / "a.npy", wanted)
    assert (found.height, found.width, found.channels) == read(tmp_path / "a.npy", wanted).shape
