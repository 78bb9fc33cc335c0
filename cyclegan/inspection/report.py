"""What was found in a data set, as text for people and as JSON for programs."""

import math
import statistics
import textwrap
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

from cyclegan.inspection.finding import BROKEN, Finding, counted
from cyclegan.inspection.scan import FolderSurvey, Survey

WIDTH = 100
SHOWN = 5
"""Lines of a finding that are shown on the screen."""

NAMED = 3
"""Files that such a line names, of those with one reason or of those that are the same."""

_BARS = "▁▂▃▄▅▆▇█"
_BINS = 20


def as_json(survey: Survey, findings: Sequence[Finding]) -> dict[str, Any]:
    """Everything, with keys that stay.

    {"version": 1, "root": str, "ok": bool,
     "folders": {"trainA": {"split", "domain", "images", "bytes", "passed_over": {kind: count}, "formats", "modes",
                 "dtypes": {name: count}, "sizes": {"256x256": count}, "file_bytes": [least, median, most] or null}},
     "problems" and "notes": [{"kind", "text", "remedy", "count", "items": [{"name", "why", "same_as": [name]}]}]}
    """
    return {
        "version": 1,
        "root": str(survey.root),
        "ok": not any(finding.kind.problem for finding in findings),
        "folders": {found.folder.name: _folder(found) for found in survey.folders},
        "problems": [_finding(finding) for finding in findings if finding.kind.problem],
        "notes": [_finding(finding) for finding in findings if not finding.kind.problem],
    }


def _folder(found: FolderSurvey) -> dict[str, Any]:
    return {
        "split": found.folder.split,
        "domain": found.folder.domain,
        "images": len(found.folder.images),
        "bytes": sum(found.file_bytes),
        "passed_over": dict(sorted(found.folder.passed_over.items())),
        "formats": dict(found.formats.most_common()),
        "modes": dict(found.modes.most_common()),
        "dtypes": dict(found.dtypes.most_common()),
        "sizes": {f"{width}x{height}": count for (width, height), count in sorted(found.sizes.items())},
        "file_bytes": [min(found.file_bytes), int(statistics.median_low(found.file_bytes)), max(found.file_bytes)]
        if found.file_bytes
        else None,
    }


def _finding(finding: Finding) -> dict[str, Any]:
    return {
        "kind": finding.kind.key,
        "text": finding.text,
        "remedy": finding.kind.remedy,
        "count": finding.count,
        "items": [{"name": item.name, "why": item.why, "same_as": list(item.same_as)} for item in finding.items],
    }


def as_text(survey: Survey, findings: Sequence[Finding]) -> str:
    """What to read on a screen, up to about 100 columns wide."""
    return "\n".join([*_table(survey), "", *_histograms(survey), "", *_told(findings)])


def _table(survey: Survey) -> Iterator[str]:
    rows = [("folder", "images", "MB", "format", "mode", "width×height")]
    for found in survey.folders:
        rows.append(
            (
                found.folder.name,
                f"{len(found.folder.images):,}",
                f"{sum(found.file_bytes) / 1e6:,.1f}",
                _shares(found.formats),
                _shares(found.modes),
                _sizes(found.sizes),
            )
        )
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    for name, images, size, formats, modes, sizes in rows:
        yield (
            f"{name:<{widths[0]}}  {images:>{widths[1]}}  {size:>{widths[2]}}  "
            f"{formats:<{widths[3]}}  {modes:<{widths[4]}}  {sizes}"
        ).rstrip()


def _shares(counts: Counter[str]) -> str:
    """The names, with their numbers if there are several."""
    if len(counts) < 2:
        return "".join(counts)
    shown = ", ".join(f"{name} ×{count:,}" for name, count in counts.most_common(3))
    return shown + (f" + {len(counts) - 3}" if len(counts) > 3 else "")


def _sizes(sizes: Counter[tuple[int, int]]) -> str:
    if not sizes:
        return ""
    if len(sizes) <= 2:
        return _shares(Counter({f"{width}×{height}": count for (width, height), count in sizes.items()}))
    widths, heights = zip(*sizes, strict=True)
    return f"{min(widths)}…{max(widths)} × {min(heights)}…{max(heights)}"


def _histograms(survey: Survey) -> Iterator[str]:
    """A line for each folder and quantity that varies."""
    named = max((len(found.folder.name) for found in survey.folders), default=0)
    quantities = {
        "short side, pixels": [Counter(_by(found.sizes, min)) for found in survey.folders],
        "long : short side": [
            Counter(_by(found.sizes, lambda size: round(max(size) / min(size), 2))) for found in survey.folders
        ],
        "file size, kB": [Counter(round(size / 1000, 1) for size in found.file_bytes) for found in survey.folders],
    }
    for title, counts in quantities.items():
        values = [value for count in counts for value in count]
        if not values or min(values) == max(values):
            continue
        low, high = min(values), max(values)
        edges = f"{low:,.4g} … {high:,.4g}" if high < 10_000 else f"{low:,.0f} … {high:,.0f}"
        logarithmic = low > 0 and high > 20 * low
        yield f"{title}, from {edges}" + (" (logarithmic)" if logarithmic else "")
        for found, count in zip(survey.folders, counts, strict=True):
            if count:
                bars = _bars(count, low, high, logarithmic)
                yield f"  {found.folder.name:<{named}}  {bars}  median {_median(count):,.4g}"


def _by(sizes: Counter[tuple[int, int]], value: Any) -> Counter[float]:
    counts: Counter[float] = Counter()
    for size, count in sizes.items():
        counts[value(size)] += count
    return counts


def _bars(counts: Counter[float], low: float, high: float, logarithmic: bool) -> str:
    scale = math.log if logarithmic else float
    heights = [0] * _BINS
    for value, count in counts.items():
        share = (scale(value) - scale(low)) / (scale(high) - scale(low))
        heights[min(int(share * _BINS), _BINS - 1)] += count
    most = max(heights)
    return "".join(_BARS[math.ceil(height / most * len(_BARS)) - 1] if height else " " for height in heights)


def _median(counts: Counter[float]) -> float:
    """The middle value of many, without a list of them."""
    remaining = (sum(counts.values()) - 1) // 2
    for value in sorted(counts):
        remaining -= counts[value]
        if remaining < 0:
            return value
    raise ValueError("there is no value")


def _told(findings: Sequence[Finding]) -> Iterator[str]:
    for title, told in (
        ("problems", [finding for finding in findings if finding.kind.problem]),
        ("worth knowing", [finding for finding in findings if not finding.kind.problem]),
    ):
        if told:
            yield title
            for finding in told:
                yield f"  {finding.text}"
                yield from _items(finding)
            yield ""
    if findings:
        yield "what to do"
        width = max(len(finding.kind.label) for finding in findings)
        for finding in findings:
            head = f"  {finding.kind.label:<{width}}  "
            yield from textwrap.wrap(finding.kind.remedy, WIDTH, initial_indent=head, subsequent_indent=" " * len(head))
        yield ""
    problems = sum(finding.kind.problem for finding in findings)
    yield f"{counted(problems, 'kind of problem', 'kinds of problems')}" if problems else "no problem found"


def _items(finding: Finding) -> Iterator[str]:
    """The first of them; those with the same reason together."""
    groups: dict[str, list[str]] = defaultdict(list)
    for item in finding.items:
        same = "".join(f" = {name}" for name in item.same_as[:NAMED])
        name = item.name + same + (f" and {len(item.same_as) - NAMED:,} more" if item.same_as[NAMED:] else "")
        # What to do about broken files is said once, at the end.
        why = item.why.rpartition("; ")[0] or item.why if finding.kind is BROKEN else item.why
        groups[why or name].append(name)
    shown = dict(islice(groups.items(), SHOWN))
    for why, names in shown.items():
        more = f" and {len(names) - NAMED:,} more" if len(names) > NAMED else ""
        text = ", ".join(names[:NAMED]) + more + ("" if names == [why] else f": {why}")
        yield from textwrap.wrap(text, WIDTH, initial_indent=" " * 6, subsequent_indent=" " * 8, break_on_hyphens=False)
    hidden = len(finding.items) - sum(map(len, shown.values()))
    if hidden:
        yield f"      and {hidden:,} more; --json has all"
