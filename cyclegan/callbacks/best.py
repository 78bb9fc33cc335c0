"""The best value of a metric so far, where in the run it was measured, and the checkpoint of that moment."""

import difflib
import logging
import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pytorch_lightning as pl

from cyclegan.callbacks.position import images_seen
from cyclegan.callbacks.validation import given_up_by, metrics_of, validation_of
from cyclegan.checkpoint.reading import read
from cyclegan.checkpoint.writing import same_file
from cyclegan.errors import CheckpointError, UserError
from cyclegan.validation.catalogue import SELECTABLE, higher_is_better, is_selectable

log = logging.getLogger(__name__)

BEST = "best.ckpt"


@dataclass(frozen=True)
class Best:
    """The best value of a metric, after so many epochs and images of each domain."""

    metric: str
    value: float
    epoch: int
    images: int
    protocol: str = ""

    def __str__(self) -> str:
        return f"{self.metric} {self.value:.4g} at epoch {self.epoch}"


class MetricWatch:
    """Follows one metric of the validations. Metrics of the untrained networks do not count.

    Args:
        metric: its name, such as `kid` or `psnr_ab`; `val/` before it, as in metrics.csv, is left out.
        key: where the configuration names the metric, for the warning if it is not measured.
        min_delta: a value is better if it is better by more than this.

    Raises:
        UserError: of such a metric, no value is better than another.
    """

    def __init__(self, metric: str, key: str, min_delta: float = 0.0) -> None:
        self.metric = metric.removeprefix("val/")
        if not is_selectable(self.metric):
            near = difflib.get_close_matches(self.metric, SELECTABLE, n=1)
            meant = f" (did you mean {near[0]}?)" if near else ""
            raise UserError(
                f"{key} is {metric}{meant}; what a run can be judged by is {', '.join(SELECTABLE)}, of both directions "
                "or of one, as psnr_ab, or one domain, as cycle_a"
            )
        self.best: Best | None = None
        self._key = key
        self._min_delta = min_delta
        self._has_warned = False

    def measured(self, trainer: pl.Trainer) -> float | None:
        """The metric at the epoch's end that is now; None without a validation, or if that had no such metric."""
        validation = validation_of(trainer)
        if validation is None or not validation.metrics:
            return None
        if self.best and self.best.protocol != validation.protocol:
            if trainer.is_global_zero:
                log.info("best      %s was measured otherwise and is not compared with what is measured now", self.best)
            self.best = None
        self.warn_if_missing(trainer)
        return validation.metrics.get(self.metric)

    def warn_if_missing(self, trainer: pl.Trainer) -> None:
        """Says once that a validation has no such metric."""
        metrics = metrics_of(trainer)
        if metrics and self.metric not in metrics and self.best is None and not self._has_warned:
            self._has_warned = True
            if trainer.is_global_zero:
                self._say_missing(metrics, given_up_by(trainer))

    def is_better(self, value: float) -> bool:
        """Whether a value is finite and better than all before."""
        if not math.isfinite(value) or self.best is None:
            return math.isfinite(value)
        gain = value - self.best.value if higher_is_better(self.metric) else self.best.value - value
        return gain > self._min_delta

    def here(self, trainer: pl.Trainer, value: float) -> Best:
        """A value with the place at which the run now is, at an epoch's end."""
        validation = validation_of(trainer)
        protocol = validation.protocol if validation else ""
        return Best(self.metric, float(value), trainer.current_epoch + 1, images_seen(trainer), protocol)

    def state_dict(self) -> dict[str, Any]:
        """The best so far in plain values; empty if there is none."""
        return {"best": asdict(self.best)} if self.best else {}

    def load_state_dict(self, state: dict[str, Any]) -> bool:
        """Goes on from a state. Returns whether it was of the same metric; of another one, nothing is taken."""
        found = Best(**state["best"]) if "best" in state else None
        if found and found.metric != self.metric:
            log.info("best      of %s from here on; the run so far looked at %s", self.metric, found.metric)
            return False
        self.best = found
        return True

    def _say_missing(self, metrics: Iterable[str], given_up: Sequence[str]) -> None:
        judges = sorted(name for name in metrics if is_selectable(name))
        overall = [name for name in judges if "_" not in name]
        if self.metric.partition("_")[0] in given_up:  # why, was said
            log.info(
                "metrics   %s is not measured; %s=... names another: %s", self.metric, self._key, ", ".join(overall)
            )
            return
        close = difflib.get_close_matches(self.metric, judges, n=1)
        meant = f" (did you mean {close[0]}?)" if close else ""
        log.warning(
            "metrics   %s is %s, which is not measured%s; %s=... names one that is: %s; or of one side: %s",
            *(self._key, self.metric, meant, self._key, ", ".join(overall)),
            ", ".join(name for name in judges if "_" in name),
        )


def settle(best: Best, folder: Path, resumed: Path, images: int, state_key: str) -> None:
    """Makes `best.ckpt` of a resumed run what the state of the run says of it, if that checkpoint still exists.

    It is missing, or an older one, where the run was killed between writing a checkpoint and naming it, or goes on
    in another folder. It is a later one where the run was taken back to before it.

    Args:
        best: of the state.
        folder: of the run's checkpoints.
        resumed: the checkpoint that the run goes on from.
        images: of each domain that the resumed weights have seen.
        state_key: under which a checkpoint holds the state with its best.
    """
    target = folder / BEST
    named = (f"images{best.images:09d}.ckpt", f"epoch{best.epoch:04d}.ckpt", BEST)
    candidates = [target, *(resumed.parent / name for name in named)]
    found = (path for path in candidates if path.is_file() and _is_of(path, best, state_key))
    source = resumed if best.images == images else next(found, None)
    if source is None:
        meanwhile = f"{BEST} is of a part of the run that is now left out" if target.exists() else f"there is no {BEST}"
        log.info("best      the checkpoint of %s is gone; %s, until a better one is found", best, meanwhile)
    elif not (target.exists() and target.samefile(source)):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            same_file(source, target)
        except OSError as error:
            log.warning("best      %s could not be named %s, training goes on: %s", source, target, error)


def _is_of(path: Path, best: Best, state_key: str) -> bool:
    """Whether a checkpoint of that name is of this run: another branch of it may have left the file."""
    try:
        callbacks = read(path).get("callbacks", {})
    except CheckpointError:
        return False
    return bool(callbacks.get(state_key, {}).get("best") == asdict(best))
