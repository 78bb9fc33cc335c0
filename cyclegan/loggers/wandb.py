"""A wandb logger over images seen, whose failures never end a training."""

import contextlib
import logging
import netrc
import os
import shlex
import textwrap
from argparse import Namespace
from collections.abc import Iterator, Mapping
from inspect import signature
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import wandb
from pytorch_lightning.loggers import WandbLogger
from pytorch_lightning.loggers.logger import rank_zero_experiment
from pytorch_lightning.utilities.rank_zero import rank_zero_only
from torch import nn

from cyclegan.errors import UserError
from cyclegan.loggers import POSITION

log = logging.getLogger(__name__)

INIT_TIMEOUT = 60.0
"""Seconds to wait for a server."""
FINISH_TIMEOUT = 120.0
"""Seconds to wait for uploads at the end of a run."""
MODES = {"dryrun": "offline", "run": "online"}
"""Older values of WANDB_MODE."""


class NoRun:
    """A stand-in for a wandb run that failed: takes every call and does nothing."""

    def __getattr__(self, name: str) -> "NoRun":
        if name.startswith("__"):
            raise AttributeError(name)
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
        group: group of the run, shared by the runs of a sweep.
        tags: tags of the run; None: the variable WANDB_TAGS.
        id: id of the run; one that exists is continued. None: wandb draws one.
        entity: user or team that owns the project; None: the variable WANDB_ENTITY.
        job_type: job type of the run; None: the variable WANDB_JOB_TYPE.
        notes: notes on the run's page; None: the variable WANDB_NOTES.
        arguments: further arguments of `wandb.init`.

    Raises:
        UserError: `wandb.init` has no such argument.
    """

    def __init__(
        self,
        run_dir: str,
        project: str | None,
        name: str,
        group: str | None = None,
        tags: list[str] | None = None,
        id: str | None = None,  # noqa: A002 (wandb's own name)
        entity: str | None = None,
        job_type: str | None = None,
        notes: str | None = None,
        **arguments: Any,
    ) -> None:
        unknown = sorted(arguments.keys() - signature(wandb.init).parameters)
        if unknown:
            raise UserError(f"logger.wandb.{unknown[0]} is set, but wandb.init has no such argument: leave it out")
        asked = os.environ.get("WANDB_MODE")
        self._mode = MODES.get(asked, asked) if asked else "online" if logged_in() else "offline"
        arguments |= {"entity": entity, "group": group, "job_type": job_type, "tags": tags, "notes": notes}
        super().__init__(name=name, save_dir=run_dir, project=project, id=id, mode=self._mode, **arguments)
        self._wandb_init.pop("anonymous", None)  # wandb warns of it whatever its value
        # Also offline: else wandb sync would overwrite the first part of a resumed run with the second.
        self._wandb_init["resume"] = "allow"
        self._folder = Path(run_dir) / "wandb"
        self._reason = f"WANDB_MODE={asked}" if asked else "no login found"
        self._uploaded = -1
        self._is_off = False

    # ------------------------------------------------------------------------------------ start

    @property
    @rank_zero_experiment
    def experiment(self) -> Any:
        """The wandb run, started at the first access; a `NoRun` after a failure."""
        if self._experiment is None and not self._is_off:
            self._start(logging.INFO)
        return NoRun() if self._is_off else self._experiment

    def _start(self, level: int) -> None:
        """Start the run in the mode asked for, else offline, else turn wandb off."""
        try:
            self._experiment = self._init()
        except Exception as error:
            if self._mode in ("offline", "disabled"):
                self._turn_off(error)
                return
            end_service()  # it holds the run's id
            self._mode, self._reason = "offline", _in_one_line(error)
            self._start(logging.WARNING)
            return
        with self._harmless():
            self._configure(level)

    def _init(self) -> Any:
        # wandb's own error reporting fails loudly where everything of it fails.
        logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)
        self._folder.parent.mkdir(parents=True, exist_ok=True)
        wandb.setup(wandb.Settings(silent=True))  # else a login prints and asks, whatever the run's settings
        settings = wandb.Settings(
            silent=True, init_timeout=INIT_TIMEOUT, finish_timeout=FINISH_TIMEOUT, finish_timeout_raises=True
        )
        return wandb.init(**self._wandb_init | {"mode": self._mode}, settings=settings)

    def _configure(self, level: int) -> None:
        run = self._experiment
        assert run is not None
        run.define_metric(POSITION)
        run.define_metric("*", step_metric=POSITION)
        if self._mode == "offline":
            where = shlex.quote(str(self._folder))
            log.log(level, "wandb     offline, %s; to upload: wandb sync %s/offline-run-*", self._reason, where)
        elif self._mode != "disabled":
            if run.resumed:
                self._uploaded = int(run.summary.get(POSITION, -1))
            log.log(level, "wandb     %s", run.url)

    # ------------------------------------------------------------------------------------ metrics

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
        with self._harmless():
            run = self.experiment
            if step > self._uploaded:
                try:
                    run.alert(title=name[:64], text=text, level="WARN")
                except Exception as error:  # a server or version without alerts
                    log.warning("wandb     an alert could not be sent: %s", _in_one_line(error))

    def watch(
        self, model: nn.Module, log: str | None = "gradients", log_freq: int = 100, log_graph: bool = True
    ) -> None:
        with self._harmless():
            super().watch(model, log, log_freq, log_graph)

    # ------------------------------------------------------------------------------------ end

    @rank_zero_only
    def finalize(self, status: str) -> None:
        """End the wandb run.

        Args:
            status: "success"; "preempted" for a run that will be resumed; anything else means that it failed.
        """
        run, self._experiment = self._experiment, None
        if run is None:
            return
        try:
            if status == "preempted":
                run.mark_preempting()
            run.finish(exit_code=0 if status == "success" else 1)
        except TimeoutError:
            if not self._is_off:
                log.warning("wandb     uploads stopped after %.0f s, the last points may be missing", FINISH_TIMEOUT)
        except Exception as error:
            self._turn_off(error)
        # It has written everything only when it ends, and a broken one would serve the next job of a sweep.
        end_service()

    @contextlib.contextmanager
    def _harmless(self) -> Iterator[None]:
        """Turn an error into one warning and turn wandb off."""
        try:
            yield
        except Exception as error:
            self._turn_off(error)

    def _turn_off(self, error: Exception) -> None:
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
        file = Path(os.environ.get("NETRC", "~/.netrc")).expanduser()
        host = urlparse(os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai")).hostname or ""
        found = netrc.netrc(str(file)).authenticators(host)
    except (OSError, ValueError, RuntimeError, netrc.NetrcParseError):  # no file, no home folder, or no URL
        return False
    return found is not None and bool(found[2])


def _in_one_line(error: Exception) -> str:
    return textwrap.shorten(f"{type(error).__name__}: {error}", 240, placeholder=" ...")
