"""The lightness of RGB images as a domain, paired with the images themselves."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image
from torch import Tensor

from cyclegan.data.augment import Affine, ColourJitter
from cyclegan.data.domains import Domain
from cyclegan.errors import UserError
from cyclegan.images.lab import rgb_to_lab
from tests.data.image_folders import data_of, epochs, image_folder, noise

DOMAINS = {"A": Domain(channels=1, lightness=True, folder=""), "B": Domain(folder="")}


def assert_is_lightness(images: Tensor, rgb: Tensor) -> None:
    torch.testing.assert_close(images, rgb_to_lab(rgb)[:, :1], rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    "arguments",
    [{}, {"jitter": ColourJitter(0.3, 0.3, 0.3, 0.1)}, {"affine": Affine(10, 0.1)}, {"cache": "disk"}],
    ids=str,
)
def test_samples_are_the_lightness_of_the_resized_cropped_and_augmented_images(
    tmp_path: Path, arguments: dict[str, Any]
) -> None:
    root = image_folder(tmp_path, train=5, test=2)
    data = data_of(root, domains=DOMAINS, draw="aligned", pairing="by_name", **arguments)
    assert data.channels == {"A": 1, "B": 3}
    for batch in epochs(data, 2):
        assert batch["A"].shape == (2, 1, 6, 6)
        assert_is_lightness(batch["A"], batch["B"])
    held_out = data.held_out()
    assert held_out is not None
    assert held_out.ground_truth["A", "B"] == {0: 0, 1: 1}
    assert_is_lightness(held_out.first("A", 2), held_out.first("B", 2))


def test_one_plain_folder_of_grey_and_colour_images_of_8_and_16_bits(tmp_path: Path) -> None:
    image_folder(tmp_path, **{"": 2})
    Image.fromarray(noise(7)[..., 0]).save(tmp_path / "grey.png")
    tifffile.imwrite(tmp_path / "deep.tif", noise(8).astype(np.uint16) * 257)
    domains = {"A": Domain(train=".", channels=1, lightness=True), "B": Domain(train=".")}
    data = data_of(tmp_path, domains=domains, draw="aligned", val_share=0.5)
    assert data.counts == {"trainA": 2, "trainB": 2, "valA": 2, "valB": 2}
    for batch in epochs(data):
        assert_is_lightness(batch["A"], batch["B"])


def test_lightness_is_one_channel() -> None:
    with pytest.raises(UserError, match="lightness is one channel, set channels=1"):
        Domain(lightness=True)
