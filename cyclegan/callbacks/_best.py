"""The best value of a validation metric so far, as best.ckpt and early stopping follow it."""

import difflib
import logging
import math
from dataclasses import asdict, dataclass
from typing import Any

from pytorch_lightning.utilities.rank_zero import rank_zero_only

from cyclegan.callbacks.validation import Validated
from cyclegan.errors import UserError
from cyclegan.validation.catalogue import SELECTABLE, higher_is_better, is_selectable

log = logging.getLogger(__name__)


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
    """Compares one metric of each validation with the best value so far.

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
                f"{key} is {metric}{_did_you_mean(self.metric, SELECTABLE)}; it can be one of {', '.join(SELECTABLE)}, "
                "over all directions, of one direction such as psnr_ab, or of one domain such as cycle_a"
            )
        self.best: Best | None = None
        self._key = key
        self._min_delta = min_delta
        self._has_validated = False
        self._has_warned = False

    def measured(self, validated: Validated) -> Best | None:
        """Return the metric of a validation, whether better or not; None if it was not measured or before training."""
        self._has_validated = True
        if self.best and self.best.protocol != validated.protocol and validated.epoch:
            _info("best      %s was measured under another protocol and is not compared any more", self.best)
            self.best = None
        value = validated.metrics.get(self.metric)
        if value is None:
            self._warn_missing(validated)
        if value is None or validated.epoch == 0:
            return None
        return Best(self.metric, float(value), validated.epoch, validated.images, validated.protocol)

    def improves(self, found: Best) -> bool:
        """Return whether a value is finite and better than the best so far by more than `min_delta`."""
        if not math.isfinite(found.value) or self.best is None:
            return math.isfinite(found.value)
        gain = found.value - self.best.value
        return (gain if higher_is_better(self.metric) else -gain) > self._min_delta

    def warn_without_validation(self, consequence: str) -> None:
        """Warn at the start of a new run if nothing was measured before its first batch."""
        if not self._has_validated:
            _warning("best      %s: no validation measures %s", consequence, self.metric)

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

    def _warn_missing(self, validated: Validated) -> None:
        if self._has_warned or self.best is not None:
            return
        self._has_warned = True
        names = sorted(name for name in validated.metrics if is_selectable(name))
        _warning(
            "metrics   %s is %s, which is not measured%s; measured are %s",
            *(self._key, self.metric, _did_you_mean(self.metric, names), ", ".join(names)),
        )


_info = rank_zero_only(log.info)
_warning = rank_zero_only(log.warning)


def _did_you_mean(name: str, names: Any) -> str:
    close = difflib.get_close_matches(name, names, n=1)
    return f" (did you mean {close[0]}?)" if close else ""
