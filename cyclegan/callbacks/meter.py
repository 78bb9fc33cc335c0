"""Figures of the run itself: images seen, images per second, learning rates."""

import time
from typing import Any

import pytorch_lightning as pl
import torch

from cyclegan.callbacks.position import images_seen
from cyclegan.loggers.metrics_csv import MetricsCsv


class RunMeter(pl.Callback):
    """Logs the x-axis of every chart (images seen of each domain) beside epoch, speed and learning rates.

    Lightning takes a metric called `step` for the x-axis in all of its loggers.
    """

    def __init__(self) -> None:
        self._since = (0.0, 0)
        self._steps = 0
        self._rates: dict[str, float] = {}

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Starts the clock, and tells metrics.csv where the run stands."""
        self._since = (time.monotonic(), images_seen(trainer))
        self._steps = trainer.global_step
        for logger in trainer.loggers:
            if isinstance(logger, MetricsCsv):
                logger.continue_from(images_seen(trainer))

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Notes the rates of this batch: after an epoch's last one, the scheduler has moved them already."""
        self._rates = {f"lr/{group['name']}": group["lr"] for group in trainer.optimizers[0].param_groups}

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Logs when the loggers are about to be written."""
        step = trainer.global_step  # stands still while gradients are accumulated
        if step == self._steps or step % trainer.log_every_n_steps:  # type: ignore[attr-defined]
            return
        self._steps = step
        seen = images_seen(trainer)
        (then, before), self._since = self._since, (time.monotonic(), seen)
        figures = {
            "step": seen,
            "epoch": trainer.current_epoch + (batch_idx + 1) / trainer.num_training_batches,
            "images_per_s": (seen - before) / max(self._since[0] - then, 1e-9),
            **self._rates,
        }
        # float32 counts single images only up to 16.7 million; Apple's GPUs have nothing wider.
        dtype = torch.float32 if pl_module.device.type == "mps" else torch.float64
        pl_module.log_dict({k: torch.tensor(v, dtype=dtype) for k, v in figures.items()}, batch_size=1)
