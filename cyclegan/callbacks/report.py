"""The report of a run, `report.html`, written during training."""

import logging
from collections.abc import Callable
from pathlib import Path

import pytorch_lightning as pl
from pytorch_lightning.utilities.rank_zero import rank_zero_only

from cyclegan.callbacks.run_summary import device_name
from cyclegan.callbacks.validation import Validated
from cyclegan.report.environment import write_environment
from cyclegan.report.page import write_report

log = logging.getLogger(__name__)


class RunReport(pl.Callback):
    """Writes `report.html` after every validation and when training ends, for whatever reason.

    It reads the files of the run folder, so it stands after the callbacks that write them. It has no state.

    Args:
        run_dir: the folder of the run.
    """

    def __init__(self, run_dir: str) -> None:
        self.run_dir = Path(run_dir)
        self._is_training = False

    @rank_zero_only
    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write the versions and hardware of the run to `environment.json`."""
        self._attempt(lambda: write_environment(self.run_dir, device_name(trainer)))

    @rank_zero_only
    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._is_training = True

    @rank_zero_only
    def on_validated(self, trainer: pl.Trainer, pl_module: pl.LightningModule, validated: Validated) -> None:
        self._report()

    @rank_zero_only
    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._finish()

    @rank_zero_only
    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        """Write the report of a run that was stopped, unless it failed before its first batch."""
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
            log.warning("report    not written, training continues: %s", error)
            return None
