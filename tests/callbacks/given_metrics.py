"""A validation whose metrics are given, for the tests of what follows from them."""

from typing import Any

import pytorch_lightning as pl

from cyclegan.callbacks.validation import Validation


class GivenMetrics(Validation):
    """Finds `metrics[n]` at the end of epoch n, counted from 0; None: there is no validation in that epoch."""

    def __init__(self, *metrics: dict[str, float] | None) -> None:
        self.metrics = {}
        self.given = metrics

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.metrics = self.given[trainer.current_epoch] or {}

    # Whatever a real validation does and remembers.
    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None: ...
    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None: ...
    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None: ...
    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None: ...
    def state_dict(self) -> dict[str, Any]:
        return {}


def psnrs(*values: float) -> GivenMetrics:
    """A validation after each epoch that finds these; of psnr, more is better."""
    return GivenMetrics(*({"psnr": value, "cycle": 0.1} for value in values))
