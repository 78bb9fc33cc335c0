"""Rows of training metrics in metrics.csv."""

import csv
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from cyclegan.callbacks import metrics_logger
from cyclegan.callbacks.checkpointing import Checkpointing
from cyclegan.callbacks.metrics_logger import MetricsLogger
from cyclegan.callbacks.run_state import RunState
from cyclegan.data.datamodule import ImageDataModule
from cyclegan.loggers.metrics_csv import MetricsCsv
from cyclegan.optim import Linear
from tests.small import small_cyclegan
from tests.tiny_run import StopAt, StoppedError
from tests.toy_runs import fit_toy, toy_data


def column(folder: Path, name: str, missing: str = "") -> list[float]:
    with (folder / "metrics.csv").open() as file:
        return [float(row[name] or missing) for row in csv.DictReader(file)]


def test_rows_hold_images_epochs_and_both_learning_rates(tmp_path: Path) -> None:
    model = small_cyclegan(schedule=Linear(total_epochs=2), discriminator_lr=8e-4)
    data = toy_data(tmp_path / "toy")  # three batches of two
    fit_toy(model, data, MetricsLogger(), max_epochs=2, logger=MetricsCsv(str(tmp_path)))

    assert column(tmp_path, "images_seen") == [2, 4, 6, 8, 10, 12]
    assert column(tmp_path, "epoch") == pytest.approx([1 / 3, 2 / 3, 1, 4 / 3, 5 / 3, 2])
    # One constant epoch, then one at half the learning rate.
    assert column(tmp_path, "lr/generators") == pytest.approx([2e-4] * 3 + [1e-4] * 3)
    assert column(tmp_path, "lr/discriminators") == pytest.approx([8e-4] * 3 + [4e-4] * 3)


@pytest.mark.parametrize(
    ("accumulate", "expected"),
    [
        # Batch n of two images ends after n² seconds.
        (1, [2 / (1 - 0), 2 / (4 - 1), 2 / (9 - 4), 2 / (16 - 9)]),
        (2, [4 / (4 - 0), 4 / (16 - 4)]),  # over all batches of a step
    ],
)
def test_images_per_s_is_measured_since_the_previous_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, accumulate: int, expected: list[float]
) -> None:
    data: ImageDataModule = toy_data(tmp_path / "toy", train=8)
    monkeypatch.setattr(metrics_logger, "time", SimpleNamespace(monotonic=lambda: 100.0 + (data.images_seen / 2) ** 2))
    logger = MetricsCsv(str(tmp_path))
    fit_toy(small_cyclegan(), data, MetricsLogger(), accumulate_grad_batches=accumulate, logger=logger)
    assert column(tmp_path, "images_per_s") == pytest.approx(expected)


def test_a_resumed_run_knows_the_last_losses_of_a_player_that_rests(tmp_path: Path) -> None:
    """The generators rest in steps 1, 3 and 5; the row of step 5 has their losses of step 4, after the resume too."""
    data, last = toy_data(tmp_path / "toy"), tmp_path / "checkpoints" / "last.ckpt"
    callbacks = (MetricsLogger(), RunState({}))
    names = ("train/adv_ab", "train/cycle_a", "train/disc_a")
    options: dict[str, Any] = {"max_epochs": 2, "logger": MetricsCsv(str(tmp_path))}
    saving = Checkpointing(str(tmp_path), every_n_images=2, keep_last=9)
    fit_toy(small_cyclegan(n_critic=2), data, *callbacks, saving, **options)
    expected = {name: column(tmp_path, name, missing="0") for name in names}
    assert expected["train/adv_ab"][4] == expected["train/adv_ab"][3] > 0
    assert expected["train/disc_a"][4] != expected["train/disc_a"][3]

    earlier = last.with_name("images000000008.ckpt")
    options["logger"] = MetricsCsv(str(tmp_path))
    fit_toy(small_cyclegan(n_critic=2), data, *callbacks, **options, resume=earlier)
    assert {name: column(tmp_path, name, missing="0") for name in names} == expected


def test_a_resumed_run_drops_rows_after_its_checkpoint(tmp_path: Path) -> None:
    data, last = toy_data(tmp_path / "toy"), tmp_path / "checkpoints" / "last.ckpt"
    with pytest.raises(StoppedError):
        fit_toy(
            small_cyclegan(),
            data,
            MetricsLogger(),
            Checkpointing(str(tmp_path)),
            StopAt("on_train_batch_start", 5),
            max_epochs=2,
            logger=MetricsCsv(str(tmp_path)),
        )
    assert column(tmp_path, "images_seen") == [2, 4, 6, 8, 10]
    # The checkpoint is at 6 images. The resumed run logs its first row at 12.
    logger = MetricsCsv(str(tmp_path))
    fit_toy(small_cyclegan(), data, MetricsLogger(), max_epochs=2, resume=last, log_every_n_steps=6, logger=logger)
    assert column(tmp_path, "images_seen") == [2, 4, 6, 12]
