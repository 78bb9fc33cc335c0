"""report.html and curve.html: pages that hold their images, styles and plotly, so that they open without a network."""

import gzip
import json
import math
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal, NamedTuple

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from cyclegan.files import write_text
from cyclegan.report.charts import arrow, training_charts, validation_charts
from cyclegan.report.run_files import Row, alarm_periods, read_rows, read_samples, read_text
from cyclegan.validation.catalogue import METRICS, VARIANTS, higher_is_better, is_selectable, split

PROTOCOL_FILE = "validation/protocol.json"
ENVIRONMENT_FILE = "environment.json"
"""Versions and hardware of a run."""


class Summary(NamedTuple):
    """The first, latest and best value of a validation metric."""

    column: str
    """Name of the metric in metrics.csv."""
    label: str
    first: float
    latest: float
    spread: float | None = None
    """Spread of the latest value."""
    best: float | None = None
    """None for metrics without a better side."""
    best_epoch: float | None = None
    verdict: Literal["better", "worse", ""] = ""
    """The latest value compared with the first."""


def write_report(run_dir: Path) -> Path:
    """Write `run_dir/report.html` from the files of a run, finished or not, and return its path.

    A missing file leaves out its section.

    Raises:
        OSError: the report could not be written; an earlier one stays.
    """
    rows = read_rows(run_dir / "metrics.csv")
    details = {name: read_text(run_dir / name) for name in (PROTOCOL_FILE, "config.yaml", ENVIRONMENT_FILE)}
    page = _page(
        title=run_dir.resolve().name,
        rows=rows,
        groups={**validation_charts(rows), **training_charts(rows)},
        alarms=alarm_periods(rows),
        selection=_selection(details[PROTOCOL_FILE]),
        samples=read_samples(run_dir / "samples"),
        details=details,
    )
    return write_text(run_dir / "report.html", page)


def write_curve(rows: Sequence[Mapping[str, float]], file: Path, title: str = "Checkpoints over training") -> Path:
    """Write a page with the metrics of several checkpoints of one run to `file`, and return `file`.

    Args:
        rows: for each checkpoint `images`, `epoch` and its metrics, such as `psnr_ab`.
        file: path of the page.
        title: heading of the page.

    Raises:
        OSError: the page could not be written.
    """
    history = []
    for row in sorted(rows, key=lambda row: row["images"]):
        metrics = {f"val/{name}": float(value) for name, value in row.items() if name not in ("images", "epoch")}
        finite = {name: value for name, value in metrics.items() if math.isfinite(value)}
        history.append(Row(int(row["images"]), float(row["epoch"]), finite))
    groups = validation_charts(history)
    page = _page(title=title, rows=history, groups=groups, alarms=[], selection="", samples={}, details={})
    return write_text(file, page)


def summarise(rows: Sequence[Row]) -> list[Summary]:
    """Summarise every `val/` column except the spreads, in the catalogue's order; other metrics come last."""
    columns = [column.removeprefix("val/") for row in rows for column in row.metrics if column.startswith("val/")]
    order = {name: place for place, name in enumerate(METRICS)}
    columns = sorted(dict.fromkeys(columns), key=lambda column: order.get(split(column).metric, len(order)))
    return [_summary(column, rows) for column in columns if split(column).variant != "spread"]


def _summary(column: str, rows: Sequence[Row]) -> Summary:
    name = f"val/{column}"
    measured = [row for row in rows if name in row.metrics]
    first, latest = measured[0].metrics[name], measured[-1].metrics[name]
    if not is_selectable(column):
        return Summary(name, label(column), first, latest)
    metric, _, domains = split(column)
    spread = measured[-1].metrics.get("val/" + "_".join(filter(None, (metric, "spread", domains))))
    trained = [row for row in measured if row.images] or measured  # no checkpoint holds the untrained networks
    best = (max if higher_is_better(column) else min)(trained, key=lambda row: row.metrics[name])
    verdict: Literal["better", "worse", ""] = ""
    if latest != first:
        verdict = "better" if (latest > first) == higher_is_better(column) else "worse"
    return Summary(name, label(column), first, latest, spread, best.metrics[name], best.epoch, verdict)


def label(column: str) -> str:
    """Name a column for people: `PSNR, dB · A→B`."""
    metric, variant, domains = split(column)
    title = METRICS[metric].title if metric in METRICS else metric
    return " · ".join(part for part in (title, VARIANTS.get(variant, ""), arrow(domains)) if part)


def number(value: float) -> str:
    """Format a metric with four significant digits, or two below 0.001."""
    return f"{value:.{2 if abs(value) < 0.001 else 4}g}".replace("-", "−")


def _epoch(value: float | None) -> str:
    return "–" if value is None else f"{round(value, 2):g}"


def duration(seconds: float) -> str:
    """Format a time in hours and minutes, or in seconds: 2 h 05 min."""
    minutes = round(seconds / 60)
    if minutes >= 60:
        return f"{minutes // 60} h {minutes % 60:02} min"
    return f"{minutes} min" if seconds >= 100 else f"{seconds:.0f} s" if seconds else "–"


def render(template: str, **values: Any) -> str:
    """Return a page from a template in `templates`, with the values that it asks for."""
    environment = Environment(
        loader=PackageLoader("cyclegan.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(number=number, epoch=_epoch, duration=duration)
    # plotly.js alone: the Python package plotly, which it was copied from, takes 66 MB.
    packed = files("cyclegan.report").joinpath("plotly", "plotly.min.js.gz").read_bytes()
    plotly = Markup(gzip.decompress(packed).decode())  # noqa: S704
    return environment.get_template(template).render(plotly=plotly, **values)


def _page(*, rows: Sequence[Row], **values: Any) -> str:
    return render("page.html", last=rows[-1] if rows else None, summaries=summarise(rows), **values)


def _selection(protocol: str) -> str:
    """Return the remark in the protocol about images that also choose `best.ckpt`; empty if there is none."""
    try:
        return str(json.loads(protocol).get("selection", ""))
    except (ValueError, AttributeError):
        return ""
