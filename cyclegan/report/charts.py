"""Charts as HTML for plotly.js, and those of losses and metrics over images seen."""

import html
import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple
from uuid import uuid4

from cyclegan.report.run_files import Row
from cyclegan.validation.catalogue import GROUPS, METRICS, Group, split

MAX_POINTS = 1000
"""Points of a curve; of longer histories every second, third or n-th row is drawn."""

COLOURS = ("#3f7fcf", "#d9742b", "#3a9d7c", "#9a6bc4")
GREY = "#868c94"
"""Readable on the light and on the dark page, as are COLOURS."""

AXIS = {"color": GREY, "gridcolor": "rgba(134, 140, 148, 0.2)", "zeroline": False, "automargin": True, "nticks": 6}
LAYOUT: dict[str, Any] = {
    "paper_bgcolor": "rgba(0, 0, 0, 0)",
    "plot_bgcolor": "rgba(0, 0, 0, 0)",
    "font": {"color": GREY, "size": 12},
    "margin": {"l": 8, "r": 12, "t": 8, "b": 8},
    "hovermode": "x unified",
    "hoverlabel": {"bgcolor": "#2a2e33", "font": {"color": "#f0f0f0"}},
    "showlegend": True,
    "legend": {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom", "bgcolor": "rgba(0, 0, 0, 0)"},
    "xaxis": {**AXIS, "showgrid": False, "tickformat": "~s", "unifiedhovertitle": {"text": "%{x:,} images"}},
    "yaxis": {**AXIS, "exponentformat": "power"},
}
CONFIG = {"displayModeBar": False, "responsive": True}

LOSS_TITLES = {"adv": "Adversarial", "disc": "Discriminators", "nce": "PatchNCE"}
LOSSES = Group("Losses and learning rate", "Losses multiplied by their weights.")
OTHERS = Group("Others", "")


class Chart(NamedTuple):
    """One chart of a page."""

    title: str
    hint: str
    html: str


def training_charts(rows: Sequence[Row]) -> dict[Group, list[Chart]]:
    """Draw a chart for each term of the loss, and one of the learning rates."""
    losses = _columns(rows, "train/")
    charts = [
        chart(LOSS_TITLES.get(term, term.capitalize()), "", [_curve(rows, "train/", name, same) for name in same])
        for term, same in _by_metric(losses).items()
    ]
    if groups := _columns(rows, "lr/"):
        curves = [_curve(rows, "lr/", name, groups) for name in groups]
        for place, curve in enumerate(curves):
            curve["name"] = html.escape(groups[place])
            curve["line"]["dash"] = "dash" if place else "solid"  # often equal: the first shows between the dashes
        charts.append(chart("Learning rate", "", curves))
    return {LOSSES: charts} if charts else {}


def validation_charts(rows: Sequence[Row]) -> dict[Group, list[Chart]]:
    """Draw a chart for each metric, in the catalogue's groups; metrics that it does not list are under Others."""
    by_metric = _by_metric(_columns(rows, "val/"))
    grouped: dict[Group, list[Chart]] = {group: [] for group in (*GROUPS, OTHERS)}
    known = [name for name in METRICS if name in by_metric]
    for name in dict.fromkeys([*known, *by_metric]):
        metric = METRICS.get(name)
        hint = f"{metric.better} is better" if metric and metric.better else ""
        columns = [column for column in by_metric[name] if split(column).variant != "spread"]
        curves = [_curve(rows, "val/", column, columns) for column in columns]
        grouped[metric.group if metric else OTHERS].append(chart(metric.title if metric else name, hint, curves))
    return {group: charts for group, charts in grouped.items() if charts}


def arrow(domains: str) -> str:
    """Return `ab` as A→B and `a` as A; longer names stay as they are."""
    return "→".join(domains.upper()) if len(domains) <= 2 else domains


def _columns(rows: Sequence[Row], prefix: str) -> list[str]:
    found = dict.fromkeys(column for row in rows for column in row.metrics if column.startswith(prefix))
    return [column.removeprefix(prefix) for column in found]


def _by_metric(columns: Sequence[str]) -> dict[str, list[str]]:
    grouped: dict[str, list[str]] = {}
    for column in columns:
        grouped.setdefault(split(column).metric, []).append(column)
    return grouped


def _curve(rows: Sequence[Row], prefix: str, column: str, same: Sequence[str]) -> dict[str, Any]:
    """Draw a column; `same` holds all columns of its chart, among which its colour is chosen."""
    metric, variant, domains = split(column)
    logged = [row for row in rows if prefix + column in row.metrics]
    logged = logged[:: -(-len(logged) // MAX_POINTS)]
    colours = list(dict.fromkeys(split(name).domains for name in same if split(name).domains))
    spread_column = prefix + "_".join(filter(None, (metric, "spread", domains)))
    spread = [row.metrics.get(spread_column, 0.0) for row in logged] if not variant else []
    without_domains = "mean" if prefix == "val/" and len(same) > 1 else metric
    name = " ".join(filter(None, (variant, arrow(domains)))) or without_domains
    curve = {
        "type": "scatter",
        "x": [row.images for row in logged],
        "y": [row.metrics[prefix + column] for row in logged],
        "customdata": [row.epoch for row in logged],
        "name": html.escape(name),  # plotly reads names as HTML
        "mode": "lines+markers" if len(logged) <= 60 and variant != "copied" else "lines",
        "line": {
            "color": COLOURS[colours.index(domains) % len(COLOURS)] if domains else GREY,
            "dash": "dash" if variant in ("copied", "real") else "solid",
        },
        "hovertemplate": "%{y:.4~g} · epoch %{customdata:.3~f}",
    }
    return {**curve, "error_y": {"array": spread, "thickness": 1}} if any(spread) else curve


def chart(title: str, hint: str, traces: Sequence[Mapping[str, Any]], **layout: Any) -> Chart:
    """Draw plotly's traces with the layout of all pages; `layout` changes it, key by key within an axis."""
    merged = {**LAYOUT, **layout}
    for axis in ("xaxis", "yaxis"):
        merged[axis] = {**LAYOUT[axis], **layout.get(axis, {})}
    height = f"{layout['height']}px" if "height" in layout else "16rem"
    name = f"chart-{uuid4()}"
    arguments = ", ".join(
        json.dumps(argument, separators=(",", ":")) for argument in (name, list(traces), merged, CONFIG)
    )
    script = f"Plotly.newPlot({arguments})".replace("<", "\\u003c")  # no text may close the script
    return Chart(
        title, hint, f'<div id="{name}" style="height: {height}; width: 100%"></div>\n<script>{script}</script>'
    )
