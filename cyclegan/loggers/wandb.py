"""wandb, with images seen on the x-axis: a resumed run goes on there, and no trouble with it ends a training."""

import contextlib
import glob
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
from cyclegan.loggers.wandb_files import earlier_positions

log = logging.getLogger(__name__)

INIT_TIMEOUT = 60.0
"""Seconds until a server that does not answer is given up."""
FINISH_TIMEOUT = 120.0
"""Seconds that the end of a run waits for uploads."""
MODES = {"dryrun": "offline", "run": "online"}  # WANDB_MODE knows older names


class NoRun:
    """Stands in for a wandb run that failed: takes every call and does nothing."""

    def __getattr__(self, name: str) -> "NoRun":
        if name.startswith("__"):
            raise AttributeError(name)
        return self

    def __call__(self, *args: Any, **kwargs: Any) -> "NoRun":
        """Takes any arguments."""
        return self


class Wandb(WandbLogger):
    """Lightning's logger with this project's axis and manners.

    Online where a login is found (the variable WANDB_API_KEY, or what `wandb login` stored), else offline
    with one line that says how to upload later; the variable WANDB_MODE overrules both. Offline too where wandb
    cannot be reached. A run ends with its training, so the jobs of a sweep, which share a process, do not run
    into one another.

    A resumed run repeats the batches after its checkpoint, bit for bit: points that wandb has already are left out.

    Args:
        run_dir: everything wandb writes goes to `run_dir/wandb`.
        project: in wandb; None: that of the variable WANDB_PROJECT, else Lightning's default.
        name: of the run.
        group: runs of one sweep share it.
        tags: for the filters in wandb; None: those of the variable WANDB_TAGS.
        id: of the run in wandb; one that is known there is continued. None: wandb draws one.
        entity: the user or team that the project is of; None: that of the variable WANDB_ENTITY.
        job_type: for the filters in wandb; None: that of the variable WANDB_JOB_TYPE.
        notes: on the run's page; None: those of the variable WANDB_NOTES.
        arguments: others of `wandb.init`.

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
        id: str | None = None,  # noqa: A002 (wandb's own name for it)
        entity: str | None = None,
        job_type: str | None = None,
        notes: str | None = None,
        **arguments: Any,
    ) -> None:
        unknown = sorted(arguments.keys() - signature(wandb.init).parameters)
        if unknown:
            raise UserError(f"logger.wandb.{unknown[0]} is set, which wandb.init does not take: leave it out")
        asked = os.environ.get("WANDB_MODE")
        self._mode = MODES.get(asked, asked) if asked else "online" if logged_in() else "offline"
        arguments |= {"entity": entity, "group": group, "job_type": job_type, "tags": tags, "notes": notes}
        super().__init__(name=name, save_dir=run_dir, project=project, id=id, mode=self._mode, **arguments)
        self._wandb_init.pop("anonymous", None)  # wandb warns of it, even where it says nothing
        # Also offline, where wandb sync then appends a later part of the run; else it writes over the first.
        self._wandb_init["resume"] = "allow"
        self._folder = Path(run_dir) / "wandb"
        self._why = f"WANDB_MODE={asked}" if asked else "no login found"
        self._stored: dict[str, int] = {}
        self._uploaded = -1
        self._is_off = False

    # ------------------------------------------------------------------------------------ the beginning

    @property
    @rank_zero_experiment
    def experiment(self) -> Any:
        """The wandb run, begun when it is first asked for; once wandb has failed, one that does nothing."""
        if self._experiment is None and not self._is_off:
            self._begin(logging.INFO)
        return NoRun() if self._is_off else self._experiment

    def _begin(self, level: int) -> None:
        """Begins the run: in the mode asked for, else offline, else not at all."""
        try:
            self._experiment = self._init()
        except Exception as error:
            if self._mode in ("offline", "disabled"):
                self._give_up(error)
                return
            end_service()  # to it, the run's id is in use
            self._mode, self._why = "offline", in_one_line(error)
            self._begin(logging.WARNING)
            return
        with self._harmless():
            self._take_up(level)

    def _init(self) -> Any:
        # wandb reports on its own troubles, and fails in that where it fails in everything.
        logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)
        self._folder.parent.mkdir(parents=True, exist_ok=True)
        wandb.setup(wandb.Settings(silent=True))  # a login speaks, and asks, whatever the run's own settings are
        settings = wandb.Settings(
            silent=True, init_timeout=INIT_TIMEOUT, finish_timeout=FINISH_TIMEOUT, finish_timeout_raises=True
        )
        return wandb.init(**self._wandb_init | {"mode": self._mode}, settings=settings)

    def _take_up(self, level: int) -> None:
        """Sets the axis, finds out which points wandb has of earlier parts of the run, and says where it is."""
        run = self._experiment
        assert run is not None
        run.define_metric(POSITION)
        run.define_metric("*", step_metric=POSITION)
        if self._mode == "disabled":
            return
        # What a part that was online handed over last may lie on the server or nowhere; its summary knows.
        kind = "*run-*" if self._mode == "offline" else "offline-run-*"
        parts = sorted(self._folder.glob(f"{kind}/run-{glob.escape(run.id)}.wandb"))
        self._stored = earlier_positions([path for path in parts if path.parent.name != Path(run.dir).parent.name])
        if self._mode == "offline":
            where = shlex.quote(str(self._folder))
            log.log(level, "wandb     offline, %s; to upload: wandb sync %s/offline-run-*", self._why, where)
            return
        if run.resumed:
            self._uploaded = int(run.summary.get(POSITION, -1))
        log.log(level, "wandb     %s", run.url)

    # ------------------------------------------------------------------------------------ the metrics

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """Logs metrics or images at a number of images seen, except those that wandb has of it."""
        with self._harmless():
            run = self.experiment
            if step is not None:
                metrics = {name: value for name, value in metrics.items() if step > self._known(name)}
            if metrics:
                run.log({**metrics, POSITION: step})

    def _known(self, name: str) -> int:
        """Up to which number of images seen wandb has the points of a curve, or the images of a name."""
        return max(self._stored.get(name, -1), self._uploaded)

    @rank_zero_only
    def log_image(self, key: str, images: list[Any], step: int | None = None, **kwargs: Any) -> None:
        """Logs images at a number of images seen."""
        with self._harmless():
            super().log_image(key, images, step, **kwargs)

    @rank_zero_only
    def log_hyperparams(self, params: dict[str, Any] | Namespace) -> None:
        """Stores the configuration."""
        with self._harmless():
            super().log_hyperparams(params)

    @rank_zero_only
    def flag(self, name: str, text: str, step: int) -> None:
        """Raises an alert of wandb at a number of images seen, unless an earlier part of the run has done so.

        That is so where wandb has the point of the curve `name` there: log it after this. An alert that fails
        costs nothing else.
        """
        with self._harmless():
            run = self.experiment
            if step > self._known(name):
                try:
                    run.alert(title=name[:64], text=text, level="WARN")
                except Exception as error:  # of a server or version without alerts
                    log.warning("wandb     took no alert, and goes on without: %s", in_one_line(error))

    def watch(
        self, model: nn.Module, log: str | None = "gradients", log_freq: int = 100, log_graph: bool = True
    ) -> None:
        """Follows a network's gradients or weights."""
        with self._harmless():
            super().watch(model, log, log_freq, log_graph)

    # ------------------------------------------------------------------------------------ the end

    @rank_zero_only
    def finalize(self, status: str) -> None:
        """Ends the wandb run.

        Args:
            status: "success"; "preempted" of a run that was asked to stop and will be resumed; any other: it failed.
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
                log.warning("wandb     uploads stopped after %.0f s, wandb may lack the last points", FINISH_TIMEOUT)
        except Exception as error:
            self._give_up(error)
        # Only now is all on the disk; and one that broke would be handed to the next job of a sweep.
        end_service()

    @contextlib.contextmanager
    def _harmless(self) -> Iterator[None]:
        """Lets no error out: the first is said in one line, and this process goes on without wandb."""
        try:
            yield
        except Exception as error:
            self._give_up(error)

    def _give_up(self, error: Exception) -> None:
        if not self._is_off:
            log.warning("wandb     off from here on, training continues: %s", in_one_line(error))
        self._is_off = True


def end_service() -> None:
    """Waits for the process that wandb runs beside this one, in whatever state it is; the next run starts another."""
    with contextlib.suppress(Exception, SystemExit):  # wandb exits if that process failed
        wandb.teardown()


def in_one_line(error: Exception) -> str:
    """Names an error, shortened to what fits into a line of the log."""
    return textwrap.shorten(f"{type(error).__name__}: {error}", 240, placeholder=" ...")


def logged_in() -> bool:
    """Whether wandb would find a key without asking for one."""
    if os.environ.get("WANDB_API_KEY"):
        return True
    try:
        file = Path(os.environ.get("NETRC", "~/.netrc")).expanduser()
        host = urlparse(os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai")).hostname or ""
        found = netrc.netrc(str(file)).authenticators(host)
    except (OSError, ValueError, RuntimeError, netrc.NetrcParseError):  # nor a home, or a URL that is none
        return False
    return found is not None and bool(found[2])
