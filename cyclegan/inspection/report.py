"""The report of `cyclegan-data check`, as text and as JSON."""

import statistics
import textwrap
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

from cyclegan.inspection.findings import Finding, counts_text
from cyclegan.inspection.scan import Folder, Scan

WIDTH = 100
SHOWN_REASONS = 5
"""Lines of a finding in the text report."""

SHOWN_NAMES = 3
"""Files in such a line."""


def as_json(scan: Scan, findings: Sequence[Finding]) -> dict[str, Any]:
    """Return the complete report, with stable keys.

    {"version": 2, "root": str, "ok": bool,
     "folders": {"trainA": {"split", "domain", "images", "bytes", "skipped": {kind: count}, "formats", "modes",
                 "dtypes": {name: count}, "sizes": {"256x256": count}, "file_bytes": [min, median, max] or null}},
     "problems" and "notes": [{"kind", "title", "remedy", "count", "items": [{"name", "why", "same_as": [name]}]}]}
    """
    problems = [_finding(finding) for finding in findings if finding.is_problem]
    return {
        "version": 2,
        "root": str(scan.root),
        "ok": not problems,
        "folders": {folder.name: _folder(folder) for folder in scan.folders},
        "problems": problems,
        "notes": [_finding(finding) for finding in findings if not finding.is_problem],
    }


def _folder(folder: Folder) -> dict[str, Any]:
    file_bytes = [info.file_bytes for info in folder.infos.values()]
    return {
        "split": folder.split,
        "domain": folder.domain,
        "images": len(folder.images),
        "bytes": sum(file_bytes),
        "skipped": dict(sorted(folder.images.skipped.items())),
        "formats": dict(folder.count("format").most_common()),
        "modes": dict(folder.count("mode").most_common()),
        "dtypes": dict(folder.count("dtype").most_common()),
        "sizes": {f"{width}x{height}": count for (width, height), count in sorted(folder.sizes().items())},
        "file_bytes": [min(file_bytes), statistics.median_low(file_bytes), max(file_bytes)] if file_bytes else None,
    }


def _finding(finding: Finding) -> dict[str, Any]:
    return {
        "kind": finding.kind,
        "title": finding.title,
        "remedy": finding.remedy,
        "count": finding.count,
        "items": [{"name": item.name, "why": item.why, "same_as": list(item.same_as)} for item in finding.items],
    }


def as_text(scan: Scan, findings: Sequence[Finding]) -> str:
    """Return the report for a terminal, at most 100 columns wide, with the first files of each finding."""
    lines = [*_table(scan), ""]
    for title, is_problem in (("problems", True), ("notes", False)):
        group = [finding for finding in findings if finding.is_problem == is_problem]
        if group:
            lines.append(title)
            for finding in group:
                lines += [f"  {finding.title}: {finding.count:,}", *_items(finding)]
                lines += _wrapped(finding.remedy, "    → ")
            lines.append("")
    problems = sum(finding.is_problem for finding in findings)
    last = counted(problems, "kind of problem", "kinds of problems") if problems else "no problem found"
    return "\n".join([*lines, last])


def counted(number: int, one: str, many: str) -> str:
    """Format a number with its noun, as in "1 image" or "1,067 images"."""
    return f"{number:,} {one if number == 1 else many}"


def _table(scan: Scan) -> Iterator[str]:
    rows = [("folder", "images", "MB", "format", "mode", "width×height")]
    for folder in scan.folders:
        megabytes = f"{sum(info.file_bytes for info in folder.infos.values()) / 1e6:,.1f}"
        shares = _shares(folder.count("format")), _shares(folder.count("mode")), _sizes(folder.sizes())
        rows.append((folder.name, f"{len(folder.images):,}", megabytes, *shares))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    layout = "  ".join(f"{{:{align}{width}}}" for align, width in zip("<>><<<", widths, strict=True))
    yield from (layout.format(*row).rstrip() for row in rows)


def _shares(counts: Counter[str]) -> str:
    if len(counts) < 2:
        return "".join(counts)
    more = f" + {len(counts) - 3}" if len(counts) > 3 else ""
    return counts_text(Counter(dict(counts.most_common(3)))) + more


def _sizes(sizes: Counter[tuple[int, int]]) -> str:
    if len(sizes) <= 2:
        return _shares(Counter({f"{width}×{height}": count for (width, height), count in sizes.items()}))
    widths, heights = zip(*sizes, strict=True)
    return f"{min(widths)}…{max(widths)} × {min(heights)}…{max(heights)}"


def _items(finding: Finding) -> Iterator[str]:
    """Yield lines for the first items; items with the same reason share a line."""
    groups: defaultdict[str, list[str]] = defaultdict(list)
    for item in finding.items:
        same = "".join(f" = {name}" for name in item.same_as[:SHOWN_NAMES])
        name = item.name + same + _more(item.same_as)
        # The reason of a broken file ends with the same advice each time, which is the finding's remedy.
        why = item.why.rpartition("; ")[0] or item.why if finding.kind == "broken" else item.why
        groups[why or name].append(name)
    shown = dict(islice(groups.items(), SHOWN_REASONS))
    for why, names in shown.items():
        text = ", ".join(names[:SHOWN_NAMES]) + _more(names)
        yield from _wrapped(text if names == [why] else f"{text}: {why}", "      ")
    hidden = len(finding.items) - sum(map(len, shown.values()))
    if hidden:
        yield f"      and {hidden:,} more; --json lists all"


def _more(names: Sequence[str]) -> str:
    return f" and {len(names) - SHOWN_NAMES:,} more" if len(names) > SHOWN_NAMES else ""


def _wrapped(text: str, indent: str) -> list[str]:
    return textwrap.wrap(
        text, WIDTH, initial_indent=indent, subsequent_indent=" " * len(indent), break_on_hyphens=False
    )
