"""report.html and curve.html: pages that hold their images, styles and plotly, so that they open without a network."""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from cyclegan.files import write_text
from cyclegan.report.charts import training_charts, validation_charts
from cyclegan.report.environment import ENVIRONMENT_FILE
from cyclegan.report.run_files import Row, alarm_periods, read_rows, read_samples, read_text
from cyclegan.report.summary import summarise

REPORT_FILE = "report.html"
PROTOCOL_FILE = "validation/protocol.json"


def write_report(run_dir: Path) -> Path:
    """Write `run_dir/report.html` from the files of the run folder; missing files leave their section empty.

    Args:
        run_dir: the folder of a run, finished or not.

    Returns:
        the path of the report.

    Raises:
        OSError: the report could not be written; an earlier one stays.
    """
    rows = read_rows(run_dir / "metrics.csv")
    details = {name: read_text(run_dir / name) for name in (PROTOCOL_FILE, "config.yaml", ENVIRONMENT_FILE)}
    page = _render(
        title=run_dir.resolve().name,
        rows=rows,
        groups=[*validation_charts(rows), *training_charts(rows)],
        alarms=alarm_periods(rows),
        selection=_selection(details[PROTOCOL_FILE]),
        samples=read_samples(run_dir / "samples"),
        details=details,
    )
    return write_text(run_dir / REPORT_FILE, page)


def write_curve(rows: Sequence[Mapping[str, float]], file: Path, title: str = "Checkpoints over training") -> Path:
    """Write a page with the metrics of several checkpoints of one run.

    Args:
        rows: for each checkpoint `images`, `epoch` and its metrics, such as `psnr_ab`.
        file: path of the page.
        title: heading of the page.

    Returns:
        `file`.

    Raises:
        OSError: the page could not be written.
    """
    history = []
    for row in sorted(rows, key=lambda row: row["images"]):
        metrics = {f"val/{name}": float(value) for name, value in row.items() if name not in ("images", "epoch")}
        finite = {name: value for name, value in metrics.items() if math.isfinite(value)}
        history.append(Row(int(row["images"]), float(row["epoch"]), finite))
    groups = validation_charts(history)
    page = _render(title=title, rows=history, groups=groups, alarms=[], selection="", samples=[], details={})
    return write_text(file, page)


def _render(*, rows: Sequence[Row], **values: Any) -> str:
    environment = Environment(
        loader=PackageLoader("cyclegan.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(number=number, epoch=epoch)
    template = environment.get_template("page.html")
    plotly = Markup(get_plotlyjs())  # noqa: S704
    return template.render(last=rows[-1] if rows else None, summaries=summarise(rows), plotly=plotly, **values)


def _selection(protocol: str) -> str:
    """Return the remark in the protocol about images that also choose `best.ckpt`; empty if there is none."""
    try:
        return str(json.loads(protocol).get("selection", ""))
    except (ValueError, AttributeError):
        return ""


def number(value: float) -> str:
    """Format a metric with four significant digits, or two below 0.001."""
    return f"{value:.{2 if abs(value) < 0.001 else 4}g}".replace("-", "−")


def epoch(value: float | None) -> str:
    """Format an epoch, which has a fraction within the epoch."""
    return "–" if value is None else f"{round(value, 2):g}"
