"""A guard against losses and gradients that are not finite."""

import logging
import math
from collections import defaultdict
from typing import Any, Literal, NamedTuple

import pytorch_lightning as pl
import torch
from torch import Tensor, distributed, nn
from torch.nn.utils import get_total_norm

from cyclegan.callbacks._position import data_of
from cyclegan.errors import UserError
from cyclegan.methods.translator import Translator

log = logging.getLogger(__name__)

LOSS = "the loss"
TERM = "train/"


class NonFiniteError(UserError):
    """A loss or gradient is not finite; the text names the term and the image files."""


class _Batch(NamedTuple):
    images_seen: int
    files: dict[str, list[str]]
    names: list[str]
    sizes: Tensor  # (len(names),), on the device


class NonFiniteGuard(pl.Callback):
    """Checks the losses and gradients of every batch, so that nothing is written of weights that are not finite.

    Reading numbers from a GPU waits for its work. With `on_nonfinite="stop"` they are therefore read only before a row
    of training metrics is logged, before a checkpoint is written, and in the last batch of an epoch. The error names
    the first batch that was not finite; training has gone on since, and a resumed run repeats that batch. With
    `"skip"` they are read in every batch, before its optimiser step, and several devices wait for each other.

    In 16-mixed precision only losses are checked: the loss scaler skips steps with gradients that overflow, with all
    batches accumulated in them.

    Args:
        on_nonfinite: `"stop"` ends the run; `"skip"` skips the batch: image pools and buffers are restored, and
            gradients of earlier accumulated batches are kept.
        max_skips: batches skipped in the whole run; the next one ends it.
    """

    def __init__(self, on_nonfinite: Literal["stop", "skip"] = "stop", max_skips: int = 20) -> None:
        if on_nonfinite not in ("stop", "skip"):
            raise UserError(f"callbacks.nonfinite.on_nonfinite is {on_nonfinite!r}; it is stop or skip")
        self.max_skips = max_skips if on_nonfinite == "skip" else 0
        self.skips = 0
        self._unread: list[_Batch] = []
        self._loss = torch.zeros(())
        self._before: dict[str, Any] = {}
        self._accumulated: dict[nn.Parameter, Tensor] = {}
        self._is_step = True

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Refuse to skip batches of a method that takes turns.

        Raises:
            UserError: `on_nonfinite` is "skip", and an earlier turn of the batch has changed weights already.
        """
        if self.max_skips and not pl_module.automatic_optimization:
            raise UserError(
                f"callbacks.nonfinite.on_nonfinite is skip, but {type(pl_module).__name__} updates its players in "
                "turns: when one is not finite, another has learnt from the batch already. Take on_nonfinite=stop"
            )

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
        """Add the batch to those that are to be checked, and check them if it is time, with one result on all devices.

        Raises:
            NonFiniteError: a batch is not finite and may not be skipped.
        """
        data, sizes = data_of(trainer), self._sizes(trainer, pl_module)
        values = torch.stack([size.float() for size in sizes.values()])
        self._unread.append(_Batch(data.images_seen, data.last_batch_files(), list(sizes), values))
        step = trainer.global_step + 1
        has_row = self._is_step and step % trainer.log_every_n_steps == 0  # type: ignore[attr-defined]
        if self.max_skips or has_row or trainer.is_last_batch or step == trainer.max_steps:
            what = self._check(trainer)
            if what and trainer.is_global_zero:
                log.warning("nonfinite %s: batch skipped (%d of at most %d)", what, self.skips, self.max_skips)
            if what:
                self._undo(trainer, pl_module)

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Check the batches that have not been checked.

        Raises:
            NonFiniteError: one of them is not finite.
        """
        self._check(trainer)

    def state_dict(self) -> dict[str, int]:
        return {"skips": self.skips}

    def load_state_dict(self, state_dict: dict[str, int]) -> None:
        self.skips = state_dict["skips"]

    def _sizes(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> dict[str, Tensor]:
        """Return the loss, its terms and norms of gradients, by the names that an error gives them."""
        sizes = {name: value for name, value in trainer.callback_metrics.items() if name.startswith(TERM)}
        sizes[LOSS] = self._loss
        gradients: dict[str, list[Tensor]] = defaultdict(list)
        if trainer.precision != "16-mixed":
            for name, parameter in pl_module.named_parameters():
                if parameter.grad is not None:
                    gradients[name.partition(".")[0]].append(parameter.grad)
        return sizes | {f"the gradient norm of {name}": get_total_norm(each) for name, each in gradients.items()}

    def _check(self, trainer: pl.Trainer) -> str | None:
        """Read the batches, and describe the first that is not finite if it may be skipped; None: there is none."""
        batches, self._unread = self._unread, []
        if not batches:
            return None
        values = torch.cat([batch.sizes for batch in batches]).tolist()  # the one wait for the GPU
        names = [(number, name) for number, batch in enumerate(batches) for name in batch.names]
        spoilt = [(*which, v) for which, v in zip(names, values, strict=True) if not math.isfinite(v)]
        # Terms only explain: one that is not computed in every batch keeps its last value.
        first = next((number for number, name, _ in spoilt if not name.startswith(TERM)), len(batches))
        if trainer.world_size > 1:
            mine = torch.tensor(first, device=trainer.strategy.root_device)
            first = int(trainer.strategy.reduce(mine, reduce_op="min"))
        if first == len(batches):
            return None
        here = {name: value for number, name, value in spoilt if number == first}
        what = _most_telling(_describe(batches[first], here), trainer.world_size)
        self.skips += 1
        if self.skips > self.max_skips:
            after = f", after {self.max_skips} skipped batches" if self.max_skips else ""
            raise NonFiniteError(
                f"{what}{after}. resume=auto repeats the batch, so look at the files first. A lower model.optimizer.lr "
                "or trainer.precision=32-true may help, and callbacks.nonfinite.on_nonfinite=skip skips such batches"
            )
        return what

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


def _describe(batch: _Batch, spoilt: dict[str, float]) -> tuple[int, str]:
    """Describe a batch of this device, after a number that is the lower, the closer the cause."""
    terms = [f"{name} is {value}" for name, value in spoilt.items() if name.startswith(TERM)]
    gradients = [f"{name} is {value}" for name, value in spoilt.items() if name != LOSS]
    if terms:
        rank, cause = 0, ", ".join(terms)
    elif LOSS in spoilt:
        rank, cause = 1, f"{LOSS} is {spoilt[LOSS]}"
    elif gradients:
        rank, cause = 2, f"the losses are finite, but {', '.join(gradients)}"
    else:
        rank, cause = 3, ""
    files = "; ".join(f"{domain}: {', '.join(names)}" for domain, names in batch.files.items())
    return rank, f"{cause} at {batch.images_seen:,} images, in a batch of {files}"


def _most_telling(mine: tuple[int, str], devices: int) -> str:
    """Return the description of the device that is closest to the cause."""
    found = [mine] * devices
    if devices > 1:
        distributed.all_gather_object(found, mine)
    return min(found)[1]
