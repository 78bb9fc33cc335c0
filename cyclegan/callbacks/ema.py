"""An exponential moving average (EMA) of the generators' weights."""

from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
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

    Raises:
        UserError: the decay is out of range.
    """

    def __init__(self, decay: float = 0.999) -> None:
        if not 0 <= decay < 1:
            raise UserError(f"decay is {decay}; it lies in [0, 1), 0.999 being usual")
        self.average: nn.ModuleDict | None = None
        """The averaged generators by name, once the trainer has set up the run."""
        self.updates = 0
        self._blend = get_ema_multi_avg_fn(decay)
        self._steps = 0

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        if self.average is None:
            self.average = deepcopy(_generators(pl_module)).requires_grad_(False)

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Move the average to the device and precision of the module."""
        self._networks.to(next(pl_module.parameters()))

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
        averages, weights = list(self._networks.parameters()), list(networks.parameters())
        if self.updates:
            self._blend(averages, weights, self.updates)
        copied = list(zip(self._networks.buffers(), networks.buffers(), strict=True))
        for old, new in copied if self.updates else [*copied, *zip(averages, weights, strict=True)]:
            old.copy_(new)
        self.updates += 1

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        checkpoint["ema"] = {name: network.state_dict() for name, network in self._networks.items()}

    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Restore the averaged weights; a run that had none starts its average at the resumed weights."""
        for name, weights in checkpoint.get("ema", {}).items():
            self._networks[name].load_state_dict(weights)

    def state_dict(self) -> dict[str, Any]:
        return {"updates": self.updates}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.updates = state_dict["updates"]

    def exchange(self, translator: Translator) -> None:
        """Swap the weights of the translator's generators with their averages, in place."""
        for current, average in zip(_generators(translator).parameters(), self._networks.parameters(), strict=True):
            _swap(current.data, average.data)

    @property
    def _networks(self) -> nn.ModuleDict:
        assert self.average is not None
        return self.average


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


@torch.no_grad()
def _swap(one: Tensor, other: Tensor) -> None:
    kept = one.clone()
    one.copy_(other)
    other.copy_(kept)
