"""What was found out about checkpoints, as text for a screen and as files."""

import csv
import io
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from textwrap import fill
from typing import Any

from cyclegan.data.held_out import HeldOut
from cyclegan.evaluate.checkpoints import Subject
from cyclegan.evaluate.runs import in_order, labels
from cyclegan.evaluate.table import best_of, of_one, of_several, under_which
from cyclegan.validation.evaluate import Evaluation
from cyclegan.validation.per_image import Direction
from cyclegan.validation.summary import LEAST_OF_A_MANIFOLD

DECISIVE = ("psnr", "kid", "fid", "cycle")
"""The first of these that was measured says which of several checkpoints is shown in images."""


@dataclass(frozen=True)
class Finding:
    """What was measured of a checkpoint."""

    subject: Subject
    evaluation: Evaluation

    @property
    def row(self) -> dict[str, float]:
        """Where the checkpoint stands in its run, and its metrics."""
        return {"images": self.subject.images, "epoch": self.subject.epoch, **self.evaluation.metrics}

    @property
    def record(self) -> dict[str, Any]:
        """All but the single images, in plain values."""
        weights = "their moving average" if self.subject.averaged else "as trained"
        return {
            "checkpoint": str(self.subject.path),
            "sha256": self.subject.sha256,
            "epoch": self.subject.epoch,
            "images": self.subject.images,
            "metrics": self.evaluation.metrics,
            "protocol": {**self.evaluation.protocol, "weights": weights},
        }


def runs_of(findings: Sequence[Finding]) -> list[Path]:
    """The runs that the checkpoints are of, each once."""
    return in_order([finding.subject.path for finding in findings])


def comparable(findings: Sequence[Finding]) -> bool:
    """Whether all were measured under one protocol."""
    return all(finding.evaluation.protocol == findings[0].evaluation.protocol for finding in findings)


def as_text(findings: Sequence[Finding], directions: Sequence[Direction]) -> str:
    """The table, and under which protocol it holds."""
    first = findings[0]
    if len(findings) == 1:
        head = [f"{first.subject.path}: epoch {first.subject.epoch:g}, {first.subject.images:,} images"]
        table = of_one(first.evaluation.metrics, directions)
    else:
        runs = len(runs_of(findings))
        of = f" of {runs} runs" if runs > 1 else ""
        head = [f"{len(findings)} checkpoints{of}, * the best of each column"]
        names = labels([finding.subject.path for finding in findings]) if runs > 1 else []
        judge = best_of if comparable(findings) else nobody
        if judge is nobody:
            head = [
                f"{len(findings)} checkpoints{of}",
                "BEWARE     not all were measured under one protocol: metrics of two protocols say",
                "           nothing about each other, so none is marked as the best. What stands below",
                "           the table is the protocol of the first; metrics.json has all",
            ]
        table = of_several([finding.row for finding in findings], directions, names, judge)
    return "\n".join([*head, "", table, "", under_which(first.evaluation.protocol), *remarks(findings)])


def nobody(rows: Sequence[Mapping[str, float]], name: str) -> None:
    """The best of rows that cannot be compared."""


def remarks(findings: Sequence[Finding]) -> list[str]:
    """What the metrics do not say by themselves, and why some are missing."""
    lines = []
    uncompared: dict[str, int] = {}
    for finding in findings:
        images = finding.evaluation.images
        for way, count in Counter(row["direction"] for row in images if row["answer"] and "psnr" not in row).items():
            uncompared[way] = max(count, uncompared.get(way, 0))
    if uncompared:
        missing = any(any(finding.evaluation.protocol["images"]["unreadable"].values()) for finding in findings)
        why = "cannot be read or have another size" if missing else "have another size"
        counts = ", ".join(f"{way} {count}" for way, count in uncompared.items())
        text = f"answers    not compared, as they {why} than the translations: {counts}"
        lines.append(fill(text, 80, subsequent_indent=" " * 11))
    distances = [finding.evaluation.metrics for finding in findings if "distances" in finding.evaluation.protocol]
    if any(not any(name.startswith("kid") for name in metrics) for metrics in distances):
        lines.append("distances  none: KID and FID need 2 images of each domain")
    elif any(not any(name.startswith("precision") for name in metrics) for metrics in distances):
        lines.append(f"           no precision and recall: they need {LEAST_OF_A_MANIFOLD} images of each domain")
    if any("fid" in metrics for metrics in distances):
        lines.append("           FID is too high for fewer than 5,000 images: go by KID")
    return lines


def as_json(findings: Sequence[Finding]) -> str:
    """The contents of metrics.json; what is no finite number is null."""
    record = {"checkpoints": [finding.record for finding in findings]}
    return json.dumps(finite(record), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def finite(value: Any) -> Any:
    """Nested plain values, with None for numbers that JSON does not know."""
    if isinstance(value, Mapping):
        return {str(key): finite(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [finite(each) for each in value]
    return None if isinstance(value, float) and not isfinite(value) else value


def per_image_csv(findings: Sequence[Finding]) -> str:
    """A row for each image and direction; of several checkpoints, for each of them."""
    if len(findings) == 1:
        return as_csv(findings[0].evaluation.images)
    return as_csv([{"checkpoint": str(f.subject.path), **row} for f in findings for row in f.evaluation.images])


def curve_csv(findings: Sequence[Finding]) -> str:
    """A row for each checkpoint."""
    return as_csv([{"checkpoint": str(finding.subject.path), **finding.row} for finding in findings])


def as_csv(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows whose columns may differ."""
    text = io.StringIO()
    writer = csv.DictWriter(text, dict.fromkeys(name for row in rows for name in row), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def best(findings: Sequence[Finding]) -> Finding:
    """The best by the first of `DECISIVE` metrics that was measured, over both directions or the only one.

    The last of those that were not measured under one protocol, as none is the best of them.
    """
    if not comparable(findings):
        return findings[-1]
    rows = [finding.row for finding in findings]
    for stem in DECISIVE:
        for name in (stem, *sorted(name for name in rows[0] if name.startswith(f"{stem}_"))):
            place = best_of(rows, name)
            if place is not None:
                return findings[place]
    return findings[-1]


def unreadable(finding: Finding, held_out: HeldOut, directions: Sequence[Direction]) -> list[str]:
    """The images that were to be translated, and were left out."""
    measured = {row["image"] for row in finding.evaluation.images}
    sources = dict.fromkeys(source for source, _ in directions)
    paths = (held_out.path(source, index) for source in sources for index in held_out.indices[source])
    return [path for path in paths if path not in measured]
