"""An exponential moving average (EMA) of the generators' weights."""

from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from typing import Any

import pytorch_lightning as pl
import torch
from torch import nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from cyclegan.errors import UserError
from cyclegan.methods.translator import Translator


class Ema(pl.Callback):
    """Keeps an exponential moving average of the generators, updated after every optimiser step.

    Training itself is unchanged. Validation and sample grids use the average; a checkpoint carries it under `ema`,
    where `cyclegan.load` finds it (Yazıcı et al. 2019, arXiv:1806.04498). The first average is the weights after the
    first step. Buffers, such as the statistics of batch norm, are copied and not averaged.

    Args:
        decay: weight of the old average in each update, in [0, 1).
    """

    def __init__(self, decay: float = 0.999) -> None:
        if not 0 <= decay < 1:
            raise UserError(f"decay is {decay}; it lies in [0, 1), 0.999 being usual")
        self.average = nn.ModuleDict()
        """The averaged generators by name, once the trainer has set up the run."""
        self.updates = 0
        # Not torch's AveragedModel: its counter of updates would make every step wait for the GPU.
        self._blend = get_ema_multi_avg_fn(decay)
        self._steps = 0

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        if not self.average:
            self.average = deepcopy(_generators(pl_module)).requires_grad_(False)

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Move the average to the device and precision of the module."""
        self.average.to(next(pl_module.parameters()))

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._steps = trainer.global_step

    @torch.no_grad()
    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Update the average if this batch ended with an optimiser step."""
        if trainer.global_step == self._steps:
            return
        self._steps = trainer.global_step
        networks = _generators(pl_module)
        if self.updates:
            self._blend(list(self.average.parameters()), list(networks.parameters()), self.updates)
            for old, new in zip(self.average.buffers(), networks.buffers(), strict=True):
                old.copy_(new)
        else:
            self.average.load_state_dict(networks.state_dict())
        self.updates += 1

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        checkpoint["ema"] = {name: network.state_dict() for name, network in self.average.items()}

    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Restore the averaged weights; a run that had none starts its average at the resumed weights."""
        for name, weights in checkpoint.get("ema", {}).items():
            self.average[name].load_state_dict(weights)

    def state_dict(self) -> dict[str, Any]:
        return {"updates": self.updates}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.updates = state_dict["updates"]

    @torch.no_grad()
    def exchange(self, translator: Translator) -> None:
        """Swap the weights of the translator's generators with their averages, in place."""
        for current, average in zip(_generators(translator).parameters(), self.average.parameters(), strict=True):
            kept = current.clone()
            current.copy_(average)
            average.copy_(kept)


@contextmanager
def translating(trainer: pl.Trainer, translator: Translator) -> Iterator[bool]:
    """Put a translator that is being trained into eval mode, with its averaged weights if the trainer has an `Ema`.

    On exit every sub-module returns to its own mode and the weights to their values, bit for bit.

    Yields:
        whether the weights are averaged.
    """
    modes = {part: part.training for part in translator.modules()}
    averages = [callback for callback in trainer.callbacks if isinstance(callback, Ema)]  # type: ignore[attr-defined]
    translator.eval()
    for ema in averages:
        ema.exchange(translator)
    try:
        yield bool(averages)
    finally:
        for ema in averages:
            ema.exchange(translator)
        for part, training in modes.items():
            part.training = training


def _generators(module: pl.LightningModule) -> nn.ModuleDict:
    assert isinstance(module, Translator)
    return nn.ModuleDict(module.generators())
