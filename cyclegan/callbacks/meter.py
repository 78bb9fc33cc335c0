"""Figures of the run itself: images seen, images per second, learning rates."""

import time
from typing import Any

import pytorch_lightning as pl
import torch

from cyclegan.callbacks.position import images_seen


class RunMeter(pl.Callback):
    """Logs the x-axis of every chart (images seen of each domain) beside epoch, speed and learning rates.

    Lightning takes a metric called `step` for the x-axis in all of its loggers.
    """

    def __init__(self) -> None:
        self._since = (0.0, 0)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Starts the clock."""
        self._since = (time.monotonic(), images_seen(trainer))

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Logs when the loggers are about to be written."""
        if trainer.global_step % trainer.log_every_n_steps:  # type: ignore[attr-defined]
            return
        seen = images_seen(trainer)
        (then, before), self._since = self._since, (time.monotonic(), seen)
        figures = {
            "step": seen,
            "epoch": trainer.current_epoch + (batch_idx + 1) / trainer.num_training_batches,
            "images_per_s": (seen - before) / max(self._since[0] - then, 1e-9),
        }
        for group in trainer.optimizers[0].param_groups:
            figures[f"lr/{group['name']}"] = group["lr"]
        # In float64: float32 counts single images only up to 16.7 million.
        pl_module.log_dict({k: torch.tensor(v, dtype=torch.float64) for k, v in figures.items()}, batch_size=1)
