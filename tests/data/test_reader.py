import re
from io import BytesIO
from pathlib import Path
from threading import Barrier
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from cyclegan.data.file_list import Files
from cyclegan.data.reader import DomainImages, decoded_type, find_types
from cyclegan.data.transforms import TrainingView, resized
from cyclegan.errors import DataError
from cyclegan.images import RGB, Header, ImageError, PixelFormat, read
from cyclegan.images.tensors import to_tensor

SQUARE = TrainingView(8, 6, flip=True)


def images_in(folder: Path, view: TrainingView = SQUARE, half: str | None = None, **arguments: Any) -> DomainImages:
    """All images of a folder."""
    images = Files(folder, sorted(path.name for path in folder.iterdir()))
    settings = {"pixel_format": RGB, "reducing_gap": None, "max_pixels": 10_000} | arguments
    return DomainImages(images, half=half, view=view, **settings)


def noise(height: int, width: int, seed: int = 0) -> Any:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def save(path: Path, pixels: Any, **arguments: Any) -> None:
    path.parent.mkdir(exist_ok=True)
    Image.fromarray(pixels).save(path, **arguments)


def test_an_image_is_read_and_resized(tmp_path: Path) -> None:
    save(tmp_path / "a.png", noise(10, 12))
    planes = images_in(tmp_path)[0]
    assert planes.flags.c_contiguous
    assert np.array_equal(planes, resized(noise(10, 12), 8, 8).transpose(2, 0, 1))


@pytest.mark.parametrize(("half", "columns"), [("left", slice(0, 5)), ("right", slice(6, 11))])
def test_half_of_a_pair_is_taken_before_it_is_resized(tmp_path: Path, half: str, columns: slice) -> None:
    save(tmp_path / "pair.png", noise(6, 11))
    expected = resized(noise(6, 11)[:, columns].copy(), 8, 8)
    assert np.array_equal(images_in(tmp_path, half=half)[0], expected.transpose(2, 0, 1))
    pairs = images_in(tmp_path, half=half)
    assert pairs.tensor(pairs.middle(0)).equal(to_tensor(expected)[:, 1:7, 1:7])


def smooth_jpeg(height: int, width: int, orientation: int = 1) -> bytes:
    """A JPEG of slow waves, which look the same at half the size."""
    y, x = np.mgrid[:height, :width] / 40
    pixels = np.stack([np.sin(x), np.cos(y), np.sin(x + y)], axis=-1) * 100 + 128
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = BytesIO()
    Image.fromarray(pixels.astype(np.uint8)).save(file, "JPEG", quality=95, exif=exif)
    return file.getvalue()


@pytest.mark.parametrize("resize", ["stretch", "width", "short_side"])
@pytest.mark.parametrize("orientation", [1, 6])
@pytest.mark.parametrize("half", [None, "right"])
def test_a_large_jpeg_is_decoded_smaller_and_looks_the_same(
    tmp_path: Path, resize: str, orientation: int, half: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "large.jpg").write_bytes(smooth_jpeg(301, 403, orientation))
    view = TrainingView(32, 16, flip=False, resize=resize)
    full = images_in(tmp_path, view, half, max_pixels=10**6)[0].astype(int)
    reduced = images_in(tmp_path, view, half, max_pixels=10**6, reducing_gap=2.0)
    asked: list[Any] = []

    def decode(*arguments: Any) -> Any:
        asked.append(arguments[3])
        pixels = read(tmp_path / "large.jpg", RGB, arguments[3])
        asked.append(pixels.shape)
        return pixels

    monkeypatch.setattr("cyclegan.data.reader.decode", decode)
    found = reduced[0].astype(int)
    assert found.shape == full.shape, "sizes are those of the whole image"
    # Of 403 columns, 101 are decoded, as if there were 404: at the edge, a quarter of one of the 32 that remain.
    assert np.abs(found - full).max() <= 12
    at_least, shape = asked
    assert at_least == ((128 if half else 64), (1 if resize == "width" else 64))
    assert shape[0] * shape[1] < 301 * 403 / 2
    assert shape[1] >= at_least[0]
    assert shape[0] >= at_least[1]


def test_without_load_size_a_jpeg_is_decoded_at_full_size(tmp_path: Path) -> None:
    (tmp_path / "large.jpg").write_bytes(smooth_jpeg(160, 160))
    whole = images_in(tmp_path, TrainingView(None, 16, flip=False), reducing_gap=2.0, max_pixels=10**6)[0]
    assert whole.shape == (3, 160, 160)


def test_an_image_too_small_is_named(tmp_path: Path) -> None:
    save(tmp_path / "small.png", noise(5, 9))
    with pytest.raises(ImageError, match=r"small\.png: the image is 9×5, too small for a crop of 6×6"):
        images_in(tmp_path, TrainingView(None, 6, flip=True))[0]


def test_an_image_that_cannot_be_halved_is_named(tmp_path: Path) -> None:
    save(tmp_path / "line.png", noise(9, 1))
    images = images_in(tmp_path, half="left")
    words = r"line\.png: the image is 1 pixel wide, which cannot be two side by side"
    with pytest.raises(ImageError, match=words):
        images[0]
    with pytest.raises(ImageError, match=words):
        images.middle(0)
    with pytest.raises(DataError, match=words):
        modes(images, 1)


def test_an_uncropped_image_too_small_for_the_networks_is_named(tmp_path: Path) -> None:
    save(tmp_path / "tiny.png", noise(3, 9))
    with pytest.raises(ImageError, match=r"tiny\.png: the image is 9×3, too small for the networks"):
        images_in(tmp_path, TrainingView(None, None, flip=True)).middle(0)


@pytest.mark.parametrize("resize", ["stretch", "short_side"])
def test_pages_of_a_file_may_have_different_sizes(tmp_path: Path, resize: str) -> None:
    with tifffile.TiffWriter(tmp_path / "pages.tif") as pages:
        pages.write(noise(50, 50), photometric="rgb")
        pages.write(noise(20, 40), photometric="rgb")
    view = TrainingView(16, 8, flip=False, resize=resize)
    found = images_in(tmp_path, view, pixel_format=PixelFormat(page=1), reducing_gap=2.0)[0]
    width = 32 if resize == "short_side" else 16
    assert np.array_equal(found, resized(noise(20, 40), width, 16).transpose(2, 0, 1))


# ---------------------------------------------------------------------------------------------- before training


def modes(images: DomainImages, count: int, domain: str = "A") -> dict[str, int]:
    images.check_headers(count, f"train{domain}")
    return images.modes


def test_headers_show_the_modes(tmp_path: Path) -> None:
    for i in range(6):
        save(tmp_path / f"{i}.png", noise(8, 8) if i % 2 else noise(8, 8)[..., 0])
    assert modes(images_in(tmp_path), 100) == {"RGB": 3, "L": 3}
    assert modes(images_in(tmp_path), 2) == {"L": 1, "RGB": 1}, "the first and the last"


def test_headers_are_read_in_several_threads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In one thread, the first would wait for a second that never begins."""
    for number in range(64):
        Image.new("L", (8, 8)).save(tmp_path / f"{number:02d}.png")
    both, read = Barrier(2), Files.header

    def header(self: Files, index: int, pixel_format: PixelFormat) -> Header:
        both.wait(timeout=30)
        return read(self, index, pixel_format)

    monkeypatch.setattr(Files, "header", header)
    assert modes(images_in(tmp_path), 64) == {"L": 64}


def test_images_with_unsuitable_headers_are_listed(tmp_path: Path) -> None:
    save(tmp_path / "0.png", noise(200, 200))
    (tmp_path / "1.png").write_bytes(b"")
    (tmp_path / "2.jpg").write_text("<html>404 Not Found</html>")
    save(tmp_path / "3.png", noise(3, 9))
    for number in range(4, 9):
        (tmp_path / f"{number}.png").write_bytes(b"nothing")
    save(tmp_path / "9.png", noise(9, 9))
    with pytest.raises(DataError) as refusal:
        modes(images_in(tmp_path, TrainingView(None, 6, flip=True)), 10, "B")
    lines = str(refusal.value).splitlines()
    assert lines[0] == "9 of the 10 images of trainB whose headers were read cannot be used:"
    named = [Path(line.split(":")[0].strip()).name for line in lines[1:6]]
    assert named == ["0.png", "1.png", "2.jpg", "3.png", "4.png"]
    assert "200×200 pixels" in lines[1]
    assert "10000" in lines[1]
    assert "9×3, too small for a crop of 6×6" in lines[4]
    assert lines[6] == "  and 4 more"
    assert "data.on_error=skip" in lines[7]


def test_the_type_is_that_of_the_first_readable_image(tmp_path: Path) -> None:
    (tmp_path / "0.png").write_bytes(b"nothing")
    save(tmp_path / "1.png", np.zeros((8, 8), np.uint16))
    save(tmp_path / "2.png", noise(8, 8))
    images = images_in(tmp_path, pixel_format=PixelFormat(1))
    find_types({"train": {"A": images}})
    assert (images.stored, images.pixel_format.dtype) == ("uint16", "uint16")
    for path in tmp_path.iterdir():
        path.write_bytes(b"nothing")
    with pytest.raises(DataError, match=re.escape("none of the first 3 images of trainA can be used. For example: ")):
        find_types({"train": {"A": images_in(tmp_path)}})


@pytest.mark.parametrize(
    ("stored", "decoded"),
    [("bool", "uint8"), ("uint16", "uint16"), ("int16", "int16"), ("float64", "float32"), ("int32", "float32")],
)
def test_decoded_types(stored: str, decoded: str) -> None:
    assert decoded_type(stored) == decoded
