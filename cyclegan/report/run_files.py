"""The files of a run folder that the report shows. Missing or damaged files count as empty."""

import base64
import csv
import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

MAX_SAMPLES = 24
"""Sample grids in a report, which are some hundred kilobytes each."""


class Row(NamedTuple):
    """The metrics that were logged at one position of the run."""

    images: int
    """Images seen of each domain."""
    epoch: float | None
    metrics: dict[str, float]
    """Finite values by their column in metrics.csv, such as `train/adv_ab`."""


class AlarmPeriod(NamedTuple):
    """The epochs during which an alarm was active."""

    name: str
    raised: float | None
    cleared: float | None = None
    """None: it is active still."""


def read_rows(file: Path) -> list[Row]:
    """Read the rows of a metrics.csv, whose first column is the number of images; skip rows that hold no numbers."""
    rows = []
    for record in csv.DictReader(read_text(file).splitlines()):
        images, *_ = record  # the name of the first column
        try:
            values = {column: float(cell) for column, cell in record.items() if cell}
            position = int(values.pop(images))
        except (ValueError, TypeError, LookupError, OverflowError):
            continue
        finite = {column: value for column, value in values.items() if math.isfinite(value)}
        rows.append(Row(position, finite.pop("epoch", None), finite))
    return rows


def alarm_periods(rows: Sequence[Row]) -> list[AlarmPeriod]:
    """Return when each alarm was active, from the columns `alarm/<name>`; active alarms first, then the latest."""
    raised: dict[str, float | None] = {}
    past = []
    for row in rows:
        for column, value in row.metrics.items():
            kind, _, name = column.partition("/")
            if kind == "alarm" and value:
                raised.setdefault(name, row.epoch)
            elif kind == "alarm" and name in raised:
                past.append(AlarmPeriod(name, raised.pop(name), row.epoch))
    return [*(AlarmPeriod(name, epoch) for name, epoch in raised.items()), *reversed(past)]


def find_samples(folder: Path) -> dict[int, Path]:
    """Return the sample grids `epochNNNN.jpg` by epoch, in this order."""
    # "=": runs before version 0.2 wrote epoch=0010.jpg
    names = {path.stem.removeprefix("epoch").lstrip("="): path for path in folder.glob("epoch*.jpg")}
    return {int(epoch): names[epoch] for epoch in sorted(filter(str.isdecimal, names), key=int)}


def read_samples(folder: Path) -> dict[int, str]:
    """Read the sample grids as base64, by epoch: at most MAX_SAMPLES, evenly spaced."""
    found = find_samples(folder)
    epochs = list(found)
    count = min(len(epochs), MAX_SAMPLES)
    chosen = [epochs[i * (len(epochs) - 1) // max(count - 1, 1)] for i in range(count)]
    return {epoch: base64.b64encode(found[epoch].read_bytes()).decode("ascii") for epoch in chosen}


def read_text(file: Path) -> str:
    """Read a text file; empty if it is missing."""
    try:
        return file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
