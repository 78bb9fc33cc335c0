"""A guard against losses and gradients that are not finite."""

import logging
import math
from typing import Any, Literal

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.nn.utils import get_total_norm

from cyclegan.callbacks._position import data_of
from cyclegan.errors import UserError
from cyclegan.methods.translator import Translator

log = logging.getLogger(__name__)


class NonFiniteError(UserError):
    """A loss or gradient is not finite; the text names the term and the image files."""


class NonFiniteGuard(pl.Callback):
    """Checks every batch's loss and gradients before the optimiser step, so that the weights stay finite.

    The device is read once per batch. In 16-mixed precision only the loss is checked: the loss scaler skips steps with
    gradients that overflow, with all batches accumulated in them.

    Args:
        on_nonfinite: `"stop"` ends the run at that batch; `"skip"` skips the batch: image pools and buffers are
            restored, and gradients of earlier accumulated batches are kept.
        max_skips: batches skipped in the whole run; the next one ends it.
    """

    def __init__(self, on_nonfinite: Literal["stop", "skip"] = "stop", max_skips: int = 20) -> None:
        if on_nonfinite not in ("stop", "skip"):
            raise UserError(f"callbacks.nonfinite.on_nonfinite is {on_nonfinite!r}; it is stop or skip")
        self.max_skips = max_skips if on_nonfinite == "skip" else 0
        self.skips = 0
        self._loss = torch.zeros(())
        self._before: dict[str, Any] = {}
        self._accumulated: dict[nn.Parameter, Tensor] = {}
        self._is_step = True

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Copy what a forward pass changes besides gradients, if the batch may be skipped."""
        self._is_step = (batch_idx + 1) % trainer.accumulate_grad_batches == 0 or trainer.is_last_batch
        if self.max_skips:
            assert isinstance(pl_module, Translator)
            self._before = {
                "pools": {name: pool.state_dict() for name, pool in pl_module.pools().items()},
                "buffers": {name: buffer.clone() for name, buffer in pl_module.named_buffers()},
            }

    def on_before_backward(self, trainer: pl.Trainer, pl_module: pl.LightningModule, loss: Tensor) -> None:
        """Keep the loss, and copy the gradients of earlier accumulated batches, if the batch may be skipped."""
        self._loss = loss.detach()
        if self.max_skips:
            self._accumulated = {p: p.grad.clone() for p in pl_module.parameters() if p.grad is not None}

    def on_after_backward(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Check the batch, with the same result on all devices.

        Raises:
            NonFiniteError: the batch is not finite and may not be skipped.
        """
        gradients = [p.grad for p in pl_module.parameters() if p.grad is not None]
        sizes = self._loss if trainer.precision == "16-mixed" else self._loss + get_total_norm(gradients)
        mine = bool(torch.isfinite(sizes))
        if trainer.strategy.reduce_boolean_decision(mine, all=True):
            return
        self.skips += 1
        cause = _cause(trainer, pl_module)
        files = "; ".join(f"{domain}: {', '.join(f)}" for domain, f in data_of(trainer).last_batch_files().items())
        what = f"{cause} at {data_of(trainer).images_seen:,} images, in a batch of {files}"
        if self.skips > self.max_skips:
            after = f", after {self.max_skips} skipped batches" if self.max_skips else ""
            raise NonFiniteError(
                f"{what}{after}. resume=auto repeats the batch, so look at the files first. A lower model.optimizer.lr "
                "or trainer.precision=32-true may help, and callbacks.nonfinite.on_nonfinite=skip skips such batches"
            )
        if trainer.is_global_zero:
            log.warning("nonfinite %s: batch skipped (%d of at most %d)", what, self.skips, self.max_skips)
        self._undo(trainer, pl_module)

    def state_dict(self) -> dict[str, int]:
        return {"skips": self.skips}

    def load_state_dict(self, state_dict: dict[str, int]) -> None:
        self.skips = state_dict["skips"]

    def _undo(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        assert isinstance(pl_module, Translator)
        for name, pool in pl_module.pools().items():
            pool.load_state_dict(self._before["pools"][name], pl_module.device)
        for name, buffer in pl_module.named_buffers():
            buffer.copy_(self._before["buffers"][name])
        if trainer.precision == "16-mixed":  # the loss scaler sees the gradients and skips the step
            return
        pl_module.zero_grad(set_to_none=True)
        # Devices average gradients in the backward pass before a step; repeat this for the restored gradients.
        is_shared = trainer.world_size > 1 and self._is_step
        for parameter, gradient in self._accumulated.items():
            parameter.grad = trainer.strategy.reduce(gradient, reduce_op="mean") if is_shared else gradient


def _cause(trainer: pl.Trainer, pl_module: pl.LightningModule) -> str:
    """Name the terms of the loss that are not finite on this device, or else a weight with such a gradient."""
    losses = {name: float(value) for name, value in trainer.callback_metrics.items() if name.startswith("train/")}
    terms = [f"{name} is {value}" for name, value in losses.items() if not math.isfinite(value)]
    if terms:
        return ", ".join(terms)
    weights = [n for n, p in pl_module.named_parameters() if p.grad is not None and not torch.isfinite(p.grad).all()]
    if weights:
        return f"the losses are finite, but the gradients of {weights[0]} and {len(weights) - 1} other weights are not"
    return "the loss on another device is not finite"
