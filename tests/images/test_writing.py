from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

from cyclegan.images import ImageError, PixelFormat, header, read, suffix_for, write

EXACT = [
    (extension, dtype, channels)
    for extension, dtypes, most in (
        (".png", ("uint8", "uint16"), 4),
        (".tif", ("uint8", "uint16", "int16", "float32"), 6),
        (".npy", ("uint8", "uint16", "int16", "float32"), 6),
    )
    for dtype in dtypes
    for channels in range(1, most + 1)
]


@pytest.mark.parametrize(("extension", "dtype", "channels"), EXACT)
@settings(max_examples=3, deadline=None)
@given(draw=st.data())
def test_lossless_formats_survive_a_round_trip(
    tmp_path_factory: pytest.TempPathFactory, extension: str, dtype: str, channels: int, draw: st.DataObject
) -> None:
    shape = (draw.draw(st.integers(7, 9)), draw.draw(st.integers(1, 5)), channels)
    values = st.floats(-1e6, 1e6, width=32) if dtype == "float32" else None
    pixels = draw.draw(arrays.arrays(dtype, shape, elements=values))
    path = tmp_path_factory.getbasetemp() / f"round trip{extension}"
    write(pixels, path)
    back = read(path, PixelFormat(channels, dtype, range=(-1e6, 1e6) if dtype == "float32" else None))
    assert back.dtype == dtype
    assert np.array_equal(back, pixels)
    head = header(path)
    assert (head.height, head.width, head.channels, head.dtype) == (*shape, dtype)


@pytest.mark.parametrize(
    ("channels", "dtype", "extension"),
    [(3, None, ".png"), (1, "uint16", ".png"), (4, "uint8", ".png"), (5, "uint8", ".tif"), (1, "float32", ".tif")],
)
def test_suffix_for_pixel_format(channels: int, dtype: str | None, extension: str) -> None:
    pixel_format = PixelFormat(channels, dtype)
    assert suffix_for(pixel_format) == extension


def test_pillow_reads_the_same_pixels(tmp_path: Path) -> None:
    pixels = np.array([[(1, 2, 3, 4), (250, 0, 9, 255)]], np.uint8)
    for extension in (".png", ".tif"):
        write(pixels, tmp_path / f"four{extension}")
        write(pixels[..., :2], tmp_path / f"two{extension}")
        with Image.open(tmp_path / f"four{extension}") as four, Image.open(tmp_path / f"two{extension}") as two:
            assert (four.mode, two.mode) == ("RGBA", "LA")
            assert np.array_equal(np.asarray(four), pixels)
            assert np.array_equal(np.asarray(two), pixels[..., :2])
    write(np.array([[[300], [65535]]], np.uint16), tmp_path / "deep.png")
    with Image.open(tmp_path / "deep.png") as deep:
        assert np.asarray(deep).tolist() == [[300, 65535]]


def test_jpeg_has_full_colour_resolution(tmp_path: Path) -> None:
    stripes = np.zeros((8, 8, 3), np.uint8)
    stripes[:, ::2, 0] = stripes[:, 1::2, 2] = 255  # red and blue, a pixel wide
    write(stripes, tmp_path / "new" / "image.JPG")
    # With JPEG's usual half resolution of colour, red and blue would both become purple, an error near 100.
    assert np.abs(read(tmp_path / "new" / "image.JPG").astype(int) - stripes).mean() < 13
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["image.JPG"]


@pytest.mark.parametrize(
    ("name", "shape", "dtype", "words"),
    [
        ("a.jpg", (2, 2, 3), np.uint16, r"\.jpg cannot hold 3 channels of type uint16; \.png and \.npy can"),
        ("a.jpg", (2, 2, 4), np.uint8, r"4 channels of type uint8; \.png and \.npy can"),
        ("a.png", (2, 2, 5), np.uint8, r"5 channels of type uint8; \.tif and \.npy can"),
        ("a.png", (2, 2, 3), np.float32, r"float32; \.tif and \.npy can"),
        ("a.gif", (2, 2, 3), np.uint8, r"\.png, \.jpg, \.tif or \.npy, not \.gif"),
        ("a", (2, 2, 3), np.uint8, r"not without an extension"),
        ("a.png", (2, 2), np.uint8, r"\(height, width, channels\), but these are \(2, 2\)"),
    ],
)
def test_extension_that_cannot_hold_the_pixels_is_refused(
    tmp_path: Path, name: str, shape: tuple[int, ...], dtype: type, words: str
) -> None:
    with pytest.raises(ImageError, match=words):
        write(np.zeros(shape, dtype), tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_failed_write_keeps_the_old_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "image.png"
    write(np.zeros((4, 4, 3), np.uint8), path)

    def disk_full(self: Path, data: bytes) -> int:
        self.write_text("half")
        raise OSError("no space left on device")

    monkeypatch.setattr(Path, "write_bytes", disk_full)
    with pytest.raises(OSError, match="no space"):
        write(np.ones((4, 4, 3), np.uint8), path)
    assert read(path).max() == 0
    assert list(tmp_path.iterdir()) == [path]
