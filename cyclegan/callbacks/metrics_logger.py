"""The row of metrics of every few steps: losses, epoch, images per second, learning rates."""

import time
from typing import Any

import pytorch_lightning as pl
import torch

from cyclegan.callbacks.position import images_seen
from cyclegan.loggers.metrics_csv import MetricsCsv


class RunMeter(pl.Callback):
    """Writes a row to every logger, in `trainer.log_every_n_steps`, over images seen of each domain.

    Lightning would write what the module logs after the batch's last hook, and so after a checkpoint of this
    batch: a run killed in between would lose the row. Losses are the mean over all devices.
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
        row = {
            **mean_losses(trainer),
            "epoch": trainer.current_epoch + (batch_idx + 1) / trainer.num_training_batches,
            "images_per_s": (seen - before) / max(self._since[0] - then, 1e-9),
            **self._rates,
        }
        for logger in trainer.loggers:
            logger.log_metrics(row, step=seen)


def mean_losses(trainer: pl.Trainer) -> dict[str, float]:
    """What the module logged of this batch, averaged over the devices."""
    logged = {name: value for name, value in trainer.callback_metrics.items() if name.startswith("train/")}
    if not logged:
        return {}
    values = torch.stack([value.detach() for value in logged.values()])  # read once: reading makes a GPU wait
    if trainer.world_size > 1:
        values = trainer.strategy.reduce(values, reduce_op="mean")
    return dict(zip(logged, values.tolist(), strict=True))
