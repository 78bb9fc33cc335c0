"""The position of a run, counted in images seen of each domain."""

import contextlib
from pathlib import Path

import pytorch_lightning as pl

from cyclegan.data.training_data import TrainingData


def data_of(trainer: pl.Trainer) -> TrainingData:
    """Return the data module that the trainer is fitting."""
    data: TrainingData = trainer.datamodule  # type: ignore[attr-defined]
    return data


def images_seen(trainer: pl.Trainer) -> int:
    """Return the images of each domain seen so far, on all devices together."""
    return data_of(trainer).images_seen


def total_images(trainer: pl.Trainer) -> int | None:
    """Return the images of each domain that the whole run will see; None for a run without `max_epochs`."""
    if trainer.max_epochs is None or trainer.max_epochs < 0:
        return None
    return int(trainer.max_epochs * trainer.num_training_batches * data_of(trainer).batch_size * trainer.world_size)


def discard_later(folder: Path, trainer: pl.Trainer) -> None:
    """Remove files `epochNNNN…` of epochs after the present one, from which a resumed run continues."""
    for file in folder.glob("epoch*"):
        digits = file.stem.removeprefix("epoch").removeprefix("=")  # older versions wrote epoch=NNNN
        if digits.isdigit() and int(digits) > trainer.current_epoch:
            with contextlib.suppress(OSError):
                file.unlink()
