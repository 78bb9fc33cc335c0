"""The first, latest and best value of each validation metric."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

from cyclegan.report.run_files import Row
from cyclegan.validation.catalogue import METRICS, VARIANTS, higher_is_better, is_selectable, split


class Summary(NamedTuple):
    """One metric over the run."""

    label: str
    first: float
    latest: float
    spread: float | None
    """Spread of the latest value."""
    best: float | None
    """None for metrics without a better side."""
    best_epoch: float | None
    verdict: Literal["better", "worse", ""]
    """The latest value compared with the first."""


def summarise(rows: Sequence[Row]) -> list[Summary]:
    """Summarise every `val/` column except the spreads, in the catalogue's order; other metrics come last."""
    order = list(METRICS)
    columns = [column.removeprefix("val/") for row in rows for column in row.metrics if column.startswith("val/")]
    known = {name: place for place, name in enumerate(order)}
    columns = sorted(dict.fromkeys(columns), key=lambda column: known.get(split(column).metric, len(order)))
    return [_summary(column, rows) for column in columns if split(column).variant != "spread"]


def label(column: str) -> str:
    """Name a column for people: `PSNR, dB · A→B`."""
    metric, variant, domains = split(column)
    title = METRICS[metric].title if metric in METRICS else metric
    return " · ".join(part for part in (title, VARIANTS.get(variant, ""), arrow(domains)) if part)


def arrow(domains: str) -> str:
    """Return `ab` as A→B and `a` as A; longer names stay as they are."""
    return "→".join(domains.upper()) if len(domains) <= 2 else domains


def _summary(column: str, rows: Sequence[Row]) -> Summary:
    measured = [row for row in rows if f"val/{column}" in row.metrics]

    def value(row: Row) -> float:
        return row.metrics[f"val/{column}"]

    first, latest = value(measured[0]), value(measured[-1])
    metric, _, domains = split(column)
    spread = measured[-1].metrics.get("val/" + "_".join(filter(None, (metric, "spread", domains))))
    if not is_selectable(column):
        return Summary(label(column), first, latest, None, None, None, "")
    trained = [row for row in measured if row.images] or measured  # no checkpoint holds the untrained networks
    best = (max if higher_is_better(column) else min)(trained, key=value)
    verdict: Literal["better", "worse", ""] = ""
    if latest != first:
        verdict = "better" if (latest > first) == higher_is_better(column) else "worse"
    return Summary(label(column), first, latest, spread, value(best), best.epoch, verdict)
