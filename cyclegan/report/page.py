"""The pages: one file each, with its images, its styles and plotly inside; a browser fetches nothing."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from cyclegan.files import write_text
from cyclegan.report.curves import ChartGroup, training_curves, validation_curves
from cyclegan.report.run_files import Alarm, Row, RunFiles, read_run
from cyclegan.report.samples import embed
from cyclegan.report.summary import main_metrics, summarise

REPORT_FILE = "report.html"


def write_report(run_dir: Path) -> Path:
    """Writes `run_dir/report.html` from what the run folder holds; a section whose files are missing says so.

    Args:
        run_dir: the folder of a run, finished or not.

    Returns:
        The file.

    Raises:
        OSError: it could not be written; an earlier report stays as it was.
    """
    return write_text(run_dir / REPORT_FILE, report_page(read_run(run_dir)))


def write_curve(rows: Sequence[Mapping[str, float]], file: Path, title: str = "Checkpoints over training") -> Path:
    """Writes a page with a chart of every metric that was measured of several checkpoints.

    Args:
        rows: of each checkpoint `images`, `epoch` and its metrics, such as `psnr_ab`.
        file: where the page goes.
        title: its heading.

    Returns:
        The file.

    Raises:
        OSError: it could not be written.
    """
    history = [
        Row(
            int(row["images"]),
            float(row["epoch"]),
            {f"val/{k}": float(v) for k, v in row.items() if k not in ("images", "epoch") and math.isfinite(v)},
        )
        for row in sorted(rows, key=lambda row: row["images"])
    ]
    groups = validation_curves(history)
    return write_text(
        file,
        render("checkpoints.html", title=title, groups=groups, charts=traces(groups), summaries=summarise(history)),
    )


def report_page(run: RunFiles) -> str:
    """The page of a run."""
    training, validation = training_curves(run.rows), validation_curves(run.rows)
    summaries = summarise(run.rows)
    return render(
        "report.html",
        title=run.name,
        run=run,
        last=run.rows[-1] if run.rows else None,
        active=active(run.alarms or []),
        main=main_metrics(summaries),
        groups=[*validation, *training],
        has_losses=bool(training),
        charts=traces([*validation, *training]),
        images=embed(run.samples),
        summaries=summaries,
        protocol=list(lines(run.protocol or {})),
    )


def render(template: str, **values: Any) -> str:
    """Fills a template; every value is escaped, but for the two scripts that are made here."""
    return templates().get_template(template).render(**values, plotly=Markup(get_plotlyjs()))  # noqa: S704


@cache
def templates() -> Environment:
    """The templates beside this file."""
    environment = Environment(
        loader=PackageLoader("cyclegan.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(number=number, spread=spread, epoch=epoch)
    return environment


def traces(groups: Sequence[ChartGroup]) -> Markup:
    """The charts as JSON that may stand in a script element: no character of it ends the element, or begins another."""
    text = json.dumps({chart.key: chart.figure for group in groups for chart in group.charts}, allow_nan=False)
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)  # noqa: S704


def active(alarms: Sequence[Alarm]) -> list[Alarm]:
    """The alarms that were raised and not cleared since, the latest first."""
    latest = {alarm.name: alarm for alarm in alarms}
    return sorted((alarm for alarm in latest.values() if alarm.raised), key=lambda alarm: -alarm.images)


def lines(record: Mapping[str, Any], depth: int = 0) -> Iterator[tuple[int, str, str | None]]:
    """A nested record as lines of a table: depth, key and value; None where lines of the next depth follow."""
    for key, value in record.items():
        if isinstance(value, Mapping) and value:
            yield depth, str(key), None
            yield from lines(value, depth + 1)
        elif isinstance(value, list) and any(isinstance(item, Mapping | list) for item in value):
            yield depth, str(key), None
            yield from lines({str(place): item for place, item in enumerate(value, 1)}, depth + 1)
        else:
            yield depth, str(key), plain(value)


def plain(value: Any) -> str:
    """A value of a record in words."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(map(plain, value))
    if isinstance(value, float):
        return f"{value:g}"
    return "–" if value is None or value == {} else f"{value:,}" if isinstance(value, int) else str(value)


def number(value: float) -> str:
    """A metric with four significant digits, or two below 0.001, where more would be noise."""
    return f"{value:.{2 if abs(value) < 0.001 else 4}g}".replace("-", "−")


def spread(value: float) -> str:
    """Two digits of a spread, which is known no better."""
    return f"{value:.2g}"


def epoch(value: float | None) -> str:
    """`epoch 7`, or `epoch 7.25` within one, on one line."""
    return "epoch\u00a0unknown" if value is None else f"epoch\u00a0{round(value, 2):g}"
