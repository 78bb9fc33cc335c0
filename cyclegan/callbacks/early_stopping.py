"""Early stopping by a validation metric."""

import logging
from typing import Any

import pytorch_lightning as pl

from cyclegan.callbacks._best import MetricWatch
from cyclegan.callbacks.validation import Validated
from cyclegan.errors import UserError

log = logging.getLogger(__name__)

KEY = "callbacks.early_stopping"


class EarlyStopping(pl.Callback):
    """Ends the run once a metric has not improved for a number of validations.

    A resumed run stays ended unless `patience` is raised; Lightning's own callback restores its patience from the
    checkpoint. A learning rate that decays towards `trainer.max_epochs` may never decay in such a run.

    Args:
        metric: name of the metric, such as `kid` or `psnr_ab`.
        patience: validations in a row without improvement, 1 or more; None: never stop.
        min_delta: smallest improvement that counts, 0 or more.
    """

    def __init__(self, metric: str | None, patience: int | None = None, min_delta: float = 0.0) -> None:
        if patience is not None and patience < 1:
            raise UserError(f"{KEY}.patience is {patience}; it counts validations: 1 or more, or null for never")
        if not min_delta >= 0:
            raise UserError(f"{KEY}.min_delta is {min_delta}; it is 0 or more, also where lower is better")
        if patience is not None and metric is None:
            raise UserError(f"{KEY}.metric is null, but {KEY}.patience is {patience}: name a metric")
        self.patience = patience
        self.waited = 0
        """Validations since the best one."""
        self._watch = MetricWatch(metric, f"{KEY}.metric", min_delta) if metric and patience else None

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """End a resumed run that had ended before."""
        self._end_if_due(trainer)

    def on_validated(self, trainer: pl.Trainer, pl_module: pl.LightningModule, validated: Validated) -> None:
        is_best = self._watch.update(validated) if self._watch else None
        if is_best is not None:
            self.waited = 0 if is_best else self.waited + 1
            self._end_if_due(trainer)

    def _end_if_due(self, trainer: pl.Trainer) -> None:
        if self._watch is None or self.patience is None or self.waited < self.patience:
            return
        # Lightning would continue to its minimum, and Checkpointing would stop at the next batch.
        epochs = trainer.fit_loop.epoch_progress.current.processed  # type: ignore[attr-defined]
        if epochs < (trainer.min_epochs or 0) or trainer.global_step < (trainer.min_steps or 0):
            return
        trainer.should_stop = True
        best = self._watch.best
        before = f"no better than {best.value:.4g} (epoch {best.epoch})" if best else "not finite"
        log.info(
            "stop      %s was %s in %d validations; to continue, raise %s.patience=%d, or set it to null, with "
            "resume=auto",
            *(self._watch.metric, before, self.waited, KEY, self.patience),
        )

    def state_dict(self) -> dict[str, Any]:
        return {} if self._watch is None else {**self._watch.state_dict(), "waited": self.waited}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the count, unless another metric is followed now."""
        if self._watch is not None and self._watch.load_state_dict(state_dict):
            self.waited = state_dict["waited"]
