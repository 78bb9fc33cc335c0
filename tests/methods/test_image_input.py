"""Translating one image of a program: `translator(image)`."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from cyclegan.data.sizes import Scale
from cyclegan.errors import UserError
from cyclegan.images import ImageError, PixelFormat
from cyclegan.methods.trained_generators import TrainedGenerators
from cyclegan.methods.translator import Batch, Translator
from cyclegan.networks.resnet import ResnetGenerator


class Inverse(Translator):
    """A to B: the negative of the image; B to A: the image."""

    domains = ("A", "B")
    directions = (("A", "B"), ("B", "A"))
    size_multiple = 4
    minimum_size = 8

    def __init__(self, pixel_format: PixelFormat) -> None:
        super().__init__()
        self.network = nn.Linear(1, 1)
        self.pixel_formats = dict.fromkeys("AB", pixel_format)
        self.shapes: list[tuple[int, ...]] = []

    def translate(self, images: Tensor, source: str, target: str) -> Tensor:
        self.shapes.append(tuple(images.shape))
        return -images if source == "A" else images

    def visuals(self, batch: Batch) -> dict[str, Tensor]:
        return {}

    def generators(self) -> Mapping[str, nn.Module]:
        return {"gen": self.network}


@pytest.fixture
def inverse() -> Inverse:
    return Inverse(PixelFormat(3, "uint8"))


def drawn(height: int, width: int, channels: int = 3) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (height, width, channels), dtype=np.uint8)


def test_an_image_of_any_size_is_padded_and_cropped(inverse: Inverse) -> None:
    pixels = drawn(5, 18)
    translated = inverse(Image.fromarray(pixels))
    assert inverse.shapes == [(1, 3, 8, 20)]
    assert np.array_equal(np.asarray(translated), 255 - pixels)
    assert np.array_equal(inverse(pixels), 255 - pixels), "an array for an array"
    assert np.array_equal(inverse(pixels, "B2A"), pixels)


def test_a_file_and_an_image_are_resized_as_in_training(inverse: Inverse, tmp_path: Path) -> None:
    inverse.scale = Scale(12, "width")
    Image.fromarray(drawn(10, 6)).save(tmp_path / "a.png")
    assert inverse(tmp_path / "a.png").size == (12, 20)
    assert inverse(str(tmp_path / "a.png"), load_size=24).size == (24, 40)
    assert inverse(tmp_path / "a.png", load_size=0).size == (6, 10), "its own size"


def test_images_are_read_as_files_are(inverse: Inverse) -> None:
    """Upright, with palettes and grey as RGB, and without a silent loss."""
    pixels = drawn(8, 12)
    turned = Image.fromarray(pixels)
    turned.getexif()[0x0112] = 6  # rotate by 90 degrees to the right
    assert np.array_equal(np.asarray(inverse(turned, "B2A")), np.rot90(pixels, -1))
    palette = Image.fromarray(pixels).quantize(16)
    assert np.array_equal(np.asarray(inverse(palette, "B2A")), np.asarray(palette.convert("RGB")))
    transparent = Image.fromarray(drawn(8, 8, 4))
    with pytest.raises(ImageError, match="the given Image: has transparent pixels"):
        inverse(transparent)
    with pytest.raises(ImageError, match=r"the given ndarray: .* 5 channels|5"):
        inverse(drawn(8, 8, 5))


def test_16_bits_stay_in_arrays_and_become_8_in_pillow_images() -> None:
    inverse = Inverse(PixelFormat(1, "uint16"))
    pixels = np.linspace(0, 65535, 64).astype(np.uint16).reshape(8, 8)
    assert np.array_equal(inverse(pixels, "B2A")[..., 0], pixels)
    image = inverse(Image.fromarray(pixels), "B2A")
    assert image.mode == "L"
    assert np.abs(np.asarray(image) - pixels / 257).max() <= 0.5


def test_a_translator_in_half_precision_takes_images() -> None:
    torch.manual_seed(0)
    translator = TrainedGenerators({("A", "B"): ResnetGenerator(width=4, blocks=1)}, {"A": 3, "B": 3}).eval()
    pixels = drawn(16, 16)
    plain = translator(pixels).astype(int)
    for dtype in (torch.bfloat16, torch.float16):
        difference = np.abs(translator.to(dtype)(pixels) - plain)
        assert 0 < difference.mean() < 1.5


def test_another_direction_is_refused(inverse: Inverse) -> None:
    with pytest.raises(UserError, match="this translator has no direction A2C; it has A2B, B2A"):
        inverse(drawn(8, 8), "A2C")
