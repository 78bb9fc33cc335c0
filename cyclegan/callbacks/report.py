"""The report of a run, `report.html`, written during training."""

import json
import logging
import os
import platform
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities.rank_zero import rank_zero_only

import cyclegan
from cyclegan.callbacks.run_summary import device_name
from cyclegan.callbacks.validation import Validated
from cyclegan.files import write_text
from cyclegan.report.page import ENVIRONMENT_FILE, write_report

log = logging.getLogger(__name__)


class RunReport(pl.Callback):
    """Writes `report.html` after every validation and when training ends, for whatever reason.

    It reads the files of the run folder, so place it after the callbacks that write them.

    Args:
        run_dir: the folder of the run.
    """

    def __init__(self, run_dir: str) -> None:
        self.run_dir = Path(run_dir)

    @rank_zero_only
    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write the versions and hardware of the run, without names of the host, the user or folders."""
        environment = {
            "cyclegan": cyclegan.__version__,
            "Python": platform.python_version(),
            "torch": str(torch.__version__),  # names the build too: 2.11.0+cu130
            "torchvision": version("torchvision"),
            "pytorch-lightning": pl.__version__,
            "system": f"{platform.system()} {platform.machine()}",
            "device": device_name(trainer),
            "processors of the host": os.cpu_count() or "unknown",
        }
        text = json.dumps(environment, indent=2) + "\n"
        self._attempt(lambda: write_text(self.run_dir / ENVIRONMENT_FILE, text))

    @rank_zero_only
    def on_validated(self, trainer: pl.Trainer, pl_module: pl.LightningModule, validated: Validated) -> None:
        self._attempt(lambda: write_report(self.run_dir))

    @rank_zero_only
    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        file = self._attempt(lambda: write_report(self.run_dir))
        if file is not None:
            log.info("report    %s", file)

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        """Write the report of a run that was stopped."""
        self.on_train_end(trainer, pl_module)

    def _attempt(self, write: Callable[[], Path]) -> Path | None:
        try:
            return write()
        except OSError as error:
            log.warning("report    not written, training continues: %s", error)
            return None
