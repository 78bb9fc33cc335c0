"""A wandb logger over images seen, whose failures never end a training."""

import contextlib
import logging
import os
import shlex
import textwrap
from argparse import Namespace
from collections.abc import Iterator, Mapping
from inspect import signature
from pathlib import Path
from typing import Any

import wandb
from pytorch_lightning.loggers import WandbLogger
from pytorch_lightning.loggers.logger import rank_zero_experiment
from pytorch_lightning.utilities.rank_zero import rank_zero_only
from requests.utils import get_netrc_auth

from cyclegan.errors import UserError
from cyclegan.loggers import POSITION

log = logging.getLogger(__name__)

INIT_TIMEOUT = 60.0  # seconds to wait for a server
FINISH_TIMEOUT = 120.0  # seconds to wait for uploads at the end of a run


class NoRun:
    """A stand-in for a wandb run that failed: accepts every call and does nothing."""

    def __getattr__(self, name: str) -> "NoRun":
        return self

    def __call__(self, *args: Any, **kwargs: Any) -> "NoRun":
        return self


class Wandb(WandbLogger):
    """Lightning's WandbLogger with images seen as x-axis and an offline fallback.

    Online if a login is found (the variable WANDB_API_KEY, or what `wandb login` stored), else offline, with one line
    on how to upload later; the variable WANDB_MODE overrides both. Offline also if wandb cannot be reached. The first
    error of wandb is logged and turns it off for the rest of the process. A wandb run ends with its training, so that
    the jobs of a sweep, which share a process, get one each.

    A resumed run repeats the batches after its checkpoint. Online, points that the run's summary has already are not
    logged again; offline they are, at the same images seen and with the same values.

    Args:
        run_dir: everything wandb writes goes to `run_dir/wandb`.
        project: wandb project; None: the variable WANDB_PROJECT, else Lightning's default.
        name: name of the run.
        id: id of the run; one that exists is continued. None: wandb draws one.
        arguments: further arguments of `wandb.init`, such as `entity`, `group`, `tags`. None: wandb's variable for it.

    Raises:
        UserError: `wandb.init` has no such argument.
    """

    def __init__(
        self,
        run_dir: str,
        project: str | None,
        name: str,
        id: str | None = None,  # noqa: A002 (wandb's own name)
        **arguments: Any,
    ) -> None:
        unknown = sorted(arguments.keys() - signature(wandb.init).parameters)
        if unknown:
            raise UserError(f"logger.wandb.{unknown[0]} is set, but wandb.init has no such argument: leave it out")
        variable = os.environ.get("WANDB_MODE")
        self._mode = variable or ("online" if logged_in() else "offline")
        super().__init__(name=name, save_dir=run_dir, project=project, id=id, mode=self._mode, **arguments)
        self._wandb_init.pop("anonymous", None)  # wandb warns of it whatever its value
        # Also offline: else wandb sync would overwrite the first part of a resumed run with the second.
        self._wandb_init["resume"] = "allow"
        self._folder = Path(run_dir) / "wandb"
        self._reason = f"WANDB_MODE={variable}" if variable else "no login found"
        self._uploaded = -1
        self._is_off = False

    @property
    @rank_zero_experiment
    def experiment(self) -> Any:
        """The wandb run, started at the first access; a `NoRun` after a failure."""
        if self._experiment is None and not self._is_off:
            with self._harmless():
                self._start()
        return NoRun() if self._is_off else self._experiment

    def _start(self) -> None:
        """Start the run in its mode, or offline if that fails."""
        level = logging.INFO
        try:
            run = self._init()
        except Exception as error:
            if self._mode in ("offline", "disabled"):
                raise
            end_service()  # it holds the run's id
            self._mode, self._reason, level = "offline", _in_one_line(error), logging.WARNING
            run = self._init()
        self._experiment = run
        run.define_metric(POSITION)
        run.define_metric("*", step_metric=POSITION)
        if run.offline:
            where = shlex.quote(str(self._folder))
            log.log(level, "wandb     offline, %s; to upload: wandb sync %s/offline-run-*", self._reason, where)
        elif not run.disabled:
            if run.resumed:
                self._uploaded = int(run.summary.get(POSITION, -1))
            log.log(level, "wandb     %s", run.url)

    def _init(self) -> Any:
        # Without a network or a disk, wandb's error reporting logs tracebacks of its own.
        logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)
        self._folder.parent.mkdir(parents=True, exist_ok=True)
        wandb.setup(wandb.Settings(silent=True))  # else a login prints and asks, whatever the run's settings
        settings = wandb.Settings(
            silent=True, init_timeout=INIT_TIMEOUT, finish_timeout=FINISH_TIMEOUT, finish_timeout_raises=True
        )
        return wandb.init(**self._wandb_init | {"mode": self._mode}, settings=settings)

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """Log metrics or images at a number of images seen, unless the server has points from there on."""
        with self._harmless():
            run = self.experiment
            if step is None or step > self._uploaded:
                run.log({**metrics, POSITION: step})

    @rank_zero_only
    def log_image(self, key: str, images: list[Any], step: int | None = None, **kwargs: Any) -> None:
        with self._harmless():
            super().log_image(key, images, step, **kwargs)

    @rank_zero_only
    def log_hyperparams(self, params: dict[str, Any] | Namespace) -> None:
        with self._harmless():
            super().log_hyperparams(params)

    @rank_zero_only
    def flag(self, name: str, text: str, step: int) -> None:
        """Send an alert at a number of images seen; if that fails, only the alert is lost."""
        run = self.experiment
        if step > self._uploaded:
            try:
                run.alert(title=name[:64], text=text, level="WARN")
            except Exception as error:  # a server or version without alerts
                log.warning("wandb     an alert could not be sent: %s", _in_one_line(error))

    @rank_zero_only
    def finalize(self, status: str) -> None:
        """End the wandb run with a status: "success", "preempted" if it will be resumed; others mean failure."""
        run, self._experiment = self._experiment, None
        if run is None:
            return
        with self._harmless():
            try:
                if status == "preempted":
                    run.mark_preempting()
                run.finish(exit_code=0 if status == "success" else 1)
            except TimeoutError:
                log.warning("wandb     uploads stopped after %.0f s, the last points may be missing", FINISH_TIMEOUT)
        # It has written everything only when it ends, and a broken one would serve the next job of a sweep.
        end_service()

    @contextlib.contextmanager
    def _harmless(self) -> Iterator[None]:
        """Turn an error into one warning and turn wandb off."""
        try:
            yield
        except Exception as error:
            if not self._is_off:
                log.warning("wandb     off from here on, training continues: %s", _in_one_line(error))
            self._is_off = True


def end_service() -> None:
    """End the process that wandb runs beside this one, and wait for it; the next wandb run starts another."""
    with contextlib.suppress(Exception, SystemExit):  # wandb exits if that process failed
        wandb.teardown()


def logged_in() -> bool:
    """Return whether wandb would find an API key without asking for one."""
    if os.environ.get("WANDB_API_KEY"):
        return True
    try:
        stored = get_netrc_auth(os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai"))
    except UnicodeDecodeError:
        return False
    return bool(stored and stored[1])


def _in_one_line(error: Exception) -> str:
    return textwrap.shorten(f"{type(error).__name__}: {error}", 240, placeholder=" ...")
