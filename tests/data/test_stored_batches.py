"""Integers reach the device as their files store them, and training steps in [-1, 1]."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from PIL import Image

from cyclegan.data.augment import ColourJitter
from cyclegan.data.datamodule import ImageDataModule
from cyclegan.data.domains import Domain
from cyclegan.data.loader import Batch
from tests.data.image_folders import data_of, image_folder, noise

WHOLE: dict[str, Any] = {"load_size": None, "crop_size": 10, "flip": False}


class Steps(pl.LightningModule):
    """Keeps the batches of its training steps."""

    def __init__(self) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.batches: list[Batch] = []

    def training_step(self, batch: Batch) -> None:
        self.batches.append(batch)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters())


def trained(data: ImageDataModule, **trainer: Any) -> list[Batch]:
    """Return the batches of an epoch as training steps receive them."""
    steps = Steps()
    quiet: Any = dict.fromkeys(("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False)
    pl.Trainer(accelerator="cpu", max_epochs=1, **quiet, **trainer).fit(steps, datamodule=data)
    return steps.batches


@pytest.mark.parametrize(("dtype", "largest", "num_workers"), [("uint8", 255, 0), ("uint16", 65535, 2)])
def test_integers_leave_the_workers_as_stored_and_reach_the_step_in_minus_one_to_one(
    tmp_path: Path, dtype: str, largest: int, num_workers: int
) -> None:
    values = noise(1, 10, 10, 1)[..., 0].astype(dtype) * (largest // 255)
    for domain in "AB":
        (tmp_path / f"train{domain}").mkdir()
        Image.fromarray(values).save(tmp_path / f"train{domain}" / "0.png")
    domains = {domain: Domain(channels=1) for domain in "AB"}
    data = data_of(tmp_path, **WHOLE, batch_size=1, num_workers=num_workers, domains=domains)
    (stored,) = data.train_dataloader()
    (seen,) = trained(data)
    for domain in "AB":
        assert np.array_equal(stored[domain][0, 0].numpy(), values)
        assert stored[domain].dtype == getattr(torch, dtype)
        # float32, with each operation rounded, as IEEE 754 says
        expected = values.astype(np.float32) / np.float32(largest / 2) - np.float32(1)
        assert np.array_equal(seen[domain][0, 0].numpy(), expected)


def test_the_images_of_a_batch_may_differ_in_type(tmp_path: Path) -> None:
    """White of 8 bits and white of 16 bits."""
    (tmp_path / "trainA").mkdir()
    Image.fromarray(np.full((10, 10), 255, np.uint8)).save(tmp_path / "trainA" / "0.png")
    Image.fromarray(np.full((10, 10), 65535, np.uint16)).save(tmp_path / "trainA" / "1.png")
    data = data_of(tmp_path, **WHOLE, domains={"A": Domain(channels=1)})
    (seen,) = trained(data)
    assert seen["A"].equal(torch.ones(2, 1, 10, 10))


@pytest.mark.parametrize("precision", ["64-true", "bf16-true"])
def test_steps_receive_images_in_the_precision_of_the_run(tmp_path: Path, precision: Any) -> None:
    data = data_of(image_folder(tmp_path, trainA=2, trainB=2), **WHOLE | {"crop_size": 8})
    dtype = torch.float64 if precision == "64-true" else torch.bfloat16
    for single, other in zip(trained(data), trained(data, precision=precision), strict=True):
        assert other["A"].dtype == dtype
        assert other["A"].equal(single["A"].to(dtype))


def test_augmented_images_are_scaled_once(tmp_path: Path) -> None:
    """Jitter of strength zero changes nothing but the type in which images leave the workers."""
    image_folder(tmp_path, trainA=2, trainB=2)
    sizing = WHOLE | {"crop_size": 8}
    plain, jittered = data_of(tmp_path, **sizing), data_of(tmp_path, **sizing, jitter=ColourJitter())
    for one, other in zip(trained(plain), trained(jittered), strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=0)
