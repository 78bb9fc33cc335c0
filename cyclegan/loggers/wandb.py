"""wandb, with images seen on the x-axis, and no prompt where nobody is logged in."""

import logging
import netrc
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import wandb
from pytorch_lightning.loggers import WandbLogger
from pytorch_lightning.loggers.logger import rank_zero_experiment
from pytorch_lightning.utilities.rank_zero import rank_zero_only

from cyclegan.loggers import POSITION

log = logging.getLogger(__name__)


class Wandb(WandbLogger):
    """Lightning's logger with this project's axis and manners.

    Online where a login is found (the variable WANDB_API_KEY, or what `wandb login` stored), else offline
    with one line that says how to upload later; the variable WANDB_MODE overrules both. A run ends with its
    training, so the jobs of a sweep, which share a process, do not run into one another.

    Args:
        run_dir: everything wandb writes goes to `run_dir/wandb`.
        project: in wandb.
        name: of the run.
        group: runs of one sweep share it.
        tags: for the filters in wandb.
    """

    def __init__(
        self, run_dir: str, project: str, name: str, group: str | None = None, tags: list[str] | None = None
    ) -> None:
        asked = os.environ.get("WANDB_MODE")
        mode = asked or ("online" if logged_in() else "offline")
        super().__init__(name=name, save_dir=run_dir, project=project, group=group, tags=tags, mode=mode)
        self._wandb_init.pop("anonymous", None)  # wandb warns of it, even where it says nothing
        self._run_dir = run_dir
        self._mode = mode
        self._why = f"WANDB_MODE={asked}" if asked else "no login found"

    @property
    @rank_zero_experiment
    def experiment(self) -> Any:
        """The wandb run, begun when it is first asked for."""
        if self._experiment is None:
            Path(self._run_dir).mkdir(parents=True, exist_ok=True)
            self._experiment = wandb.init(**self._wandb_init, settings=wandb.Settings(silent=True))
            self._experiment.define_metric(POSITION)
            self._experiment.define_metric("*", step_metric=POSITION)
            if self._mode == "online":
                log.info("wandb     %s", self._experiment.url)
            elif self._mode == "offline":
                where = self._why, self._run_dir
                log.info("wandb     offline, %s; to upload: wandb sync %s/wandb/offline-run-*", *where)
        return self._experiment

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """Logs figures or pictures at a number of images seen."""
        self.experiment.log({**metrics, POSITION: step})

    @rank_zero_only
    def finalize(self, status: str) -> None:
        """Ends the wandb run."""
        super().finalize(status)
        if self._experiment is not None:
            self._experiment.finish(exit_code=0 if status == "success" else 1)
            self._experiment = None


def logged_in() -> bool:
    """Whether wandb would find a key without asking for one."""
    if os.environ.get("WANDB_API_KEY"):
        return True
    host = urlparse(os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai")).hostname or ""
    file = Path(os.environ.get("NETRC", "~/.netrc")).expanduser()
    try:
        found = netrc.netrc(str(file)).authenticators(host)
    except (OSError, netrc.NetrcParseError):
        return False
    return found is not None and bool(found[2])
