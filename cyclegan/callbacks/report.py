"""report.html, as training goes on."""

import logging
from collections.abc import Callable
from pathlib import Path

import pytorch_lightning as pl
from pytorch_lightning.utilities.rank_zero import rank_zero_only

from cyclegan.callbacks.run_summary import device_name
from cyclegan.callbacks.validation import metrics_of
from cyclegan.report.environment import write_environment
from cyclegan.report.page import write_report

log = logging.getLogger(__name__)


class RunReport(pl.Callback):
    """Writes `report.html` at every validation and when training ends, for whatever reason.

    It stands after the callbacks whose files it shows. It keeps no state: the report is a function of the run folder.

    Args:
        run_dir: the folder of the run.
    """

    def __init__(self, run_dir: str) -> None:
        self.run_dir = Path(run_dir)
        self._is_training = False

    @rank_zero_only
    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Writes down what the run runs on, and the report of a validation before the first batch."""
        self._is_training = True
        self._attempt(lambda: write_environment(self.run_dir, device_name(trainer)))
        if metrics_of(trainer):
            self._report()

    @rank_zero_only
    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Writes the report if this epoch ended with a validation."""
        if metrics_of(trainer):
            self._report()

    @rank_zero_only
    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Writes the report and says where it is."""
        self._finish()

    @rank_zero_only
    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        """The same for a run that is stopped; one that failed before its first batch has nothing to report."""
        if self._is_training:
            self._finish()

    def _finish(self) -> None:
        self._is_training = False
        file = self._report()
        if file is not None:
            log.info("report    %s", file)

    def _report(self) -> Path | None:
        return self._attempt(lambda: write_report(self.run_dir))

    def _attempt(self, write: Callable[[], Path]) -> Path | None:
        try:
            return write()
        except OSError as error:
            log.warning("report    not written, training goes on: %s", error)
            return None
