"""The results of evaluating checkpoints, as text for a terminal and as files."""

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
from cyclegan.evaluate.checkpoints import EvaluatedCheckpoint, in_order, labels
from cyclegan.evaluate.table import best_of, of_one, of_several, protocol_text
from cyclegan.files import write_text
from cyclegan.validation.catalogue import Direction
from cyclegan.validation.evaluate import Evaluation
from cyclegan.validation.summary import MIN_PRECISION

DECISIVE = ("psnr", "kid", "fid", "cycle")
"""The first of these that was measured chooses the checkpoint of the contact sheets."""


@dataclass(frozen=True)
class Result:
    """A checkpoint and its evaluation."""

    checkpoint: EvaluatedCheckpoint
    evaluation: Evaluation

    @property
    def row(self) -> dict[str, float]:
        """Images seen, epoch, and the metrics."""
        return {"images": self.checkpoint.images, "epoch": self.checkpoint.epoch, **self.evaluation.metrics}

    @property
    def record(self) -> dict[str, Any]:
        """The checkpoint's entry in metrics.json."""
        weights = "their moving average" if self.checkpoint.averaged else "as trained"
        return {
            "checkpoint": str(self.checkpoint.path),
            "sha256": self.checkpoint.sha256,
            "epoch": self.checkpoint.epoch,
            "images": self.checkpoint.images,
            "metrics": self.evaluation.metrics,
            "protocol": {**self.evaluation.protocol, "weights": weights},
        }


def runs_of(results: Sequence[Result]) -> list[Path]:
    """Return the folders of the checkpoints' runs, each once."""
    return in_order([result.checkpoint.path for result in results])


def comparable(results: Sequence[Result]) -> bool:
    """Return whether all were measured under one protocol."""
    return all(result.evaluation.protocol == results[0].evaluation.protocol for result in results)


def best(results: Sequence[Result]) -> Result:
    """Return the best result by the first metric of `DECISIVE` that was measured; the last if protocols differ."""
    if not comparable(results):
        return results[-1]
    rows = [result.row for result in results]
    for metric in DECISIVE:
        for name in (metric, *sorted(name for name in rows[0] if name.startswith(f"{metric}_"))):
            place = best_of(rows, name)
            if place is not None:
                return results[place]
    return results[-1]


def as_text(results: Sequence[Result], directions: Sequence[Direction]) -> str:
    """Return the table of one or several checkpoints, and the protocol."""
    first = results[0]
    if len(results) == 1:
        head = [f"{first.checkpoint.path}: epoch {first.checkpoint.epoch:g}, {first.checkpoint.images:,} images"]
        table = of_one(first.evaluation.metrics, directions)
    else:
        runs = len(runs_of(results))
        of = f" of {runs} runs" if runs > 1 else ""
        names = labels([result.checkpoint.path for result in results]) if runs > 1 else []
        head = [f"{len(results)} checkpoints{of}, * the best of each column"]
        if not comparable(results):
            head = [
                f"{len(results)} checkpoints{of}",
                "WARNING    the checkpoints were measured under different protocols, so their metrics",
                "           cannot be compared and none is marked as the best. The protocol below the",
                "           table is that of the first; metrics.json has all",
            ]
        table = of_several([result.row for result in results], directions, names, mark=comparable(results))
    return "\n".join([*head, "", table, "", protocol_text(first.evaluation.protocol), *_remarks(results)])


def _remarks(results: Sequence[Result]) -> list[str]:
    lines = []
    skipped: dict[str, int] = {}
    for result in results:
        rows = result.evaluation.images
        for way, count in Counter(r["direction"] for r in rows if r["ground_truth"] and "psnr" not in r).items():
            skipped[way] = max(count, skipped.get(way, 0))
    if skipped:
        unreadable = any(any(result.evaluation.protocol["images"]["unreadable"].values()) for result in results)
        why = "is unreadable or has another size" if unreadable else "has another size"
        counts = ", ".join(f"{way} {count}" for way, count in skipped.items())
        text = f"paired     not compared, as the ground truth {why} than the translation: {counts}"
        lines.append(fill(text, 80, subsequent_indent=" " * 11))
    measured = [result.evaluation.metrics for result in results if "distances" in result.evaluation.protocol]
    if any(not any(name.startswith("kid") for name in metrics) for metrics in measured):
        lines.append("distances  none: KID and FID need 2 images of each domain")
    elif any(not any(name.startswith("precision") for name in metrics) for metrics in measured):
        lines.append(f"           no precision and recall: they need {MIN_PRECISION} images of each domain")
    if any("fid" in metrics for metrics in measured):
        lines.append("           FID is too high below 5,000 images: go by KID")
    return lines


def skipped_images(result: Result, held_out: HeldOut, directions: Sequence[Direction]) -> list[str]:
    """Return the paths of the inputs that could not be read."""
    measured = {row["image"] for row in result.evaluation.images}
    sources = dict.fromkeys(source for source, _ in directions)
    paths = (held_out.path(source, index) for source in sources for index in held_out.indices[source])
    return [path for path in paths if path not in measured]


def write_results(output: Path, results: Sequence[Result]) -> None:
    """Write metrics.json and per_image.csv; of several checkpoints curve.csv, and curve.html if they are of one run."""
    record = _finite({"checkpoints": [result.record for result in results]})
    write_text(output / "metrics.json", json.dumps(record, indent=2, ensure_ascii=False, allow_nan=False) + "\n")
    several = len(results) > 1
    rows = [
        {**({"checkpoint": str(result.checkpoint.path)} if several else {}), **row}
        for result in results
        for row in result.evaluation.images
    ]
    write_text(output / "per_image.csv", _as_csv(rows))
    for name in ("curve.csv", "curve.html"):  # of an earlier evaluation
        (output / name).unlink(missing_ok=True)
    if several:
        curve = [{"checkpoint": str(result.checkpoint.path), **result.row} for result in results]
        write_text(output / "curve.csv", _as_csv(curve))
        runs = len(runs_of(results))
        if runs == 1:
            from cyclegan.report.page import write_curve

            write_curve([result.row for result in results], output / "curve.html")
        else:
            print(f"curve      no curve.html, as the checkpoints are of {runs} runs; curve.csv has their metrics")


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _finite(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not isfinite(value) else value


def _as_csv(rows: Sequence[Mapping[str, Any]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, dict.fromkeys(name for row in rows for name in row), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
