"""Metrics as text tables for a terminal of 80 columns."""

from collections.abc import Iterable, Mapping, Sequence
from math import isfinite
from textwrap import fill
from typing import Any

from cyclegan.validation.catalogue import (
    GROUPS,
    HEADLINES,
    METRICS,
    VARIANTS,
    Direction,
    Metric,
    higher_is_better,
)

Metrics = Mapping[str, float]

NAME, COLUMN = 26, 18


def of_one(metrics: Metrics, directions: Sequence[Direction]) -> str:
    """Return a table of one checkpoint, with a column for each direction and one for their mean."""
    heads = ["→".join(direction) for direction in directions] + (["mean"] if len(directions) > 1 else [])
    text = [_line("", heads)]
    for group in GROUPS:
        lines = [
            line for metric in METRICS.values() if metric.group is group for line in _lines(metric, metrics, directions)
        ]
        if lines:
            text += ["", group.title, *lines]
    return "\n".join(text)


def _lines(metric: Metric, metrics: Metrics, directions: Sequence[Direction]) -> Iterable[str]:
    title = f"  {metric.title}{arrow(metric.name)}"
    if any(metric.column(direction) in metrics for direction in directions):
        cells = [_with_spread(metric, metrics, direction) for direction in directions]
        yield _line(title, cells + ([cell(metrics, metric.name)] if len(directions) > 1 else []))
    elif any(metric.column(direction, variant) in metrics for variant in metric.variants for direction in directions):
        yield title
    for variant in metric.variants:
        names = [metric.column(direction, variant) for direction in directions]
        if variant != "spread" and any(name in metrics for name in names):
            yield _line(f"    {VARIANTS[variant]}", [cell(metrics, name) for name in names])


def _line(title: str, cells: Iterable[str]) -> str:
    return (f"{title:<{NAME}}" + "".join(f"{each:>{COLUMN}}" for each in cells)).rstrip()


def of_several(
    rows: Sequence[Metrics], directions: Sequence[Direction], labels: Sequence[str] = (), mark: bool = True
) -> str:
    """Return a table for each direction and for their mean, with a line for each checkpoint.

    Args:
        rows: `epoch`, `images` and the metrics of each checkpoint.
        directions: the directions that were measured.
        labels: names of the checkpoints for a first column; empty: no such column.
        mark: whether `*` marks the best of each column.
    """
    blocks = []
    for direction in directions:
        names = {name: METRICS[name].column(direction) for name in HEADLINES}
        copied = {name: METRICS[name].column(direction, "copied") for name in HEADLINES}
        blocks.append(_block("→".join(direction), rows, labels, names, copied, mark))
    if len(directions) > 1:
        means = {name: name for name in HEADLINES}
        blocks.append(_block("mean of the directions", rows, labels, means, {}, mark))
    return "\n\n".join(blocks)


def _block(
    title: str,
    rows: Sequence[Metrics],
    labels: Sequence[str],
    names: Mapping[str, str],
    copied: Mapping[str, str],
    mark: bool,
) -> str:
    width = max((len(label) for label in labels), default=0)
    lines = [f"{'':<{width}}{'epoch':>7}{'images':>9}"]
    for label, row in zip(labels or [""] * len(rows), rows, strict=True):
        lines.append(f"{label:<{width}}{row['epoch']:>7.4g}{int(row['images']):>9}")
    lines.append(f"{'':<{width}}{'untouched input':>16}")
    has_copied = False
    for metric, name in names.items():
        if any(name in row for row in rows):
            best = best_of(rows, name) if mark else None
            untouched = _untouched(rows, copied.get(metric, ""))
            has_copied |= bool(untouched)
            head = METRICS[metric].title.split()[0].rstrip(",")
            cells = [cell(row, name) + ("*" if best == place else " ") for place, row in enumerate(rows)]
            column = [f"{head}{arrow(metric)} ", *cells, f"{untouched} "]
            space = max(map(len, column)) + 1
            lines = [line + f"{each:>{space}}" for line, each in zip(lines, column, strict=True)]
    return "\n".join(line.rstrip() for line in [title, *(lines if has_copied else lines[:-1])])


def _untouched(rows: Sequence[Metrics], name: str) -> str:
    # Checkpoints that were measured on other images have other values.
    shown = {cell(row, name) for row in rows}
    return shown.pop() if len(shown) == 1 and name in rows[0] else ""


def best_of(rows: Sequence[Metrics], name: str) -> int | None:
    """Return the index of the row with the best finite value of a metric, the first of equals; None if none has one."""
    values = {place: row[name] for place, row in enumerate(rows) if isfinite(row.get(name, float("nan")))}
    if not values:
        return None
    return (max if higher_is_better(name) else min)(values, key=lambda place: values[place])


def arrow(name: str) -> str:
    """Return an arrow to a metric's better side."""
    return {"higher": " ↑", "lower": " ↓", None: ""}[METRICS[name].better]


def cell(metrics: Metrics, name: str) -> str:
    """Return the text of a metric; a dash if it was not measured."""
    return number(metrics[name]) if name in metrics else "–"


def _with_spread(metric: Metric, metrics: Metrics, direction: Direction) -> str:
    spread = metrics.get(metric.column(direction, "spread"))
    return cell(metrics, metric.column(direction)) + ("" if spread is None else f" ± {spread:.1g}")


def number(value: float) -> str:
    """Return a number with four significant digits, or four decimals below 1."""
    if not isfinite(value):
        return "–"
    if 0 < abs(value) < 0.001:
        return f"{value:.2g}"
    return f"{value:.{4 if abs(value) < 1 else max(0, 4 - len(str(int(abs(value)))))}f}"


def protocol_text(protocol: Mapping[str, Any]) -> str:
    """Return a summary of a protocol; metrics.json has all of it."""
    images, distances, lpips = protocol["images"], protocol.get("distances"), protocol.get("lpips")
    counts = [images[domain] for domain in images["unreadable"]]
    lines = [f"images     {', '.join(counts)}; {images['size']}, rounded to uint8"]
    if protocol["pairing"] != "none":
        counts = [f"{way} {count}" for way, count in protocol["paired ground truth"].items()]
        lines.append(f"paired     {', '.join(counts)}, {protocol['pairing']}")
    if distances:
        features = distances["features"]
        of = f"; compares {features['comparable']}" if "comparable" in features else ""
        lines.append(f"features   {features['network']}, {features.get('library', 'of no library')}{of}")
    if lpips:
        lines.append(f"LPIPS      {lpips['network']}, {lpips['library']}")
    skipped = ", ".join(f"{domain}: {count}" for domain, count in images["unreadable"].items() if count)
    if skipped:
        lines.append(f"skipped    {skipped} unreadable")
    return "\n".join(fill(line, 80, subsequent_indent=" " * 11) for line in lines)
