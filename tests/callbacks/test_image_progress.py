"""A run that goes on with another number of devices goes on at the same image, and its epochs end where they should."""

from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl

from cyclegan.callbacks.checkpointing import Checkpointing
from cyclegan.callbacks.image_progress import ImageProgress
from cyclegan.callbacks.position import images_seen
from cyclegan.callbacks.rank_state import RankState
from tests.small import small_cyclegan
from tests.toy_runs import fit_toy, toy_data

IMAGES = 7  # an epoch


class Positions(pl.Callback):
    """The position after each batch, and at the end of each epoch."""

    def __init__(self) -> None:
        self.batches: list[int] = []
        self.epochs: list[tuple[int, int]] = []

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        self.batches.append(images_seen(trainer))

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.epochs.append((trainer.current_epoch, images_seen(trainer)))


@pytest.mark.parametrize(
    ("before", "after", "saved_at", "batches", "ends"),
    [
        # Two devices with a batch of one, then one device: three single images are left of the first epoch.
        (2, 1, 4, [5, 6, 7, *range(8, 15)], [(0, 7), (1, 14)]),
        (2, 1, 6, [7, *range(8, 15)], [(0, 7), (1, 14)]),
        # One device, then three: the epoch reaches beyond its seven images, as it would have with three from the start.
        (1, 3, 2, [5, 8, 11, 14, 17], [(0, 8), (1, 17)]),
        (1, 3, 1, [4, 7, 10, 13, 16], [(0, 7), (1, 16)]),
        (1, 8, 3, [11, 19], [(0, 11), (1, 19)]),
        # Between two epochs there is nothing to convert.
        (2, 1, 8, list(range(9, 16)), [(1, 15)]),
        # Nor with as many devices.
        (2, 2, 4, [6, 8, 10, 12, 14, 16], [(0, 8), (1, 16)]),
    ],
)
def test_goes_on_at_the_same_image(
    tmp_path: Path, before: int, after: int, saved_at: int, batches: list[int], ends: list[tuple[int, int]]
) -> None:
    # On one device here: what counts is the number of images in a batch of all devices together.
    data = toy_data(tmp_path / "toy", train=IMAGES, batch_size=before)
    saving = Checkpointing(str(tmp_path), every_n_images=1, keep_last=99)
    fit_toy(small_cyclegan(), data, RankState(), saving)
    path = tmp_path / "checkpoints" / f"images{saved_at:09d}.ckpt"

    record = Positions()
    data = toy_data(tmp_path / "toy", train=IMAGES, batch_size=after)
    trainer = fit_toy(small_cyclegan(), data, ImageProgress(), RankState(), record, resume=path, max_epochs=2)
    assert record.batches == batches
    assert record.epochs == ends
    assert trainer.current_epoch == 2
