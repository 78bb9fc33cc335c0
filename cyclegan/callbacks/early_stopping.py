"""Early stopping by a validation metric."""

import logging
import math
from typing import Any

import pytorch_lightning as pl

from cyclegan.callbacks._best import MetricWatch
from cyclegan.callbacks._position import images_seen
from cyclegan.callbacks.validation import Validated
from cyclegan.errors import UserError

log = logging.getLogger(__name__)

KEY = "callbacks.early_stopping"


class EarlyStopping(pl.Callback):
    """Ends the run once a metric has not improved for a number of validations.

    Lightning's own callback reads `callback_metrics`, which keep a metric between validations, and restores its
    patience from the checkpoint, so that it could not be raised on a resume. Here a resumed run stays ended unless
    `patience` is raised. A learning rate that decays towards `trainer.max_epochs` may never decay in such a run.

    Args:
        metric: name of the metric, such as `kid` or `psnr_ab`.
        patience: validations in a row without improvement; None: never stop.
        min_delta: smallest improvement that counts.

    Raises:
        UserError: an argument is out of range.
    """

    def __init__(self, metric: str | None, patience: int | None = None, min_delta: float = 0.0) -> None:
        if patience is not None and patience < 1:
            raise UserError(f"{KEY}.patience is {patience}; it counts validations: 1 or more, or null for never")
        if not (math.isfinite(min_delta) and min_delta >= 0):
            raise UserError(f"{KEY}.min_delta is {min_delta}; it is 0 or more, also where lower is better")
        if patience is not None and metric is None:
            raise UserError(f"{KEY}.metric is null, but {KEY}.patience is {patience}: name a metric")
        self.patience = patience
        self.waited = 0
        """Validations since the best one."""
        self._watch = MetricWatch(metric, f"{KEY}.metric", min_delta) if metric and patience else None

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """End a resumed run that had ended before."""
        if self._watch is not None:
            if images_seen(trainer) == 0:
                self._watch.warn_without_validation(f"{KEY}.patience={self.patience} has no effect")
            self._end_if_due(trainer)

    def on_validated(self, trainer: pl.Trainer, pl_module: pl.LightningModule, validated: Validated) -> None:
        found = self._watch.measured(validated) if self._watch else None
        if self._watch is None or found is None:
            return
        if self._watch.improves(found):
            self._watch.best, self.waited = found, 0
        else:
            self.waited += 1
        self._end_if_due(trainer)

    def _end_if_due(self, trainer: pl.Trainer) -> None:
        # Lightning would continue to its minimum, and Checkpointing would stop at the next batch.
        epochs = trainer.fit_loop.epoch_progress.current.processed  # type: ignore[attr-defined]
        is_bound = epochs < (trainer.min_epochs or 0) or trainer.global_step < (trainer.min_steps or 0)
        if self._watch is None or self.patience is None or self.waited < self.patience or is_bound:
            return
        trainer.should_stop = True
        best = self._watch.best
        before = f"no better than {best.value:.4g} (epoch {best.epoch})" if best else "not finite"
        log.info(
            "stop      %s was %s in %d validation%s; to continue, raise %s.patience=%d, or set it to null, with "
            "resume=auto",
            *(self._watch.metric, before, self.waited, "" if self.waited == 1 else "s", KEY, self.patience),
        )

    def state_dict(self) -> dict[str, Any]:
        return {} if self._watch is None else {**self._watch.state_dict(), "waited": self.waited}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the count, unless another metric is followed now."""
        if self._watch is not None and self._watch.load_state_dict(state_dict):
            self.waited = state_dict["waited"]
