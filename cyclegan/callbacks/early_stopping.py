"""Ending a run whose metric no longer gets better."""

import logging
import math
from typing import Any

import pytorch_lightning as pl

from cyclegan.callbacks.best import MetricWatch
from cyclegan.callbacks.validation import validation_of
from cyclegan.errors import UserError

log = logging.getLogger(__name__)

KEY = "callbacks.early_stopping"


class EarlyStopping(pl.Callback):
    """Ends the run, as finished, once a metric has not got better in so many validations.

    Its place is behind the Validation. Lightning's own looks at `callback_metrics`, which keep a metric until the next
    validation, and takes its patience back from the checkpoint, so that no other could be given to go on.

    A run that has ended so stays ended when it is resumed, unless its patience is raised. A learning rate that falls
    towards `trainer.max_epochs` may never fall in such a run.

    Args:
        metric: its name, such as `kid` or `psnr_ab`, without the `val/` of metrics.csv.
        patience: so many validations in a row without a better value; None: the run is never ended.
        min_delta: only what is better by more than this counts as better.

    Raises:
        UserError: an argument makes no sense.
    """

    def __init__(self, metric: str | None, patience: int | None = None, min_delta: float = 0.0) -> None:
        if patience is not None and patience < 1:
            raise UserError(
                f"{KEY}.patience is {patience}; it counts validations, so it is 1 or more, or null for never"
            )
        if not (math.isfinite(min_delta) and min_delta >= 0):
            raise UserError(f"{KEY}.min_delta is {min_delta}; it is 0 or more, whichever way the metric gets better")
        if patience is not None and metric is None:
            raise UserError(f"{KEY}.metric is null, but {KEY}.patience is {patience}: name the metric to look at")
        self.patience = patience
        self.waited = 0
        """Validations since the best one."""
        self._watch = MetricWatch(metric, f"{KEY}.metric", min_delta) if metric and patience else None

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Leaves a resumed run at its end, if it had come to it.

        Raises:
            UserError: there is nothing to wait for.
        """
        if self._watch is None:
            return
        validation = validation_of(trainer)
        if validation is None:
            raise UserError(f"{KEY}.patience is {self.patience}, but there is no callbacks.validation to count")
        if not validation.is_measuring and trainer.is_global_zero:
            log.warning("stop      %s.patience=%s has no effect, as nothing is measured", KEY, self.patience)
        self._watch.warn_if_missing(trainer)
        self._end_if_due(trainer)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Counts this epoch's validation, if there was one."""
        if self._watch is None:
            return
        value = self._watch.measured(trainer)
        if value is None:
            return
        if self._watch.is_better(value):
            self._watch.best, self.waited = self._watch.here(trainer, value), 0
        else:
            self.waited += 1
        self._end_if_due(trainer)

    def _end_if_due(self, trainer: pl.Trainer) -> None:
        # Lightning would go on to its minimum, and Checkpointing leave at the next batch.
        epochs = trainer.fit_loop.epoch_progress.current.processed  # type: ignore[attr-defined]
        bound = epochs < (trainer.min_epochs or 0) or trainer.global_step < (trainer.min_steps or 0)
        if self._watch is None or self.patience is None or self.waited < self.patience or bound:
            return
        trainer.should_stop = True
        best = self._watch.best
        before = f"no better than {best.value:.4g} (epoch {best.epoch})" if best else "not finite"
        log.info(
            "stop      %s was %s in %d validation%s; to go on, raise %s.patience=%d, or give null, with resume=auto",
            *(self._watch.metric, before, self.waited, "" if self.waited == 1 else "s", KEY, self.patience),
        )

    def state_dict(self) -> dict[str, Any]:
        """The best value so far with its place, and the validations since."""
        return {} if self._watch is None else {**self._watch.state_dict(), "waited": self.waited}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Goes on counting, unless another metric is now looked at."""
        if self._watch is not None and self._watch.load_state_dict(state_dict):
            self.waited = state_dict["waited"]
