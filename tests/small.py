"""Small networks and batches, and a trainer that writes nothing, for tests of training."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from cyclegan.methods.cyclegan import CycleGAN
from cyclegan.networks.patchgan import PatchDiscriminator
from cyclegan.networks.resnet import ResnetGenerator

generator = partial(ResnetGenerator, width=4, blocks=1)
discriminator = partial(PatchDiscriminator, width=4, layers=1)


def small_cyclegan(seed: int = 0, **arguments: Any) -> CycleGAN:
    """Return a CycleGAN with small networks, whose initial weights depend only on the seed."""
    torch.manual_seed(seed)
    defaults: dict[str, Any] = {"generator": generator, "discriminator": discriminator}
    return CycleGAN(**defaults | arguments)


def random_batches(count: int, size: int = 1, pixels: int = 16, dtype: torch.dtype = torch.float32) -> list[Any]:
    """Return batches of noise in [-1, 1], the same in every call."""
    rng = torch.Generator().manual_seed(42)
    return [
        {d: torch.rand(size, 3, pixels, pixels, generator=rng, dtype=dtype) * 2 - 1 for d in "AB"} for _ in range(count)
    ]


def fit(model: pl.LightningModule, batches: Sequence[dict[str, Tensor]], **arguments: Any) -> pl.Trainer:
    """Train an epoch on the batches with Lightning's trainer on the CPU, without writing files."""
    defaults: dict[str, Any] = {
        "accelerator": "cpu",
        "max_epochs": 1,
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "default_root_dir": Path("/nonexistent"),
    }
    trainer = pl.Trainer(**defaults | arguments)
    trainer.fit(model, DataLoader(list(batches), batch_size=None))  # type: ignore[arg-type]
    return trainer
