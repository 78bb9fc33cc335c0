"""What rules read: the figures of every validation so far, oldest first."""

import math
from collections.abc import Mapping, Sequence

from cyclegan.errors import UserError

Figures = Mapping[str, float]
"""Of one validation: `epoch`, `images` and the figures by name, such as `change_ab`."""

History = Sequence[Figures]


def series(history: History, figure: str) -> list[float]:
    """A figure's values, oldest first: not of epoch 0, when nothing is learnt, and no NaN.

    Empty if the newest validation lacks the figure: nothing is said of what is no longer measured.
    """
    if not history or not is_measured(history[-1], figure):
        return []
    return [row[figure] for row in history if row["epoch"] > 0 and is_measured(row, figure)]


def recent(history: History, figure: str, validations: int) -> list[float]:
    """The last so many values of a figure's series; empty as long as there are fewer."""
    found = series(history, figure)
    return found[-validations:] if len(found) >= validations else []


def is_measured(row: Figures, figure: str) -> bool:
    """Whether a validation has a finite number of this name."""
    return math.isfinite(row.get(figure, math.nan))


def places(history: History, figure: str) -> list[str]:
    """The directions or domains of which the newest validation has a figure: `ab` where it has `change_ab`."""
    newest = history[-1] if history else {}
    return sorted(name.removeprefix(f"{figure}_") for name in newest if name.startswith(f"{figure}_"))


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
