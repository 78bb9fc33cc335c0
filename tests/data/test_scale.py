"""Training, validation, sample grids and cyclegan-evaluate see images at one scale: stripes keep their period."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from cyclegan.data.datamodule import ImageDataModule
from cyclegan.evaluate.run_data import images_of


def striped(file: Path) -> None:
    """An image of 96 × 48 whose red channel repeats every 8 columns and whose green channel every 8 rows."""
    y, x = np.mgrid[:48, :96] * (2 * np.pi / 8)
    pixels = np.stack([np.cos(x), np.cos(y), 0 * x], axis=-1) * 100 + 128
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels.astype(np.uint8)).save(file)


def periods(image: Tensor) -> tuple[float, float]:
    """Period of the stripes in pixels: along the rows in red, down the columns in green."""

    def period(values: Tensor) -> float:
        return len(values) / int(torch.fft.rfft(values - values.mean()).abs().argmax())

    return period(image[0].mean(0)), period(image[1].mean(1))


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("stripes")
    for name in ("trainA", "trainB", "testA", "testB"):
        striped(folder / name / "1.png")
    return folder


@pytest.mark.parametrize(
    ("load_size", "crop_size", "resize", "expected"),
    [
        (None, 32, "stretch", (8, 8)),  # cropped alone
        (None, None, "stretch", (8, 8)),  # as it is
        (64, 32, "stretch", (8 * 64 / 96, 8 * 64 / 48)),  # 96 × 48 became 64 × 64
        (64, 32, "width", (8 * 64 / 96, 8 * 64 / 96)),  # 64 × 32
        (64, 32, "short_side", (8 * 64 / 48, 8 * 64 / 48)),  # 128 × 64
        (64, None, "width", (8 * 64 / 96, 8 * 64 / 96)),
        (32, 32, "stretch", (8 * 32 / 96, 8 * 32 / 48)),
    ],
)
def test_training_validation_samples_and_evaluation_have_one_scale(
    root: Path, load_size: int | None, crop_size: int | None, resize: str, expected: tuple[float, float]
) -> None:
    sizing: dict[str, Any] = {"load_size": load_size, "crop_size": crop_size, "resize": resize}
    data = ImageDataModule(root, num_workers=0, **sizing)
    data.setup()
    in_training = data.on_after_batch_transfer(next(iter(data.train_dataloader())), 0)["A"][0]
    held_out, evaluated = data.held_out(), images_of({"root": str(root), **sizing}, {}, ("test",))
    assert held_out is not None
    images = {
        "training": in_training,
        "sample grid": data.sample_batch(1)["A"][0],
        **{f"validation, {domain}": held_out.image(domain, 0) for domain in "AB"},
        **{f"evaluation, {domain}": evaluated.image(domain, 0) for domain in "AB"},
    }
    for where, image in images.items():
        assert image is not None
        assert image.shape == in_training.shape, where
        assert periods(image) == pytest.approx(expected), where


def test_another_size_is_stretched_or_cropped_as_in_training(root: Path) -> None:
    sizes = {}
    for resize in ("stretch", "width", "short_side"):
        config = {"root": str(root), "load_size": 64, "crop_size": 32, "resize": resize}
        image = images_of(config, {}, ("test",), size=48).image("A", 0)
        assert image is not None
        assert image.shape == (3, 48, 48)
        sizes[resize] = periods(image)
    assert sizes == {"stretch": (4, 8), "width": (8, 8), "short_side": (8, 8)}
