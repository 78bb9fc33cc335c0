"""An exponential moving average (EMA) of the generators' weights."""

from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import pytorch_lightning as pl
import torch
from torch import nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from cyclegan.callbacks._position import images_seen
from cyclegan.errors import UserError
from cyclegan.methods.translator import Translator


@dataclass(frozen=True)
class HalfLife:
    """A decay counted in images seen of each domain, on all devices together, so that the batch size does not matter.

    With the ramp-up the average follows the fast progress of the beginning (Karras et al. 2020, arXiv:2006.06676, as in
    the code of StyleGAN2-ADA).

    Args:
        images: number of images after which the weight of an old average has halved.
        rampup: limits the half-life to this share of the images seen; None: no limit.
    """

    images: int = 10_000
    rampup: float | None = 0.05

    def __post_init__(self) -> None:
        if self.images < 1 or (self.rampup is not None and self.rampup <= 0):
            raise UserError(f"the half-life has images={self.images} and rampup={self.rampup}; both are more than 0")

    def decay(self, before: int, now: int) -> float:
        """Return the weight of the old average in an update between these numbers of images seen."""
        half_life = self.images if self.rampup is None else min(self.images, self.rampup * before)
        return 0.5 ** ((now - before) / half_life) if half_life else 0.0


class Ema(pl.Callback):
    """Keeps an exponential moving average of the generators, updated after every optimiser step.

    Training itself is unchanged. Validation and sample grids use the average; a checkpoint carries it under `ema`,
    where `cyclegan.load` finds it (Yazıcı et al. 2019, arXiv:1806.04498). The first average is the weights after the
    first step. Buffers, such as the statistics of batch norm, are copied and not averaged.

    Args:
        decay: weight of the old average in each update, in [0, 1), or a half-life in images.
    """

    def __init__(self, decay: float | HalfLife = 0.999) -> None:
        if not isinstance(decay, HalfLife) and not 0 <= decay < 1:
            raise UserError(f"decay is {decay}; it lies in [0, 1), 0.999 being usual")
        self.average = nn.ModuleDict()
        """The averaged generators by name, once the trainer has set up the run."""
        self.updates = 0
        self._decay = decay
        self._steps = 0
        self._images = 0

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        if not self.average:
            self.average = deepcopy(_generators(pl_module)).requires_grad_(False)

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Move the average to the device and precision of the module."""
        self.average.to(next(pl_module.parameters()))

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._steps = trainer.global_step
        if isinstance(self._decay, HalfLife):
            self._images = images_seen(trainer)

    @torch.no_grad()
    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Update the average if this batch ended with an optimiser step."""
        if trainer.global_step == self._steps:
            return
        self._steps = trainer.global_step
        decay = self._next_decay(trainer)
        networks = _generators(pl_module)
        if self.updates:
            # Not torch's AveragedModel: its counter of updates would make every step wait for the GPU.
            get_ema_multi_avg_fn(decay)(list(self.average.parameters()), list(networks.parameters()), self.updates)
            for old, new in zip(self.average.buffers(), networks.buffers(), strict=True):
                old.copy_(new)
        else:
            self.average.load_state_dict(networks.state_dict())
        self.updates += 1

    def _next_decay(self, trainer: pl.Trainer) -> float:
        if not isinstance(self._decay, HalfLife):
            return self._decay
        before, self._images = self._images, images_seen(trainer)
        return self._decay.decay(before, self._images)

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
