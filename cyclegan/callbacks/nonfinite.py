"""Numbers that are not finite: the batch at which they come up is the last, or is left out."""

import logging
from typing import Any, Literal, get_args

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.nn.utils import get_total_norm

from cyclegan.callbacks.checkpointing import Checkpointing
from cyclegan.callbacks.position import data_of
from cyclegan.errors import UserError
from cyclegan.methods.translator import Translator

log = logging.getLogger(__name__)

Answer = Literal["stop", "skip"]


class NonFiniteError(UserError):
    """A loss or gradient is not finite; the text names the term, the files and the last good checkpoint."""


class NonFiniteGuard(pl.Callback):
    """Looks at every batch's loss and gradients before the optimiser does, so that the weights stay finite.

    One question to the device a batch. In 16-mixed precision, gradients that overflow are the loss scaler's
    business, which leaves their step out, with all batches accumulated in it; there the loss alone is looked at.

    Args:
        on_nonfinite: `"stop"` ends the run at that batch; `"skip"` leaves the batch out, pools included. What earlier
            batches have accumulated stays.
        max_skips: so many are left out in the whole run, the next one ends it.

    Raises:
        UserError: an argument makes no sense.
    """

    def __init__(self, on_nonfinite: Answer = "stop", max_skips: int = 20) -> None:
        if on_nonfinite not in get_args(Answer):
            raise UserError(f"callbacks.nonfinite.on_nonfinite is {on_nonfinite!r}; it is stop or skip")
        if max_skips < 0:
            raise UserError(f"callbacks.nonfinite.max_skips is {max_skips}; it counts batches, so it is 0 or more")
        self.max_skips = max_skips if on_nonfinite == "skip" else 0
        self.skips = 0
        self._loss = torch.zeros(())
        self._before: dict[str, Any] = {}
        self._accumulated: dict[nn.Parameter, Tensor] = {}
        self._is_step = True

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Notes what a forward pass changes besides gradients, where it may have to be undone."""
        self._is_step = (batch_idx + 1) % trainer.accumulate_grad_batches == 0 or trainer.is_last_batch
        if self.max_skips:
            assert isinstance(pl_module, Translator)
            self._before = {
                "pools": {name: pool.state_dict() for name, pool in pl_module.pools().items()},
                "buffers": {name: buffer.clone() for name, buffer in pl_module.named_buffers()},
            }

    def on_before_backward(self, trainer: pl.Trainer, pl_module: pl.LightningModule, loss: Tensor) -> None:
        """Keeps the loss until its gradients are there, and those of earlier batches where they may have to return."""
        self._loss = loss.detach()
        if self.max_skips:
            self._accumulated = {p: p.grad.clone() for p in pl_module.parameters() if p.grad is not None}

    def on_after_backward(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Decides, the same on all devices.

        Raises:
            NonFiniteError: the batch is not finite, and none may be left out, or no more.
        """
        gradients = [p.grad for p in pl_module.parameters() if p.grad is not None]
        sizes = self._loss if trainer.precision == "16-mixed" else self._loss + get_total_norm(gradients)
        mine = bool(torch.isfinite(sizes))
        if trainer.strategy.reduce_boolean_decision(mine, all=True):
            return
        self.skips += 1
        what = (
            f"{culprit(trainer, pl_module)} at {data_of(trainer).images_seen:,} images, in a batch of {files(trainer)}"
        )
        if self.skips > self.max_skips:
            raise NonFiniteError(f"{what}{self._end(trainer)}")
        if trainer.is_global_zero:
            log.warning("nonfinite %s: left out (%d of at most %d)", what, self.skips, self.max_skips)
        self._undo(trainer, pl_module)

    def state_dict(self) -> dict[str, int]:
        """How many batches were left out."""
        return {"skips": self.skips}

    def load_state_dict(self, state_dict: dict[str, int]) -> None:
        """Goes on counting."""
        self.skips = state_dict["skips"]

    def _undo(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        assert isinstance(pl_module, Translator)
        for name, pool in pl_module.pools().items():
            pool.load_state_dict(self._before["pools"][name], pl_module.device)
        for name, buffer in pl_module.named_buffers():
            buffer.copy_(self._before["buffers"][name])
        if trainer.precision != "16-mixed":  # there the scaler sees the gradients and leaves out the step itself
            pl_module.zero_grad(set_to_none=True)
            for parameter, gradient in self._accumulated.items():
                # Devices exchange gradients in the backward pass of a step, which is now undone.
                shared = trainer.world_size > 1 and self._is_step
                parameter.grad = trainer.strategy.reduce(gradient, reduce_op="mean") if shared else gradient

    def _end(self, trainer: pl.Trainer) -> str:
        after = f", after {self.max_skips} batches that were left out" if self.max_skips else ""
        found = [c.newest for c in trainer.callbacks if isinstance(c, Checkpointing)]  # type: ignore[attr-defined]
        good = f"The last good checkpoint is {found[0]}" if found and found[0] else "There is no checkpoint yet"
        return (
            f"{after}. {good}; the same batch comes again after a resume, so look at the files first. A lower "
            "model.optimizer.lr or trainer.precision=32-true may help, and callbacks.nonfinite.on_nonfinite=skip "
            "leaves such batches out"
        )


def culprit(trainer: pl.Trainer, pl_module: pl.LightningModule) -> str:
    """The terms of the loss that are not finite on this device; if all are, the weights whose gradients are not."""
    losses = {name: float(value) for name, value in trainer.callback_metrics.items() if name.startswith("train/")}
    terms = [f"{name} is {value}" for name, value in losses.items() if not torch.isfinite(torch.tensor(value))]
    if terms:
        return ", ".join(terms)
    weights = [n for n, p in pl_module.named_parameters() if p.grad is not None and not torch.isfinite(p.grad).all()]
    if weights:
        return (
            f"the losses are finite, but the gradient of {weights[0]} is not (nor those of {len(weights) - 1} others)"
        )
    return "the loss on another device is not finite"


def files(trainer: pl.Trainer) -> str:
    """The images of the present batch on this device, by domain."""
    return "; ".join(f"{domain}: {', '.join(paths)}" for domain, paths in data_of(trainer).last_batch_files().items())
