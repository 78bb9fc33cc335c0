"""Metrics as text for a screen of 80 columns."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import groupby
from math import isfinite
from textwrap import fill
from typing import Any, NamedTuple

from cyclegan.validation.catalogue import higher_is_better, suffix
from cyclegan.validation.per_image import Direction

Metrics = Mapping[str, float]

Judge = Callable[[Sequence[Metrics], str], int | None]
"""Which of the rows has the best value of a metric; None: of none is that said."""

NAME, COLUMN = 26, 18


class Line(NamedTuple):
    """A metric's line in the table of one checkpoint."""

    stem: str
    title: str
    of: str
    """What its name ends in, in the column of a direction: of the `direction`, its `source`, or its `target`."""
    group: str


LINES = (
    Line("psnr", "PSNR, dB", "direction", "known answers"),
    Line("ssim", "SSIM", "direction", "known answers"),
    Line("l1", "L1", "direction", "known answers"),
    Line("kid", "KID", "direction", "distance to real images of the target"),
    Line("fid", "FID", "direction", "distance to real images of the target"),
    Line("precision", "precision", "direction", "distance to real images of the target"),
    Line("recall", "recall", "direction", "distance to real images of the target"),
    Line("cycle", "cycle L1 of inputs", "source", "what is kept"),
    Line("identity", "identity L1 of targets", "target", "what is kept"),
    Line("lpips", "LPIPS, input to output", "direction", "what is kept"),
    Line("change", "change L1", "direction", "symptoms, neither way is better"),
    Line("luminance", "luminance correlation", "direction", "symptoms, neither way is better"),
    Line("variety", "variety, 1 as real ones", "direction", "symptoms, neither way is better"),
    Line("checkerboard", "checkerboard, dB", "direction", "symptoms, neither way is better"),
    Line("realness_real", "realness of real targets", "target", "symptoms, neither way is better"),
    Line("realness_fake", "realness of translations", "target", "symptoms, neither way is better"),
)
SYMPTOMS = frozenset(line.stem for line in LINES if line.group.startswith("symptoms"))

COMPARED = ("psnr", "ssim", "kid", "fid", "lpips", "cycle", "identity")
"""What several checkpoints are compared by."""

COPIED = "  untouched input"


def of_one(metrics: Metrics, directions: Sequence[Direction]) -> str:
    """A table of one checkpoint's metrics, a column for each direction and one for their mean.

    The line of the untouched input says what a translator would reach that changes nothing.
    """
    heads = [f"{source}→{target}" for source, target in directions] + (["mean"] if len(directions) > 1 else [])
    text = ["".join([" " * NAME, *(f"{head:>{COLUMN}}" for head in heads)])]
    for group, lines in groupby(LINES, key=lambda line: line.group):
        found = [row for line in lines for row in _rows(line, metrics, directions)]
        if found:
            text += ["", group, *found]
    return "\n".join(text)


def _rows(line: Line, metrics: Metrics, directions: Sequence[Direction]) -> Iterable[str]:
    names = [f"{line.stem}_{ending(line, direction)}" for direction in directions]
    if not any(name in metrics for name in names):
        return
    cells = [with_spread(metrics, name) for name in names]
    mean = [number(metrics[line.stem])] if len(directions) > 1 and line.stem in metrics else []
    head = f"  {line.title}{arrow(line.stem)}"
    yield f"{head:<{NAME}}" + "".join(f"{value:>{COLUMN}}" for value in [*cells, *mean])
    copied = [f"{line.stem}_copied_{suffix(*direction)}" for direction in directions]
    if any(name in metrics for name in copied):
        yield f"  {COPIED:<{NAME - 2}}" + "".join(f"{with_spread(metrics, name):>{COLUMN}}" for name in copied)


def ending(line: Line, direction: Direction) -> str:
    """What the metric's name ends in."""
    source, target = direction
    return suffix(*{"direction": direction, "source": (source,), "target": (target,)}[line.of])


def best_of(rows: Sequence[Metrics], name: str) -> int | None:
    """Which row has the best value of a metric, the first of equals; None if none has a finite one."""
    values = {place: row[name] for place, row in enumerate(rows) if isfinite(row.get(name, float("nan")))}
    if not values:
        return None
    return (max if higher_is_better(name) else min)(values, key=lambda place: values[place])


def of_several(
    rows: Sequence[Metrics], directions: Sequence[Direction], labels: Sequence[str] = (), judge: Judge = best_of
) -> str:
    """For each direction, and for their mean, a line for every checkpoint; `*` marks the best of each column.

    Args:
        rows: of each checkpoint, in their order, `epoch`, `images` and its metrics.
        directions: that were measured.
        labels: what the checkpoints are called, in a column before the others; empty: there is no such column.
        judge: says which is marked.
    """
    width = max((len(label) for label in labels), default=0)
    heads = [f"{label:<{width}}" for label in labels or [""] * len(rows)]
    lines = {line.stem: line for line in LINES}
    blocks = []
    for direction in directions:
        names = {stem: f"{stem}_{ending(lines[stem], direction)}" for stem in COMPARED}
        copied = {stem: f"{stem}_copied_{suffix(*direction)}" for stem in COMPARED}
        blocks.append(_block("→".join(direction), rows, heads, names, copied, judge))
    if len(directions) > 1:
        means = {stem: stem for stem in COMPARED}
        blocks.append(_block("mean of the directions", rows, heads, means, {}, judge))
    return "\n\n".join(blocks)


def _block(
    title: str,
    rows: Sequence[Metrics],
    heads: Sequence[str],
    names: Mapping[str, str],
    copied: Mapping[str, str],
    judge: Judge,
) -> str:
    shown = {stem: name for stem, name in names.items() if any(name in row for row in rows)}
    best = {stem: judge(rows, name) for stem, name in shown.items()}
    columns = [
        [
            f"{stem if stem in ('cycle', 'identity') else stem.upper()}{arrow(stem)} ",
            *(cell(row, name) + ("*" if best[stem] == place else " ") for place, row in enumerate(rows)),
            untouched(rows, copied[stem]) if stem in copied else "",
        ]
        for stem, name in shown.items()
    ]
    widths = [max(map(len, column)) + 1 for column in columns]
    indent = " " * len(heads[0])
    starts = [
        f"{indent}{'epoch':>7}{'images':>9}",
        *(f"{head}{row['epoch']:>7.4g}{int(row['images']):>9}" for head, row in zip(heads, rows, strict=True)),
        f"{indent}{'untouched input':>16}",
    ]
    lines = [
        start + "".join(f"{value:>{width}}" for value, width in zip(values, widths, strict=True))
        for start, *values in zip(starts, *columns, strict=True)
    ]
    return "\n".join(line.rstrip() for line in [title, *(lines if any(c[-1] for c in columns) else lines[:-1])])


def untouched(rows: Sequence[Metrics], name: str) -> str:
    """What untouched inputs reach, if that is the same for all: checkpoints of other data have others."""
    shown = {cell(row, name) for row in rows}
    return f"{shown.pop()} " if len(shown) == 1 and name in rows[0] else ""


def arrow(stem: str) -> str:
    """Which way is better."""
    return "" if stem in SYMPTOMS else " ↑" if higher_is_better(stem) else " ↓"


def cell(metrics: Metrics, name: str) -> str:
    """A metric, if it was measured."""
    return number(metrics[name]) if name in metrics else "–"


def with_spread(metrics: Metrics, name: str) -> str:
    """A metric, with its spread where one was measured."""
    stem, _, rest = name.partition("_")
    spread = metrics.get(f"{stem}_spread_{rest}")
    return cell(metrics, name) + ("" if spread is None else f" ± {spread:.1g}")


def number(value: float) -> str:
    """Four digits, or as many places behind the point."""
    if not isfinite(value):
        return "–"
    if 0 < abs(value) < 0.001:
        return f"{value:.2g}"
    return f"{value:.{4 if abs(value) < 1 else max(0, 4 - len(str(int(abs(value)))))}f}"


def under_which(protocol: Mapping[str, Any]) -> str:
    """The protocol in a few lines; all of it is in metrics.json."""
    images, distances, lpips = protocol["images"], protocol.get("distances"), protocol.get("lpips")
    counts = [images[domain] for domain in images["unreadable"]]
    lines = [f"images   {', '.join(counts)}; {images['size']}, rounded to uint8"]
    known = protocol["known answers"]
    if protocol["pairing"] != "none":
        counts = [f"{way} {count}" for way, count in known.items()]
        lines.append(f"answers    {', '.join(counts)}, paired {protocol['pairing']}")
    if distances:
        features = distances["features"]
        of = f"; they compare {features['comparable']}" if "comparable" in features else ""
        lines.append(f"features   {features['network']}, {features.get('library', 'of no library')}{of}")
    if lpips:
        lines.append(f"LPIPS      {lpips['network']}, {lpips['library']}")
    left_out = {domain: count for domain, count in images["unreadable"].items() if count}
    if left_out:
        lines.append(f"left out   {', '.join(f'{domain}: {count}' for domain, count in left_out.items())} unreadable")
    return "\n".join(fill(line, 80, subsequent_indent=" " * 11) for line in lines)
