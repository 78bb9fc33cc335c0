"""Curves and images in the event file of a run with logger=tensorboard."""

import csv
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from cyclegan.images import read
from cyclegan.train.command import train
from tests.tiny_run import STEPS_PER_EPOCH, composed


def test_curves_and_images_are_logged_at_images_seen(tmp_path: Path) -> None:
    train(composed(tmp_path / "run", tmp_path / "toy", "logger=tensorboard"))
    events = EventAccumulator(str(tmp_path / "run" / "tensorboard"))
    events.Reload()

    with (tmp_path / "run" / "metrics.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["train/cycle_a"]]
    assert len(rows) == 2 * STEPS_PER_EPOCH
    for name in ("train/cycle_a", "train/adv_ab", "train/disc_b", "lr/generators", "images_per_s"):
        curve = [(event.step, event.value) for event in events.Scalars(name)]
        expected = [(int(row["images_seen"]), pytest.approx(float(row[name]), rel=1e-6)) for row in rows]
        assert curve == expected, name
    assert [event.step for event in events.Scalars("train/cycle_a")] == [2, 4, 6, 8, 10, 12]
    assert [event.step for event in events.Scalars("val/psnr")] == [0, 6, 12]

    images = events.Images("samples")
    assert [event.step for event in images] == [0, 6, 12]
    for epoch, event in enumerate(images):
        shown = np.asarray(Image.open(BytesIO(event.encoded_image_string))).astype(float)
        on_disk = np.asarray(read(tmp_path / "run" / "samples" / f"epoch{epoch:04d}.jpg")).astype(float)
        assert shown.shape == on_disk.shape
        assert np.abs(shown - on_disk).mean() < 4, "differs by more than JPEG loss"
