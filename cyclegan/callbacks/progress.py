"""A progress bar over the whole run, counted in images."""

import logging
import shutil
import sys
import time
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import ProgressBar
from tqdm import tqdm

from cyclegan.callbacks._position import images_seen, total_images

log = logging.getLogger(__name__)

REFRESH_SECONDS = 0.5


class RunProgress(ProgressBar):
    """Shows images seen, images per second, time left of the run, and the losses of every `trainer.log_every_n_steps`.

    If stderr is not a terminal, logs a line at the end of each epoch instead.
    """

    def __init__(self) -> None:
        super().__init__()
        self._bar: Any = None
        self._enabled = True
        self._refreshed = 0.0
        self._start = (0.0, 0)
        self._steps = 0

    def disable(self) -> None:
        """Show nothing. Lightning calls it on all processes but the first."""
        self._enabled = False

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        seen = images_seen(trainer)
        self._start = (time.monotonic(), seen)
        if self._enabled and sys.stderr.isatty():
            # A terminal without a size, as in some containers, would make tqdm show nothing.
            sized = shutil.get_terminal_size((0, 0)).columns > 0
            size: dict[str, Any] = {"dynamic_ncols": True} if sized else {"ncols": 120, "nrows": 24}
            self._bar = tqdm(total=total_images(trainer), initial=seen, unit="img", smoothing=0.05, **size)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Update the bar; reading the losses waits for the GPU, so only when their row is logged."""
        step = trainer.global_step  # unchanged while gradients are accumulated
        if self._bar is not None and step != self._steps and step % trainer.log_every_n_steps == 0:  # type: ignore[attr-defined]
            self._steps = step
            self._bar.set_postfix_str(losses(trainer), refresh=False)
        if self._bar is not None and time.monotonic() - self._refreshed > REFRESH_SECONDS:
            self._refresh(trainer)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if not self._enabled:
            return
        if self._bar is not None:
            self._bar.set_postfix_str(losses(trainer), refresh=False)
            self._refresh(trainer)
            return
        seen, (then, before) = images_seen(trainer), self._start
        speed = (seen - before) / max(time.monotonic() - then, 1e-9)
        total = total_images(trainer)
        left = f", {tqdm.format_interval((total - seen) / speed)} left" if total and speed and seen < total else ""
        log.info("%s  %s  %.1f img/s%s", _epoch(trainer), losses(trainer), speed, left)

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        """Close the bar, so that the error starts on a new line; Lightning does not call `teardown` after it."""
        self.teardown(trainer, pl_module, "fit")

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def _refresh(self, trainer: pl.Trainer) -> None:
        self._refreshed = time.monotonic()
        self._bar.set_description_str(_epoch(trainer), refresh=False)
        self._bar.update(images_seen(trainer) - self._bar.n)


def losses(trainer: pl.Trainer) -> str:
    """Format the latest losses, summed over directions and domains: `cycle` is `cycle_a` plus `cycle_b`."""
    found = {name: value for name, value in trainer.callback_metrics.items() if name.startswith("train/")}
    if not found:
        return ""
    sums: dict[str, float] = {}
    for name, value in zip(found, torch.stack(list(found.values())).tolist(), strict=True):
        term = name.removeprefix("train/")
        term = term.rpartition("_")[0] or term
        sums[term] = sums.get(term, 0.0) + value
    return " ".join(f"{term} {value:.3f}" for term, value in sums.items())


def _epoch(trainer: pl.Trainer) -> str:
    total = "" if total_images(trainer) is None else f" of {trainer.max_epochs}"
    return f"epoch {trainer.current_epoch + 1}{total}"
