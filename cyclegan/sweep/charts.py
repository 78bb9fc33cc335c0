"""Charts of a metric against what the jobs of a sweep changed."""

import html
import math
from collections.abc import Iterable, Mapping, Sequence
from statistics import mean, stdev
from typing import Any, Literal, NamedTuple

from cyclegan.report.charts import AXIS, COLOURS, GREY, Chart, chart
from cyclegan.report.page import number
from cyclegan.sweep.record import natural

WIDE = 20
"""Positive numbers whose largest is this many times the smallest are on a logarithmic axis."""

MAX_TICKS = 8
LAYOUT = {"hovermode": "closest", "showlegend": False}
HOVER = "%{text}<extra></extra>"


class Point(NamedTuple):
    """What a job changed, and a metric of it."""

    job: str
    values: Mapping[str, str]
    metric: float

    def __str__(self) -> str:
        return f"{number(self.metric)} · {html.escape(self.job)}"  # plotly reads texts as HTML


class Scale:
    """The axis of a key: numbers at their value, linear or logarithmic, or words one after another.

    Args:
        values: the values of the key, as texts.
    """

    def __init__(self, values: Iterable[str]) -> None:
        distinct = sorted(set(values), key=natural)
        self.kind: Literal["linear", "log", "words"] = "linear"
        try:
            self.places = dict(sorted({text: float(text) for text in distinct}.items(), key=lambda item: item[1]))
        except ValueError:
            self.kind = "words"
            self.places = {text: float(index) for index, text in enumerate(distinct)}
        low, *_, high = (*self.places.values(), *self.places.values())
        if self.kind == "linear" and low > 0 and high / low >= WIDE:
            self.kind = "log"

    def heights(self) -> dict[str, float]:
        """Return the values between 0 and 1, the lowest and the highest on the axis."""
        places = {text: math.log10(place) if self.kind == "log" else place for text, place in self.places.items()}
        low, high = min(places.values()), max(places.values())
        return {text: (place - low) / (high - low) if high > low else 0.5 for text, place in places.items()}

    def labels(self) -> dict[str, str]:
        """Return texts for the axis by value: of all, without those too close to the last, or of the ends of many."""
        if self.kind == "words":
            return {text: html.escape(text if len(text) <= 20 else f"{text[:19]}…") for text in self.places}
        heights, shown = self.heights(), list(self.places)[:1]
        for text in self.places:
            if heights[text] - heights[shown[-1]] >= (1 if len(heights) > MAX_TICKS else 0.08):
                shown.append(text)
        return {text: text if len(text) <= 7 else f"{self.places[text]:.3g}" for text in shown}

    def axis(self, title: str = "") -> dict[str, Any]:
        """Return the attributes of plotly's axis, which chooses the labels if there are many numbers."""
        axis = {
            **AXIS,
            "title": {"text": html.escape(title)},
            "showgrid": True,
            "tickformat": "",
            "exponentformat": "e",
        }
        axis["type"] = "log" if self.kind == "log" else "linear"
        if self.kind == "words":
            axis |= {"range": [-0.5, len(self.places) - 0.5], "ticklabeloverflow": "allow"}
        elif len(self.places) > MAX_TICKS:
            return axis
        labels = self.labels()
        return {**axis, "tickvals": [self.places[text] for text in labels], "ticktext": list(labels.values())}


def key_charts(keys: Iterable[str], points: Sequence[Point]) -> list[Chart]:
    """Draw, for each key, the metric of every job against its value, with the mean and standard deviation."""
    return [_key_chart(key, [point for point in points if key in point.values]) for key in keys]


def _key_chart(key: str, points: Sequence[Point]) -> Chart:
    scale = Scale(point.values[key] for point in points)
    groups = [[point.metric for point in points if point.values[key] == value] for value in scale.places]
    dots = _dots(points, [scale.places[point.values[key]] for point in points], [point.metric for point in points])
    means = {
        "type": "scatter",
        "x": list(scale.places.values()),
        "y": [mean(group) for group in groups],
        "error_y": {"array": [stdev(group) if len(group) > 1 else 0.0 for group in groups]},
        "text": [f"{_mean_text(group)}, {len(group)} job{'s' * (len(group) > 1)}" for group in groups],
        "mode": "markers" if scale.kind == "words" else "lines+markers",
        "marker": {"color": COLOURS[0], "size": 8},
        "hovertemplate": HOVER,
    }
    has_repeats = len(groups) < len(points)
    return chart(key, "", [dots, means] if has_repeats else [dots], **LAYOUT, xaxis=scale.axis())


def joint_chart(keys: Sequence[str], points: Sequence[Point], title: str, higher: bool) -> Chart:
    """Draw a metric against two keys as a heat map or, if few combinations ran, as dots; more keys as parallel lines.

    Args:
        keys: two or more.
        points: one job or more, which have all keys.
        title: name of the metric.
        higher: whether higher values of the metric are better.
    """
    scales = {key: Scale(point.values[key] for point in points) for key in keys}
    if len(keys) > 2:
        return _parallel_lines(scales, points, title, higher)
    across, up = (scale.places for scale in scales.values())
    jobs = [(point.values[keys[0]], point.values[keys[1]]) for point in points]
    bar = {"thickness": 12, "outlinewidth": 0}
    colours: dict[str, Any] = {"colorscale": "Viridis", "reversescale": not higher, "colorbar": bar}
    xaxis, yaxis = (scale.axis(key) for key, scale in scales.items())
    if len(across) * len(up) > 2 * len(points):
        trace = _dots(points, [across[x] for x, _ in jobs], [up[y] for _, y in jobs])
        trace["marker"] = {"size": 12, "color": [point.metric for point in points], **colours}
    else:
        xaxis, yaxis = ({**axis, "type": "category", "tickvals": None, "showgrid": False} for axis in (xaxis, yaxis))
        cells = [
            [[point.metric for point, job in zip(points, jobs, strict=True) if job == (x, y)] for x in across]
            for y in up
        ]
        trace = {
            "type": "heatmap",
            "x": [html.escape(x) for x in across],
            "y": [html.escape(y) for y in up],
            "z": [[mean(cell) if cell else None for cell in row] for row in cells],
            "text": [[_mean_text(cell) if cell else "" for cell in row] for row in cells],
            "texttemplate": "%{text}",
            "hovertemplate": HOVER,
            "xgap": 2,
            "ygap": 2,
            **colours,
        }
    height = max(260, 110 + 40 * len(up)) if trace["type"] == "heatmap" else 360
    return chart(" × ".join(keys), title, [trace], **LAYOUT, xaxis=xaxis, yaxis=yaxis, height=height)


def _parallel_lines(scales: Mapping[str, Scale], points: Sequence[Point], title: str, higher: bool) -> Chart:
    """Draw a line for each job. Plotly's own parallel coordinates need WebGL and eval, which the page forbids."""
    axes = {**scales, title: Scale(str(point.metric) for point in points)}
    heights = {key: scale.heights() for key, scale in axes.items()}
    traces = []
    for point in sorted(points, key=lambda point: point.metric, reverse=not higher):  # the best is drawn on top
        texts = {**point.values, title: str(point.metric)}
        line = [heights[key][texts[key]] for key in axes]
        quality = line[-1] if higher else 1 - line[-1]
        traces.append(
            {
                "type": "scatter",
                "x": list(range(len(axes))),
                "y": line,
                "text": [str(point)] * len(axes),
                "mode": "lines",
                "line": {"color": _between(GREY, COLOURS[1], quality), "width": 1 + 2 * quality},
                "opacity": 0.4 + 0.6 * quality,
                "hovertemplate": HOVER,
            }
        )
    for index, (key, scale) in enumerate(axes.items()):
        labels = scale.labels()
        traces.append(
            {
                "type": "scatter",
                "x": [index] * len(labels),
                "y": [heights[key][text] for text in labels],
                "text": list(labels.values()),
                "mode": "markers+text",
                "textposition": "middle right",
                "marker": {"color": GREY},
                "hoverinfo": "skip",
            }
        )
    names = [html.escape(key) for key in axes]
    xaxis = {"tickvals": list(range(len(axes))), "ticktext": names, "showgrid": True, "gridcolor": GREY}
    xaxis |= {"range": [-0.1, len(axes) - 0.6]}
    return chart(" × ".join(scales), title, traces, **LAYOUT, height=360, xaxis=xaxis, yaxis={"visible": False})


def importance_chart(shares: Mapping[str, float]) -> Chart:
    """Draw the share of each key in the variation of the objective."""
    keys = sorted(shares, key=lambda key: shares[key])
    bars = {
        "type": "bar",
        "x": [shares[key] for key in keys],
        "y": [html.escape(key) for key in keys],
        "orientation": "h",
        "marker": {"color": COLOURS[0]},
        "hovertemplate": "%{x:.0%}<extra></extra>",
    }
    return chart("Importance", "share of the objective's variation", [bars], **LAYOUT, xaxis={"tickformat": ".0%"})


def _dots(points: Sequence[Point], x: Sequence[float], y: Sequence[float]) -> dict[str, Any]:
    marker = {"color": GREY, "size": 6, "opacity": 0.7}
    dots = {"type": "scatter", "x": x, "y": y, "text": list(map(str, points)), "mode": "markers"}
    return {**dots, "marker": marker, "hovertemplate": HOVER}


def _between(low: str, high: str, share: float) -> str:
    """Mix two colours, given as #rrggbb."""
    ends = zip(bytes.fromhex(low[1:]), bytes.fromhex(high[1:]), strict=True)
    return "#" + bytes(round(a + (b - a) * share) for a, b in ends).hex()


def _mean_text(metrics: Sequence[float]) -> str:
    return number(mean(metrics)) + (f" ± {stdev(metrics):.1g}" if len(metrics) > 1 else "")
