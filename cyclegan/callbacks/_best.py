"""The best value of a validation metric so far, which best.ckpt and early stopping follow."""

import logging
import math
from dataclasses import asdict, dataclass
from typing import Any

from pytorch_lightning.utilities.rank_zero import rank_zero_only

from cyclegan.callbacks.validation import Validated
from cyclegan.errors import UserError
from cyclegan.validation.catalogue import SELECTABLE, higher_is_better, is_selectable

log = logging.getLogger(__name__)
_info = rank_zero_only(log.info)
_warning = rank_zero_only(log.warning)


@dataclass(frozen=True)
class Best:
    """A value of a metric and the position at which it was measured."""

    metric: str
    value: float
    epoch: int
    images: int
    protocol: str = ""

    def __str__(self) -> str:
        return f"{self.metric} {self.value:.4g} at epoch {self.epoch}"


class MetricWatch:
    """Compares one metric of each validation with its best value so far.

    Args:
        metric: name of the metric, such as `kid` or `psnr_ab`; a leading `val/` is removed.
        key: configuration key of the metric, for messages.
        min_delta: smallest improvement that counts.

    Raises:
        UserError: the metric has no better side.
    """

    def __init__(self, metric: str, key: str, min_delta: float = 0.0) -> None:
        self.metric = metric.removeprefix("val/")
        if not is_selectable(self.metric):
            raise UserError(
                f"{key} is {metric}; it can be one of {', '.join(SELECTABLE)}, over all directions, of one direction "
                "such as psnr_ab, or of one domain such as cycle_a"
            )
        self.best: Best | None = None
        self.has_validated = False
        self._key = key
        self._min_delta = min_delta
        self._has_warned = False

    def update(self, validated: Validated) -> bool | None:
        """Return whether a validation is the best so far, and keep its value if so.

        None if it does not count: it is the one before training, or did not measure the metric.
        """
        self.has_validated = True
        value = validated.metrics.get(self.metric)
        if value is None:
            self._warn_missing(validated)
        if value is None or validated.epoch == 0:
            return None
        if self.best and self.best.protocol != validated.protocol:
            _info("best      %s was measured under another protocol and is not compared any more", self.best)
            self.best = None
        if not self._is_better(float(value)):
            return False
        self.best = Best(self.metric, float(value), validated.epoch, validated.images, validated.protocol)
        return True

    def state_dict(self) -> dict[str, Any]:
        return {"best": asdict(self.best)} if self.best else {}

    def load_state_dict(self, state: dict[str, Any]) -> bool:
        """Restore the best so far; return False, and restore nothing, if it is of another metric."""
        self.best = None
        if "best" in state:
            found = Best(**state["best"])
            if found.metric != self.metric:
                _info("best      compares %s from here on; the run so far compared %s", self.metric, found.metric)
                return False
            self.best = found
        return True

    def _is_better(self, value: float) -> bool:
        if self.best is None or not math.isfinite(value):
            return math.isfinite(value)
        gain = value - self.best.value
        return (gain if higher_is_better(self.metric) else -gain) > self._min_delta

    def _warn_missing(self, validated: Validated) -> None:
        if not self._has_warned and self.best is None:
            names = ", ".join(sorted(name for name in validated.metrics if is_selectable(name)))
            _warning("metrics   %s is %s, which is not measured; measured are %s", self._key, self.metric, names)
        self._has_warned = True
