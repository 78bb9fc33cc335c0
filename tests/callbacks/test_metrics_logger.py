"""The rows of training metrics, read back from metrics.csv."""

import csv
from pathlib import Path
from types import SimpleNamespace

import pytest
import pytorch_lightning as pl

from cyclegan.callbacks import metrics_logger
from cyclegan.callbacks.checkpointing import Checkpointing
from cyclegan.callbacks.metrics_logger import MetricsLogger
from cyclegan.data.datamodule import ImageDataModule
from cyclegan.loggers.metrics_csv import MetricsCsv
from cyclegan.optim import Linear
from tests.small import small_cyclegan
from tests.toy_runs import fit_toy, toy_data


def column(folder: Path, name: str) -> list[float]:
    with (folder / "metrics.csv").open() as file:
        return [float(row[name]) for row in csv.DictReader(file)]


def test_counts_images_and_epochs_and_follows_both_learning_rates(tmp_path: Path) -> None:
    model = small_cyclegan(schedule=Linear(total_epochs=2), discriminator_lr=8e-4)
    data = toy_data(tmp_path / "toy")  # three batches of two
    fit_toy(model, data, MetricsLogger(), max_epochs=2, logger=MetricsCsv(str(tmp_path)))

    assert column(tmp_path, "images_seen") == [2, 4, 6, 8, 10, 12]
    assert column(tmp_path, "epoch") == pytest.approx([1 / 3, 2 / 3, 1, 4 / 3, 5 / 3, 2])
    # One constant epoch, then one that is half way to zero.
    assert column(tmp_path, "lr/generators") == pytest.approx([2e-4] * 3 + [1e-4] * 3)
    assert column(tmp_path, "lr/discriminators") == pytest.approx([8e-4] * 3 + [4e-4] * 3)


def test_logs_every_n_steps(tmp_path: Path) -> None:
    logger = MetricsCsv(str(tmp_path))
    fit_toy(
        small_cyclegan(), toy_data(tmp_path / "toy"), MetricsLogger(), max_epochs=2, log_every_n_steps=2, logger=logger
    )
    assert column(tmp_path, "images_seen") == [4, 8, 12]


@pytest.mark.parametrize(
    ("accumulate", "expected"),
    [
        # Batch n is done after n² seconds, of two images each.
        (1, [2 / (1 - 0), 2 / (4 - 1), 2 / (9 - 4), 2 / (16 - 9)]),
        (2, [4 / (4 - 0), 4 / (16 - 4)]),  # over all batches of a step, not the last alone
    ],
)
def test_speed_is_images_over_the_time_since_the_row_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, accumulate: int, expected: list[float]
) -> None:
    data: ImageDataModule = toy_data(tmp_path / "toy", train=8)
    monkeypatch.setattr(metrics_logger, "time", SimpleNamespace(monotonic=lambda: 100.0 + (data.images_seen / 2) ** 2))
    logger = MetricsCsv(str(tmp_path))
    fit_toy(small_cyclegan(), data, MetricsLogger(), accumulate_grad_batches=accumulate, logger=logger)
    assert column(tmp_path, "images_per_s") == pytest.approx(expected)


class LostAfter(pl.Callback):
    def __init__(self, steps: int) -> None:
        self.steps = steps

    def on_train_batch_start(self, trainer: pl.Trainer, *_: object) -> None:
        if trainer.global_step == self.steps:
            raise RuntimeError("the power is gone")


def test_a_resumed_run_drops_what_lies_after_its_checkpoint_whatever_it_logs_itself(tmp_path: Path) -> None:
    data, last = toy_data(tmp_path / "toy"), tmp_path / "checkpoints" / "last.ckpt"
    with pytest.raises(RuntimeError):
        fit_toy(
            small_cyclegan(),
            data,
            MetricsLogger(),
            Checkpointing(str(tmp_path)),
            LostAfter(5),
            max_epochs=2,
            logger=MetricsCsv(str(tmp_path)),
        )
    assert column(tmp_path, "images_seen") == [2, 4, 6, 8, 10]
    # The checkpoint is of the epoch's end, at 6. The resumed run logs more rarely: its first row comes at 12.
    logger = MetricsCsv(str(tmp_path))
    fit_toy(small_cyclegan(), data, MetricsLogger(), max_epochs=2, resume=last, log_every_n_steps=6, logger=logger)
    assert column(tmp_path, "images_seen") == [2, 4, 6, 12]
