"""Logging of training metrics: losses, epoch, images per second, learning rates."""

import time
from typing import Any

import pytorch_lightning as pl
import torch

from cyclegan.callbacks._position import images_seen
from cyclegan.loggers.metrics_csv import MetricsCsv


class MetricsLogger(pl.Callback):
    """Logs a row of training metrics every `trainer.log_every_n_steps` steps, over images seen of each domain.

    Losses are what the module logs under `train/`, averaged over all devices. Lightning would write them after the
    last hook of a batch, and so after a checkpoint of that batch: a run killed in between would lose the row.
    """

    def __init__(self) -> None:
        self._since = (0.0, 0)
        self._steps = 0
        self._learning_rates: dict[str, float] = {}

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the clock, and drop rows of metrics.csv after the resumed position."""
        self._since = (time.monotonic(), images_seen(trainer))
        self._steps = trainer.global_step
        for logger in trainer.loggers:
            if isinstance(logger, MetricsCsv):
                logger.continue_from(images_seen(trainer))

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Read the learning rates, which the scheduler has changed already when an epoch's last batch ends."""
        self._learning_rates = {f"lr/{group['name']}": group["lr"] for group in trainer.optimizers[0].param_groups}

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        step = trainer.global_step  # unchanged while gradients are accumulated
        if step == self._steps or step % trainer.log_every_n_steps:  # type: ignore[attr-defined]
            return
        self._steps = step
        seen = images_seen(trainer)
        (then, before), self._since = self._since, (time.monotonic(), seen)
        row = {
            **_mean_losses(trainer),
            "epoch": trainer.current_epoch + (batch_idx + 1) / trainer.num_training_batches,
            "images_per_s": (seen - before) / max(self._since[0] - then, 1e-9),
            **self._learning_rates,
        }
        for logger in trainer.loggers:
            logger.log_metrics(row, step=seen)


def _mean_losses(trainer: pl.Trainer) -> dict[str, float]:
    logged = {name: value for name, value in trainer.callback_metrics.items() if name.startswith("train/")}
    if not logged:
        return {}
    values = torch.stack([value.detach() for value in logged.values()])  # read once: each read waits for the GPU
    if trainer.world_size > 1:
        values = trainer.strategy.reduce(values, reduce_op="mean")
    return dict(zip(logged, values.tolist(), strict=True))
