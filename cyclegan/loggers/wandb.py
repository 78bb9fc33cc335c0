"""A wandb logger over images seen, whose failures never end a training."""

import contextlib
import logging
import math
import os
import shlex
import textwrap
from argparse import Namespace
from collections.abc import Iterator, Mapping, Sequence
from inspect import signature
from pathlib import Path
from typing import Any

import numpy as np
import wandb
from pytorch_lightning.loggers import WandbLogger
from pytorch_lightning.loggers.logger import rank_zero_experiment
from pytorch_lightning.utilities.rank_zero import rank_zero_only
from requests.utils import get_netrc_auth

from cyclegan.errors import UserError
from cyclegan.loggers import POSITION, PRUNE_FILE
from cyclegan.loggers.code_version import code_version
from cyclegan.loggers.metrics_csv import MetricsCsv
from cyclegan.validation.catalogue import higher_is_better, is_selectable

log = logging.getLogger(__name__)

INIT_TIMEOUT = 60.0  # seconds to wait for a server
FINISH_TIMEOUT = 120.0  # seconds to wait for uploads at the end of a run
FILES_TIMEOUT = 3600.0  # the same, for a run that uploads checkpoints
FILES = {"report": "report.html", "best": "checkpoints/best.ckpt", "last": "checkpoints/last.ckpt"}
"""Files of the run folder that `upload` may name."""


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

    Besides the metrics of a validation, `best/…` is logged: the best value after training began, for every metric that
    has a better side. wandb's own summaries "min" and "max" forget the earlier values when a run is resumed, and a
    wandb sweep cannot optimise them.

    Args:
        run_dir: everything wandb writes goes to `run_dir/wandb`.
        project: wandb project; None: the variable WANDB_PROJECT, else Lightning's default.
        name: name of the run; None: wandb draws one.
        id: id of the run; one that exists is continued. None: wandb draws one.
        upload: what to upload when the training is complete: "report" as HTML; "best" and "last", the whole
            checkpoints, as versions of the artifact `model-<id>` under these aliases.
        arguments: further arguments of `wandb.init`, such as `entity`, `group`, `tags`. None: wandb's variable for it.

    Raises:
        UserError: `wandb.init` has no such argument, or `upload` names something else.
    """

    def __init__(
        self,
        run_dir: str,
        project: str | None,
        name: str | None,
        id: str | None = None,  # noqa: A002 (wandb's own name)
        upload: Sequence[str] = (),
        **arguments: Any,
    ) -> None:
        unknown = sorted(arguments.keys() - signature(wandb.init).parameters)
        if unknown:
            raise UserError(f"logger.wandb.{unknown[0]} is set, but wandb.init has no such argument: leave it out")
        if not set(upload) <= FILES.keys():
            raise UserError(f"logger.wandb.upload is {list(upload)}; it can hold {', '.join(FILES)}")
        variable = os.environ.get("WANDB_MODE")
        self._mode = variable or ("online" if logged_in() else "offline")
        super().__init__(name=name, save_dir=run_dir, project=project, id=id, mode=self._mode, **arguments)
        self._wandb_init.pop("anonymous", None)  # wandb warns of it whatever its value
        # Also offline: else wandb sync would overwrite the first part of a resumed run with the second.
        self._wandb_init["resume"] = "allow"
        self._run_dir = Path(run_dir)
        self._folder = self._run_dir / "wandb"
        self._upload = upload
        self._finish_timeout = FILES_TIMEOUT if {"best", "last"} & set(upload) else FINISH_TIMEOUT
        self._best: dict[str, float] = {}
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
        for row in MetricsCsv(str(self._run_dir)).read()[1]:  # of the run so far, if it is resumed
            self._improve({name: float(value) for name, value in row.items() if value}, int(row[POSITION]))
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
        self._run_dir.mkdir(parents=True, exist_ok=True)
        # wandb would keep the images of tables in the home directory, before and after their upload.
        for variable in ("WANDB_DATA_DIR", "WANDB_CACHE_DIR"):
            os.environ.setdefault(variable, str(self._folder.resolve()))
        wandb.setup(wandb.Settings(silent=True))  # else a login prints and asks, whatever the run's settings
        settings = wandb.Settings(
            silent=True, init_timeout=INIT_TIMEOUT, finish_timeout=self._finish_timeout, finish_timeout_raises=True
        )
        return wandb.init(**self._wandb_init | {"mode": self._mode}, settings=settings)

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """Log metrics or images at a number of images seen, unless the server has points from there on."""
        with self._harmless():
            run = self.experiment
            if step is None or step > self._uploaded:
                best = self._improve(metrics, step or 0)
                for name in best:
                    run.define_metric(name, step_metric=POSITION, hidden=True)  # for tables, without charts
                run.log({**metrics, **best, POSITION: step})

    def _improve(self, metrics: Mapping[str, Any], step: int) -> dict[str, float]:
        """Take the metrics of a validation into account, and return their best values so far, as `best/…`."""
        found = {}
        for name, value in metrics.items():
            column = name.removeprefix("val/")
            # The untrained networks do not count: no checkpoint holds them.
            if name != column and step > 0 and is_selectable(column) and math.isfinite(value):
                better = max if higher_is_better(column) else min
                found[f"best/{column}"] = better(float(value), self._best.get(f"best/{column}", float(value)))
        self._best |= found
        return found

    @rank_zero_only
    def log_image(self, key: str, images: list[Any], step: int | None = None, **kwargs: Any) -> None:
        with self._harmless():
            super().log_image(key, images, step, **kwargs)

    @rank_zero_only
    def log_image_table(self, key: str, columns: list[Any], rows: list[list[Any]], step: int | None = None) -> None:
        """Log a table; cells that are arrays (H, W, 3) of uint8 become images, stored as PNG.

        If that fails, only the table is lost: unlike for metrics, wandb waits for the server.
        """
        run = self.experiment
        if step is None or step > self._uploaded:
            with _losing("a table"):
                data = [[wandb.Image(cell) if isinstance(cell, np.ndarray) else cell for cell in row] for row in rows]
                run.log({key: wandb.Table(columns=columns, data=data), POSITION: step})

    @rank_zero_only
    def log_hyperparams(self, params: dict[str, Any] | Namespace) -> None:
        """Store the run's configuration, and under `cyclegan` the version of the code."""
        with self._harmless():
            super().log_hyperparams(params)
            self.experiment.config.update({"cyclegan": code_version()}, allow_val_change=True)

    @rank_zero_only
    def flag(self, name: str, text: str, step: int) -> None:
        """Send an alert at a number of images seen; if that fails, only the alert is lost."""
        run = self.experiment
        if step > self._uploaded:
            with _losing("an alert"):  # a server or version without alerts
                run.alert(title=name[:64], text=text, level="WARN")

    @rank_zero_only
    def finalize(self, status: str) -> None:
        """End the wandb run with a status: "success", "preempted" if it will be resumed; others mean failure.

        A job that its sweep stops for good, as the file `prune` in its folder says, ends like a complete one, with the
        tag `pruned`.
        """
        run: Any = self._experiment
        self._experiment = None
        if run is None:
            return
        with self._harmless():
            try:
                if status == "success" and not self._is_off:
                    self._upload_files(run)
                elif status == "preempted" and (self._run_dir / PRUNE_FILE).exists():
                    status = "success"
                    run.tags = (*run.tags, "pruned")
                elif status == "preempted":
                    run.mark_preempting()
                run.finish(exit_code=0 if status == "success" else 1)
            except TimeoutError:
                waited = self._finish_timeout
                log.warning("wandb     uploads stopped after %.0f s, the last points may be missing", waited)
        # It has written everything only when it ends, and a broken one would serve the next job of a sweep.
        end_service()

    def _upload_files(self, run: Any) -> None:
        for name in self._upload:
            file = self._run_dir / FILES[name]
            if not file.is_file():
                log.warning("wandb     upload=%s: there is no %s", name, file)
                continue
            with _losing(f"upload={name}"):
                if name == "report":
                    run.log({"report": wandb.Html(str(file), inject=False)})
                else:  # all under one name, so that a best checkpoint that is also the last is stored once
                    artifact = wandb.Artifact(f"model-{run.id}", type="model")
                    artifact.add_file(str(file), name="model.ckpt", policy="immutable", skip_cache=True)  # no copies
                    run.log_artifact(artifact, aliases=[name])

    @contextlib.contextmanager
    def _harmless(self) -> Iterator[None]:
        """Turn an error into one warning and turn wandb off."""
        try:
            yield
        except Exception as error:
            if not self._is_off:
                log.warning("wandb     off from here on, training continues: %s", _in_one_line(error))
            self._is_off = True


@contextlib.contextmanager
def _losing(what: str) -> Iterator[None]:
    """Turn an error into a warning that `what` is lost."""
    try:
        yield
    except Exception as error:
        log.warning("wandb     %s could not be sent: %s", what, _in_one_line(error))


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
