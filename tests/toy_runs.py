"""Trainings of small networks on tiny toy images with Lightning's trainer, with given callbacks only."""

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
from pytorch_lightning.callbacks import Checkpoint, ProgressBar

from cyclegan.checkpoint.writing import AtomicCheckpointIO
from cyclegan.data.datamodule import ImageDataModule
from cyclegan.datasets.toy import draw
from tests.small import small_cyclegan


def toy_data(root: Path, train: int = 6, test: int = 3, batch_size: int = 2) -> ImageDataModule:
    """Toy images of 16 × 16; an epoch of six in batches of two is three batches."""
    source = partial(draw, train=train, test=test, size=16)
    return ImageDataModule(
        root, load_size=16, crop_size=16, batch_size=batch_size, num_workers=0, source=source, pairing="by_name"
    )


def fit_toy(
    model: pl.LightningModule,
    data: ImageDataModule,
    *callbacks: pl.Callback,
    resume: Path | None = None,
    **arguments: Any,
) -> pl.Trainer:
    """Train one epoch on the CPU, unless the trainer's arguments differ."""
    defaults: dict[str, Any] = {
        "accelerator": "cpu",
        "max_epochs": 1,
        "logger": False,
        "log_every_n_steps": 1,
        "enable_model_summary": False,
        "use_distributed_sampler": False,
        "plugins": [AtomicCheckpointIO()],
        "default_root_dir": Path("/nonexistent"),
        # Lightning refuses these callbacks if they are disabled, and adds its own if they are enabled.
        "enable_checkpointing": any(isinstance(callback, Checkpoint) for callback in callbacks),
        "enable_progress_bar": any(isinstance(callback, ProgressBar) for callback in callbacks),
    }
    trainer = pl.Trainer(callbacks=list(callbacks), **defaults | arguments)
    trainer.fit(model, datamodule=data, ckpt_path=resume, weights_only=True)
    return trainer


def fit_small(folder: Path, *callbacks: pl.Callback, **arguments: Any) -> pl.Trainer:
    """Train a small CycleGAN on toy images in `folder`; three batches of two images are an epoch."""
    return fit_toy(small_cyclegan(), toy_data(folder / "toy"), *callbacks, **arguments)


def logged(caplog: pytest.LogCaptureFixture, name: str = "cyclegan") -> list[str]:
    """Return the messages of a logger and of those below it."""
    return [record.getMessage() for record in caplog.records if record.name.startswith(name)]


class FullDisk:
    """Let saves fail as on a full disk, by their numbers from 1."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *full_at: int) -> None:
        self.saves = 0
        original = pl.Trainer.save_checkpoint

        def save(trainer: pl.Trainer, path: Path, **named: Any) -> None:
            self.saves += 1
            if self.saves in full_at:
                raise OSError(28, "No space left on device", str(path))
            original(trainer, path, **named)

        monkeypatch.setattr(pl.Trainer, "save_checkpoint", save)
