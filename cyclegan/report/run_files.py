"""What a run folder says of its run; whatever is missing or damaged there is left out, and said."""

import csv
import json
import math
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from cyclegan.report.environment import ENVIRONMENT_FILE

Record = TypeVar("Record")


class Row(NamedTuple):
    """Metrics that were logged at one position of the run."""

    images: int
    epoch: float | None
    metrics: dict[str, float]
    """Finite numbers only, by their names in metrics.csv, such as `train/adv_ab`."""


class Alarm(NamedTuple):
    """An alarm that was raised or cleared."""

    images: int
    epoch: float | None
    name: str
    raised: bool
    text: str


class RunFiles(NamedTuple):
    """A run folder, read. None stands for a file that is missing or cannot be read."""

    name: str
    updated: datetime | None
    """When the run last wrote metrics, in UTC."""
    rows: list[Row]
    alarms: list[Alarm] | None
    samples: dict[int, Path]
    """The sample grids by epoch, in order."""
    protocol: dict[str, Any] | None
    config: str | None
    environment: dict[str, Any] | None
    damaged: dict[str, int]
    """Lines that were passed over, by file."""


def read_run(run_dir: Path) -> RunFiles:
    """Reads a run folder; images are listed and not opened."""
    rows, damaged_rows = read_rows(run_dir / "metrics.csv")
    alarms, damaged_alarms = read_alarms(run_dir / "alarms.jsonl")
    damaged = {"metrics.csv": damaged_rows, "alarms.jsonl": damaged_alarms}
    return RunFiles(
        name=run_dir.resolve().name,
        updated=changed(run_dir / "metrics.csv"),
        rows=rows,
        alarms=alarms,
        samples=list_samples(run_dir / "samples"),
        protocol=read_record(run_dir / "validation" / "protocol.json"),
        config=read_text(run_dir / "config.yaml"),
        environment=read_record(run_dir / ENVIRONMENT_FILE),
        damaged={file: lines for file, lines in damaged.items() if lines},
    )


def read_rows(path: Path) -> tuple[list[Row], int]:
    """The rows of a metrics.csv whose first column is the position, and how many lines were damaged."""
    text = read_text(path)
    if not text:
        return [], 0
    header, _, body = text.partition("\n")
    columns = next(csv.reader([header]), [])

    def parse(line: str) -> Row:
        cells = line.rstrip("\r").split(",")
        if len(cells) != len(columns):
            raise ValueError(f"{len(cells)} cells for {len(columns)} columns")
        numbers = {name: float(cell) for name, cell in zip(columns, cells, strict=True) if cell}
        images = int(numbers.pop(columns[0]))
        finite = {name: value for name, value in numbers.items() if math.isfinite(value)}
        return Row(images, finite.pop("epoch", None), finite)

    return each_line(body, parse)


def read_alarms(path: Path) -> tuple[list[Alarm] | None, int]:
    """The lines of an alarms.jsonl, and how many were damaged."""
    text = read_text(path)
    if text is None:
        return None, 0

    def parse(line: str) -> Alarm:
        entry = json.loads(line)
        raised = {"raised": True, "cleared": False}[entry["state"]]
        epoch = None if entry.get("epoch") is None else float(entry["epoch"])
        return Alarm(int(entry["images"]), epoch, str(entry["alarm"]), raised, str(entry.get("text", "")))

    return each_line(text, parse)


def each_line(text: str, parse: Callable[[str], Record]) -> tuple[list[Record], int]:
    """What the lines hold, and how many could not be read; one without its line break was torn off."""
    *lines, torn = text.split("\n")
    records, damaged = [], int(bool(torn.strip()))
    for line in lines:
        if not line.strip():
            continue
        try:
            records.append(parse(line))
        except (ValueError, LookupError, TypeError, AttributeError, OverflowError):
            damaged += 1
    return records, damaged


def list_samples(folder: Path) -> dict[int, Path]:
    """The files `epochNNNN.jpg` by epoch."""
    found = {path.stem.removeprefix("epoch").removeprefix("="): path for path in folder.glob("epoch*.jpg")}
    return {int(epoch): found[epoch] for epoch in sorted(filter(str.isdecimal, found), key=int)}


def read_record(path: Path) -> dict[str, Any] | None:
    """A JSON file that holds one object."""
    try:
        found = json.loads(read_text(path) or "")
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def read_text(path: Path) -> str | None:
    """A text file; bytes that are no UTF-8 are replaced."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None


def changed(path: Path) -> datetime | None:
    """When a file was last written."""
    try:
        return datetime.fromtimestamp(path.stat().st_mtime, UTC)
    except OSError:
        return None
