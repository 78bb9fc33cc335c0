"""Curves over images seen: which metrics share a chart, and the charts as plotly draws them."""

import html
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import plotly.graph_objects as go

from cyclegan.report.names import GROUPS, SYMPTOMS, Group, arrow, split, title
from cyclegan.report.run_files import Row
from cyclegan.validation.catalogue import higher_is_better

MAX_POINTS = 600
"""Of a curve; a screen shows no more. Where more rows were logged, a point is the mean of neighbouring rows."""

COLOURS = 4
"""The style sheet names the colours --curve-0 to --curve-3, and --curve-mean."""


class Series(NamedTuple):
    """A metric at the positions where it was logged."""

    images: list[int]
    epochs: list[float | None]
    values: list[float]


class Chart(NamedTuple):
    """One chart of a page."""

    key: str
    title: str
    hint: str
    description: str
    """For those who cannot see the curves."""
    figure: dict[str, Any]
    """Traces as `Plotly.newPlot` takes them."""


class ChartGroup(NamedTuple):
    """Charts under one heading."""

    title: str
    note: str
    charts: list[Chart]
    is_open: bool = True


def series_of(rows: Sequence[Row], prefix: str) -> dict[str, Series]:
    """Every metric whose column begins with `prefix`, by its name without it."""
    found: dict[str, Series] = {}
    for row in rows:
        for column, value in row.metrics.items():
            if column.startswith(prefix):
                series = found.setdefault(column.removeprefix(prefix), Series([], [], []))
                series.images.append(row.images)
                series.epochs.append(row.epoch)
                series.values.append(value)
    return found


def training_curves(rows: Sequence[Row]) -> list[ChartGroup]:
    """Losses, a chart for each term, and the learning rates."""
    losses, rates = series_of(rows, "train/"), series_of(rows, "lr/")
    note = "Losses with their weights, as they are trained on."
    if any(len(series.values) > MAX_POINTS for series in losses.values()):
        note += f" A point is the mean of neighbouring rows, {MAX_POINTS} points a curve."
    charts = charts_by_stem(losses, "train", lambda stem: "", mode="lines")
    if rates:
        # They are often one: dashes let the first be seen under the others.
        traces = [trace(s, name, i, i > 0, mode="lines") for i, (name, s) in enumerate(rates.items())]
        charts.append(draw("lr", "Learning rate", "", traces))
    return [ChartGroup("Losses and learning rate", note, charts)] if charts else []


def validation_curves(rows: Sequence[Row]) -> list[ChartGroup]:
    """Metrics of held-out images, in the groups of `names`; those that no group names come under Others."""
    metrics = series_of(rows, "val/")
    named = {stem for group in (*GROUPS, SYMPTOMS) for stem in group.stems}
    others = Group("Others", "", tuple(dict.fromkeys(stem for stem in map(stem_of, metrics) if stem not in named)))
    groups = []
    for group in (*GROUPS, others, SYMPTOMS):
        members = {name: metrics[name] for stem in group.stems for name in metrics if stem_of(name) == stem}
        charts = charts_by_stem(members, "val", lambda stem: "" if stem in SYMPTOMS.stems else better(stem))
        groups.append(ChartGroup(group.title, group.note, charts, is_open=group is not SYMPTOMS))
    return [group for group in groups if group.charts]


def charts_by_stem(
    metrics: dict[str, Series], kind: str, hint: Callable[[str], str], mode: str = "lines+markers"
) -> list[Chart]:
    """A chart for each stem, with a curve for each direction and variant."""
    charts: list[Chart] = []
    for stem in dict.fromkeys(map(stem_of, metrics)):
        names = [name for name in metrics if stem_of(name) == stem and split(name).variant != "spread"]
        directions = list(dict.fromkeys(split(name).direction for name in names if split(name).direction))
        traces = []
        for name in names:
            _, variant, direction = split(name)
            spread = metrics.get("_".join(part for part in (stem, "spread", direction) if part))
            label = " ".join(part for part in (variant, arrow(direction)) if part)
            curve = trace(
                metrics[name],
                label or ("mean" if directions else title(stem)),
                directions.index(direction) if direction else None,
                is_dashed=variant in ("copied", "real"),
                mode="lines" if variant == "copied" else mode,
                spread=spread if not variant else None,
            )
            curve.showlegend = variant != "copied"  # the note of the group says what these are
            traces.append(curve)
        if traces:
            charts.append(draw(f"{kind}-{len(charts)}-{stem}", title(stem), hint(stem), traces))
    return charts


def trace(
    series: Series, label: str, colour: int | None, is_dashed: bool, mode: str, spread: Series | None = None
) -> go.Scatter:
    """One curve.

    Args:
        series: what is drawn.
        label: its name in the legend.
        colour: which of the style sheet's colours; None for that of a mean.
        is_dashed: of a baseline.
        mode: plotly's; whether there are markers.
        spread: half the height of the bars, where one was logged at the same position.
    """
    thinned = thin(series)
    bars = dict(zip(spread.images, spread.values, strict=True)) if spread and thinned is series else {}
    has_epochs = None not in thinned.epochs
    return go.Scatter(
        x=thinned.images,
        y=thinned.values,
        customdata=thinned.epochs if has_epochs else None,
        name=html.escape(label),  # plotly takes a legend for a kind of HTML
        meta="mean" if colour is None else str(colour % COLOURS),
        # A single point has no line, and hundreds of markers hide theirs.
        mode="markers" if len(thinned.values) == 1 else "lines" if len(thinned.values) > 60 else mode,
        line={"dash": "dash", "width": 1.5} if is_dashed else {"width": 2},
        error_y={"type": "data", "array": [bars.get(x, 0.0) for x in thinned.images], "thickness": 1} if bars else None,
        hovertemplate="%{y:.4~g}" + ("  ·  epoch %{customdata:.3~f}" if has_epochs else ""),
    )


def thin(series: Series) -> Series:
    """At most MAX_POINTS points, each the mean of neighbouring ones."""
    if len(series.values) <= MAX_POINTS:
        return series

    def means(numbers: Iterable[float]) -> list[float]:
        return [float(part.mean()) for part in np.array_split(np.array(list(numbers), dtype=np.float64), MAX_POINTS)]

    epochs = [epoch for epoch in series.epochs if epoch is not None]
    known = len(epochs) == len(series.epochs)
    return Series(
        [round(images) for images in means(series.images)],
        list(means(epochs)) if known else [None] * MAX_POINTS,
        means(series.values),
    )


def draw(key: str, heading: str, hint: str, traces: list[go.Scatter]) -> Chart:
    """Puts curves into a chart; colours and sizes are the page's business."""
    ends = [f"{html.unescape(t.name)} from {t.y[0]:.4g} to {t.y[-1]:.4g}" for t in traces]
    figure = go.Figure(traces).to_plotly_json()
    return Chart(key, heading, hint, f"{heading} over images seen: {'; '.join(ends)}", {"data": figure["data"]})


def stem_of(name: str) -> str:
    """What the chart of a metric is named for."""
    return split(name).stem


def better(stem: str) -> str:
    """Which way to hope."""
    return "higher is better" if higher_is_better(stem) else "lower is better"
