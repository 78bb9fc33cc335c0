"""What rules read: the metrics of every validation so far, oldest first."""

import math
from collections.abc import Mapping, Sequence

from cyclegan.errors import UserError

Metrics = Mapping[str, float]
"""Of one validation: `epoch`, `images` and the metrics by name, such as `change_ab`."""

History = Sequence[Metrics]


def series(history: History, metric: str) -> list[float]:
    """A metric's values, oldest first: not of epoch 0, when nothing is learnt, and no NaN.

    Empty if the newest validation lacks the metric: nothing is said of what is no longer measured.
    """
    if not history or not is_measured(history[-1], metric):
        return []
    return [row[metric] for row in history if row["epoch"] > 0 and is_measured(row, metric)]


def recent(history: History, metric: str, validations: int) -> list[float]:
    """The last so many values of a metric's series; empty as long as there are fewer."""
    found = series(history, metric)
    return found[-validations:] if len(found) >= validations else []


def is_measured(row: Metrics, metric: str) -> bool:
    """Whether a validation has a finite number of this name."""
    return math.isfinite(row.get(metric, math.nan))


def places(history: History, metric: str) -> list[str]:
    """The directions or domains of which the newest validation has a metric: `ab` where it has `change_ab`."""
    newest = history[-1] if history else {}
    return sorted(name.removeprefix(f"{metric}_") for name in newest if name.startswith(f"{metric}_"))


def direction(place: str) -> str:
    """How a direction is shown: `A→B` of `ab`; longer names as they are."""
    return "→".join(place.upper()) if len(place) == 2 else place


def domain(place: str) -> str:
    """How a domain is shown: `A` of `a`; longer names as they are."""
    return place.upper() if len(place) == 1 else place


def require_one_or_more(validations: int) -> None:
    """Refuses a rule that would look at no validation."""
    if validations < 1:
        raise UserError(f"validations is {validations}; a rule looks at 1 or more")
