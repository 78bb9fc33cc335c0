"""summary.csv, summary.html and the text table of a sweep, from the folders of its jobs alone."""

import base64
import csv
import io
import json
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from statistics import median
from typing import Any
from urllib.parse import quote

import yaml
from PIL import Image

from cyclegan.errors import ImageError
from cyclegan.evaluate.table import number
from cyclegan.files import write_text
from cyclegan.images import read
from cyclegan.report.page import Summary, duration, label, render, summarise
from cyclegan.report.run_files import find_samples, read_rows, read_text
from cyclegan.sweep.charts import Point, importance_chart, joint_chart, key_charts
from cyclegan.sweep.names import short_keys
from cyclegan.sweep.objective import is_maximised
from cyclegan.sweep.objective import objective as read_objective
from cyclegan.sweep.record import Job, asked_of, read_config, read_jobs
from cyclegan.validation.catalogue import METRICS, is_selectable, split

SAMPLE_WIDTH = 400
MAX_SAMPLES = 60
"""Sample grids in a page, some 30 kilobytes each."""


@dataclass(frozen=True)
class Objective:
    """What the jobs of a sweep are compared by."""

    metric: str
    """Column of metrics.csv; empty if unknown."""
    value: str
    """best or last."""

    @property
    def higher(self) -> bool:
        return is_maximised(self.metric)

    def __str__(self) -> str:
        return f"{label(self.metric.removeprefix('val/'))}, {self.value}"


@dataclass(frozen=True)
class Result:
    """A job, and what its files say about it."""

    job: Job
    name: str
    objective: float | None
    """So far, if the job is not done."""
    metrics: Mapping[str, Summary]
    """By column of metrics.csv."""
    images_per_s: float | None
    report: str
    """URL of its report.html, relative to the page; empty if there is none."""


def write_summary(*folders: Path, output: Path | None = None) -> Path:
    """Write `summary.csv` and `summary.html` of a sweep, finished or not, and return the path of the page.

    Args:
        folders: folders whose sub-folders are the jobs; several are one sweep that ran on several machines.
        output: folder to write to; the first of `folders` by default.

    Raises:
        OSError: a file could not be written; an earlier one stays.
    """
    output = output or folders[0]
    output.mkdir(parents=True, exist_ok=True)
    jobs = read_jobs(*folders)
    objective = _objective(folders, jobs)
    results = [_result(job, jobs, objective, output) for job in jobs]
    write_text(output / "summary.csv", _as_csv(results))
    swept = sorted({key for job in jobs for key in job.overrides})
    names = short_keys(swept)
    shares = {names.get(key, key): share for key, share in _importances(folders).items()}
    finished = [result for result in results if result.job.state == "done"]
    page = render(
        "sweep.html",
        title=folders[0].resolve().name,
        counts=Counter(job.state for job in jobs),
        objective=objective,
        keys=names,
        columns=_columns(results),
        results=results,
        best=next(iter(_ranked(finished, objective)), None),
        charts=_charts(finished, names, objective),
        importance=importance_chart(shares) if shares else None,
        samples=_samples(results, objective),
        details={"sweep.yaml": read_text(folders[0] / "sweep.yaml")},
    )
    return write_text(output / "summary.html", page)


def jobs_table(jobs: Sequence[Job]) -> str:
    """Return the state, objective and time of each job as a text table, with the errors of failed jobs."""
    width = max((len(job.folder.name) for job in jobs), default=0)
    lines = [f"{'job':<{width}}  {'state':<8}{'objective':>11}{'time':>11}"]
    for job in jobs:
        objective = "–" if job.objective is None else number(job.objective)
        lines.append(f"{job.folder.name:<{width}}  {job.state:<8}{objective:>11}{duration(job.seconds):>11}")
        lines += [f"  {line}" for line in job.message.splitlines()]
    return "\n".join(lines)


def _objective(folders: Iterable[Path], jobs: Iterable[Job]) -> Objective:
    """Read the objective from sweep.yaml, else from the configuration of one of the runs."""
    for folder in folders:
        asked = yaml.safe_load(read_text(folder / "sweep.yaml")) or {}
        if asked.get("objective"):
            return Objective(asked["objective"], asked.get("objective_value", "best"))
    for job in jobs:
        if config := read_config(job.folder):
            return Objective(*asked_of(config))
    return Objective("", "best")


def _result(job: Job, jobs: Sequence[Job], objective: Objective, output: Path) -> Result:
    table = job.folder / "metrics.csv"
    metrics, speed = _measured(table, table.stat().st_mtime_ns if table.exists() else 0)
    reached = read_objective(job.folder, objective.metric, objective.value) if job.objective is None else job.objective
    relative = Path(os.path.relpath(job.folder, output)).as_posix()
    is_alone = [other.folder.name for other in jobs].count(job.folder.name) == 1
    report = quote(f"{relative}/report.html") if (job.folder / "report.html").exists() else ""
    name = job.folder.name if is_alone else relative
    return Result(job, name, reached, metrics, speed, report)


@cache  # a sweep writes its summary often, and most of its jobs are done
def _measured(table: Path, changed: int) -> tuple[dict[str, Summary], float | None]:
    rows = read_rows(table)
    speeds = [row.metrics["images_per_s"] for row in rows if "images_per_s" in row.metrics]
    return {summary.column: summary for summary in summarise(rows)}, median(speeds) if speeds else None


def _as_csv(results: Sequence[Result]) -> str:
    rows = []
    for result in results:
        row: dict[str, Any] = {"job": result.name, **result.job.overrides, "state": result.job.state}
        row |= {"objective": result.objective, "seconds": result.job.seconds, "images_per_s": result.images_per_s}
        for column, metric in result.metrics.items():
            if metric.best is not None:
                row |= {f"{column}:best": metric.best, f"{column}:best_epoch": metric.best_epoch}
            row[f"{column}:last"] = metric.latest
        rows.append(row | {"message": result.job.message})
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, dict.fromkeys(name for row in rows for name in row), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _columns(results: Sequence[Result]) -> dict[str, str]:
    """Return the labels of the metrics with a better side; those of one direction only where there is no mean."""
    found = {column.removeprefix("val/") for result in results for column in result.metrics}
    chosen = [c for c in found if is_selectable(c) and (not split(c).domains or split(c).metric not in found)]
    order = list(METRICS)
    return {f"val/{c}": label(c) for c in sorted(chosen, key=lambda c: (order.index(split(c).metric), c))}


def _ranked(results: Iterable[Result], objective: Objective) -> list[Result]:
    """Return the results that have an objective, the best first."""
    measured = [result for result in results if result.objective is not None]
    return sorted(measured, key=lambda result: result.objective or 0.0, reverse=objective.higher)


def _charts(finished: Sequence[Result], names: Mapping[str, str], objective: Objective) -> dict[str, Any]:
    """Draw, for the objective and the best of every other metric, a chart of each key and one of all keys."""
    columns = {f"{text}, best": column for column, text in _columns(finished).items()}
    metrics = {
        title: [result.metrics[column].best if column in result.metrics else None for result in finished]
        for title, column in columns.items()
    }
    objectives = {str(objective): [result.objective for result in finished]}
    drawn = {}
    for title, values in (objectives | metrics | objectives).items():  # first, and in place of an equal title
        points = [
            Point(result.name, {names[key]: text for key, text in result.job.overrides.items()}, value)
            for result, value in zip(finished, values, strict=True)
            if value is not None
        ]
        varied = [key for key in names.values() if len({point.values.get(key) for point in points}) > 1]
        factors = [key for key in varied if key != "seed"] or varied  # a seed is a repetition
        complete = [point for point in points if all(key in point.values for key in factors)]
        if factors:
            higher = is_maximised(columns.get(title, objective.metric))
            joint = joint_chart(factors, complete, title, higher) if len(factors) > 1 and complete else None
            drawn[title] = key_charts(factors, points), joint
    return drawn


def _importances(folders: Iterable[Path]) -> dict[str, float]:
    texts = [read_text(folder / "importances.json") for folder in folders]
    return {key: share for text in texts if text for key, share in json.loads(text).items()}


def _samples(results: Sequence[Result], objective: Objective) -> list[tuple[Result, int, str]]:
    """Return the last sample grids of the best jobs, with their epoch and as JPEG in base64."""
    found = []
    unmeasured = [result for result in results if result.objective is None]
    for result in [*_ranked(results, objective), *unmeasured][:MAX_SAMPLES]:
        grids = find_samples(result.job.folder / "samples")
        try:
            found += [(result, epoch, _thumbnail(grids[epoch])) for epoch in list(grids)[-1:]]
        except ImageError:
            continue  # damaged
    return found


def _thumbnail(file: Path) -> str:
    image = Image.fromarray(read(file, at_least=(SAMPLE_WIDTH, 1)))
    image.thumbnail((SAMPLE_WIDTH, image.height))
    encoded = io.BytesIO()
    image.save(encoded, "JPEG", quality=80)
    return base64.b64encode(encoded.getvalue()).decode("ascii")
