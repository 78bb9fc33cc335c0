"""A moving average of the generators' weights."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from cyclegan.errors import UserError
from cyclegan.methods.translator import Translator


class Ema(pl.Callback):
    """Keeps an exponential moving average of the generators, updated after every optimiser step.

    Training itself is unchanged. Sample grids show the average, and a checkpoint carries it under `ema`,
    from where `cyclegan.load` takes it (Yazıcı et al. 2019, arXiv:1806.04498).

    Args:
        decay: the share of the old average that stays at each step.
    """

    def __init__(self, decay: float = 0.999) -> None:
        if not 0 <= decay < 1:
            raise UserError(f"decay is {decay}; it lies in [0, 1), 0.999 being usual")
        self.decay = decay
        self.average: AveragedModel | None = None
        self._steps = 0

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Starts from the weights as they are."""
        if self.average is None:
            assert isinstance(pl_module, Translator)
            self.average = AveragedModel(
                nn.ModuleDict(pl_module.generators()),
                multi_avg_fn=get_ema_multi_avg_fn(self.decay),
                use_buffers=False,
            )
            self.average.requires_grad_(False)

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Follows the module to its device and precision."""
        self._average.to(next(pl_module.parameters()))

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Counts from the step that the run goes on from, which is not known earlier."""
        self._steps = trainer.global_step

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Averages in the new weights, if this batch ended with an optimiser step."""
        if trainer.global_step != self._steps:
            self._steps = trainer.global_step
            assert isinstance(pl_module, Translator)
            self._average.update_parameters(nn.ModuleDict(pl_module.generators()))

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Adds the averaged weights of each generator by its name."""
        checkpoint["ema"] = {name: network.state_dict() for name, network in self._networks.items()}

    def state_dict(self) -> dict[str, Any]:
        """How many updates the average has had."""
        return {"updates": int(self._average.n_averaged)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes the number of updates back."""
        self._average.n_averaged.fill_(state_dict["updates"])

    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Takes the averaged weights back; a run that had none starts its average at the resumed weights."""
        for name, weights in checkpoint.get("ema", {}).items():
            self._networks[name].load_state_dict(weights)

    @property
    def _average(self) -> AveragedModel:
        assert self.average is not None
        return self.average

    @property
    def _networks(self) -> nn.ModuleDict:
        networks = self._average.module
        assert isinstance(networks, nn.ModuleDict)
        return networks

    def exchange(self, translator: Translator) -> None:
        """Swaps the module's generators' weights with their averages."""
        for name, network in translator.generators().items():
            for current, average in zip(network.parameters(), self._networks[name].parameters(), strict=True):
                _swap(current.data, average.data)


@contextmanager
def averaged(trainer: pl.Trainer, translator: Translator) -> Iterator[None]:
    """Gives the translator its averaged weights for a while, if the trainer keeps an average."""
    found = averages(trainer)
    for ema in found:
        ema.exchange(translator)
    try:
        yield
    finally:
        for ema in found:
            ema.exchange(translator)


def averages(trainer: pl.Trainer) -> list[Ema]:
    """What keeps an average in this run: nothing, or one."""
    return [callback for callback in trainer.callbacks if isinstance(callback, Ema)]  # type: ignore[attr-defined]


@torch.no_grad()
def _swap(one: Tensor, other: Tensor) -> None:
    kept = one.clone()
    one.copy_(other)
    other.copy_(kept)
