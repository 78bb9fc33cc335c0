"""What became of each metric: at the first validation, now, and at its best."""

from collections.abc import Sequence
from typing import NamedTuple

from cyclegan.report.names import MAIN, SYMPTOMS, full, split
from cyclegan.report.run_files import Row
from cyclegan.validation.catalogue import higher_is_better


class Measured(NamedTuple):
    """A value, and when."""

    value: float
    epoch: float | None
    images: int


class Summary(NamedTuple):
    """One metric over the whole run."""

    name: str
    label: str
    first: Measured
    latest: Measured
    best: Measured | None
    """None of a symptom, which has no better side, and of the untouched input, which never changes."""
    spread: float | None
    """Of the latest value."""

    @property
    def direction(self) -> str:
        """Where the value went since the first validation: `up`, `down` or `level`."""
        change = self.latest.value - self.first.value
        return "level" if change == 0 else "up" if change > 0 else "down"

    @property
    def verdict(self) -> str:
        """`better` or `worse` than at the first validation; empty where neither can be said."""
        if self.best is None or self.direction == "level":
            return ""
        return "better" if (self.direction == "up") == higher_is_better(self.name) else "worse"


def summarise(rows: Sequence[Row]) -> list[Summary]:
    """A summary of every `val/` metric, in the order of the columns."""
    history: dict[str, list[Measured]] = {}
    for row in rows:
        for column, value in row.metrics.items():
            if column.startswith("val/"):
                measured = Measured(value, row.epoch, row.images)
                history.setdefault(column.removeprefix("val/"), []).append(measured)
    found = []
    for name, values in history.items():
        stem, variant, direction = split(name)
        if variant == "spread":
            continue
        best = None
        if stem not in SYMPTOMS.stems and variant != "copied":
            trained = [measured for measured in values if measured.images] or values  # there is no checkpoint of 0
            best = (max if higher_is_better(name) else min)(trained, key=lambda measured: measured.value)
        spreads = history.get(f"{stem}_spread_{direction}" if direction else f"{stem}_spread", [])
        has_spread = variant == "" and spreads and spreads[-1].images == values[-1].images
        found.append(Summary(name, full(name), values[0], values[-1], best, spreads[-1].value if has_spread else None))
    return found


def main_metrics(summaries: Sequence[Summary]) -> list[Summary]:
    """The few that stand at the top: the mean of the directions, or the directions where no mean was logged."""
    chosen = []
    for stem in MAIN:
        same = [s for s in summaries if split(s.name).stem == stem and s.best is not None]
        mean = [s for s in same if s.name == stem]
        chosen += mean or same
    return chosen
