"""Metrics as text tables for a terminal of 80 columns."""

from collections.abc import Iterable, Mapping, Sequence
from math import isfinite, nan
from textwrap import fill
from typing import Any

from cyclegan.validation.catalogue import GROUPS, HEADLINES, METRICS, VARIANTS, Direction, Metric, higher_is_better

Metrics = Mapping[str, float]

ARROWS = {"higher": " ↑", "lower": " ↓", None: ""}


def of_one(metrics: Metrics, directions: Sequence[Direction]) -> str:
    """Return a table of one checkpoint, with a column for each direction and one for their mean."""
    text = [_line("", ["→".join(direction) for direction in directions] + ["mean"] * (len(directions) > 1))]
    for group in GROUPS:
        lines = [
            line for metric in METRICS.values() if metric.group is group for line in _lines(metric, metrics, directions)
        ]
        if lines:
            text += ["", group.title, *lines]
    return "\n".join(text)


def _lines(metric: Metric, metrics: Metrics, directions: Sequence[Direction]) -> Iterable[str]:
    names = {variant: [metric.column(way, variant) for way in directions] for variant in ("", *metric.variants)}
    measured = [variant for variant, columns in names.items() if any(name in metrics for name in columns)]
    if measured:
        cells = [_with_spread(metric, metrics, direction) for direction in directions]
        mean = [cell(metrics, metric.name)] if len(directions) > 1 else []
        yield _line(f"  {metric.title}{ARROWS[metric.better]}", cells + mean if "" in measured else [])
    for variant in measured:
        if variant not in ("", "spread"):
            yield _line(f"    {VARIANTS[variant]}", [cell(metrics, name) for name in names[variant]])


def _line(title: str, cells: Iterable[str]) -> str:
    return (f"{title:<26}" + "".join(f"{each:>18}" for each in cells)).rstrip()


def of_several(rows: Sequence[Metrics], directions: Sequence[Direction], labels: Sequence[str], mark: bool) -> str:
    """Return a table for each direction and for their mean, with a line for each checkpoint.

    Args:
        rows: `epoch`, `images` and the metrics of each checkpoint.
        directions: the directions that were measured.
        labels: text before each line; may be empty.
        mark: whether `*` marks the best of each column.
    """
    blocks = [_block("→".join(direction), rows, labels, mark, direction) for direction in directions]
    if len(directions) > 1:
        blocks.append(_block("mean of the directions", rows, labels, mark))
    return "\n\n".join(blocks)


def _block(
    title: str, rows: Sequence[Metrics], labels: Sequence[str], mark: bool, direction: Direction | None = None
) -> str:
    width = max(map(len, labels))
    lines = [f"{'':<{width}}{'epoch':>7}{'images':>9}"]
    for label, row in zip(labels, rows, strict=True):
        lines.append(f"{label:<{width}}{row['epoch']:>7.4g}{int(row['images']):>9}")
    lines.append(f"{'':<{width}}{'untouched input':>16}")
    has_copied = False
    for metric in map(METRICS.__getitem__, HEADLINES):
        name = metric.column(direction) if direction else metric.name
        if any(name in row for row in rows):
            best = best_of(rows, name) if mark else None
            copied = {row.get(metric.column(direction, "copied")) for row in rows} if direction else {None}
            untouched = copied.pop() if len(copied) == 1 else None  # else they were measured on different images
            has_copied |= untouched is not None
            column = [f"{metric.title.split()[0].rstrip(',')}{ARROWS[metric.better]} "]
            column += [cell(row, name) + ("*" if best == place else " ") for place, row in enumerate(rows)]
            column.append("" if untouched is None else f"{number(untouched)} ")
            space = max(map(len, column)) + 1
            lines = [line + f"{each:>{space}}" for line, each in zip(lines, column, strict=True)]
    return "\n".join(line.rstrip() for line in [title, *(lines if has_copied else lines[:-1])])


def best_of(rows: Sequence[Metrics], name: str) -> int | None:
    """Return the index of the row with the best finite value of a metric, the first of equals; None if none has one."""
    values = {place: row[name] for place, row in enumerate(rows) if isfinite(row.get(name, nan))}
    if not values:
        return None
    return (max if higher_is_better(name) else min)(values, key=lambda place: values[place])


def cell(metrics: Metrics, name: str) -> str:
    """Return the text of a metric; a dash if it was not measured."""
    return number(metrics[name]) if name in metrics else "–"


def _with_spread(metric: Metric, metrics: Metrics, direction: Direction) -> str:
    spread = metrics.get(metric.column(direction, "spread"))
    return cell(metrics, metric.column(direction)) + ("" if spread is None else f" ± {spread:.1g}")


def number(value: float) -> str:
    """Return a number with four significant digits, or four decimals below 1."""
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
    return "\n".join(wrapped(line) for line in lines)


def wrapped(line: str) -> str:
    """Wrap a line that begins with a word of 11 columns."""
    return fill(line, 80, subsequent_indent=" " * 11)
