"""The results of evaluating checkpoints, as text for a terminal and as files."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cyclegan.data.held_out import HeldOut
from cyclegan.evaluate.checkpoints import EvaluatedCheckpoint, labels, run_of
from cyclegan.evaluate.table import best_of, of_one, of_several, protocol_text, wrapped
from cyclegan.files import write_text
from cyclegan.validation.catalogue import Direction
from cyclegan.validation.evaluate import Evaluation, as_csv
from cyclegan.validation.summary import MIN_PRECISION

DECISIVE = ("psnr", "kid", "fid", "cycle")
"""The first of these that was measured chooses the checkpoint of the contact sheets."""

NOT_COMPARABLE = """
WARNING    the checkpoints were measured under different protocols, so their metrics
           cannot be compared and none is marked as the best. The protocol below the
           table is that of the first; metrics.json has all"""


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


def count_runs(results: Sequence[Result]) -> int:
    """Return the number of runs that the checkpoints are of."""
    return len({run_of(result.checkpoint.path) for result in results})


def comparable(results: Sequence[Result]) -> bool:
    """Return whether all were measured under one protocol."""
    return all(result.evaluation.protocol == results[0].evaluation.protocol for result in results)


def best(results: Sequence[Result]) -> Result:
    """Return the best result by the first metric of `DECISIVE` that was measured; the last if protocols differ."""
    rows = [result.row for result in results]
    for metric in DECISIVE if comparable(results) else ():
        for name in (metric, *sorted(name for name in rows[0] if name.startswith(f"{metric}_"))):
            place = best_of(rows, name)
            if place is not None:
                return results[place]
    return results[-1]


def as_text(results: Sequence[Result], directions: Sequence[Direction], held_out: HeldOut) -> str:
    """Return a table, the protocol, and remarks on missing metrics; `held_out`: the images of the first checkpoint."""
    first, count, runs = results[0], len(results), count_runs(results)
    if count == 1:
        trained = f"epoch {first.checkpoint.epoch:g}, {first.checkpoint.images:,} images"
        head = f"{first.checkpoint.path}: {trained if first.checkpoint.images else 'weights without their training'}"
        table = of_one(first.evaluation.metrics, directions)
    else:
        head = f"{count} checkpoints" + (f" of {runs} runs" if runs > 1 else "")
        mark = comparable(results)
        head += ", * the best of each column" if mark else NOT_COMPARABLE
        names = labels([result.checkpoint.path for result in results]) if runs > 1 else [""] * count
        table = of_several([result.row for result in results], directions, names, mark)
    remarks = _remarks(first.evaluation, held_out)
    return "\n".join([head, "", table, "", protocol_text(first.evaluation.protocol), *map(wrapped, remarks)])


def _remarks(found: Evaluation, held_out: HeldOut) -> list[str]:
    lines = []
    unreadable = {domain: count for domain, count in found.protocol["images"]["unreadable"].items() if count}
    if unreadable:
        lines.append(f"skipped    {', '.join(f'{domain}: {count}' for domain, count in unreadable.items())} unreadable")
    if not held_out.ground_truth and (hint := held_out.describe_pairing("--pairing by_name")):
        lines.append(f"pairing    {hint}")
    missing = Counter(row["direction"] for row in found.images if row["ground_truth"] and "psnr" not in row)
    if missing:
        why = "is unreadable or has another size" if unreadable else "has another size"
        counts = ", ".join(f"{way} {count}" for way, count in missing.items())
        lines.append(f"paired     not compared, as the ground truth {why} than the translation: {counts}")
    if not any(name.startswith("cycle") for name in found.metrics):
        lines.append("cycle      none: the checkpoint does not translate back")
    if "distances" in found.protocol:
        if not any(name.startswith("kid") for name in found.metrics):
            lines.append("distances  none: KID and FID need 2 images of each domain")
        elif not any(name.startswith("precision") for name in found.metrics):
            lines.append(f"distances  no precision and recall: they need {MIN_PRECISION} images of each domain")
        if "fid" in found.metrics:
            lines.append("distances  FID is too high below 5,000 images: go by KID")
    return lines


def skipped_images(result: Result, held_out: HeldOut, directions: Sequence[Direction]) -> list[str]:
    """Return the paths of the inputs that could not be read."""
    measured = {row["image"] for row in result.evaluation.images}
    sources = dict.fromkeys(source for source, _ in directions)
    paths = (held_out.path(source, index) for source in sources for index in held_out.indices[source])
    return [path for path in paths if path not in measured]


def write_results(output: Path, results: Sequence[Result]) -> None:
    """Write metrics.json and per_image.csv; of several checkpoints curve.csv, and curve.html if they are of one run."""
    record = {"checkpoints": [result.record for result in results]}
    write_text(output / "metrics.json", json.dumps(record, indent=2, ensure_ascii=False) + "\n")
    several = len(results) > 1
    names = [{"checkpoint": str(result.checkpoint.path)} if several else {} for result in results]
    rows = [name | row for name, result in zip(names, results, strict=True) for row in result.evaluation.images]
    write_text(output / "per_image.csv", as_csv(rows))
    for file in ("curve.csv", "curve.html"):  # of an earlier evaluation
        (output / file).unlink(missing_ok=True)
    if several:
        curve = [name | result.row for name, result in zip(names, results, strict=True)]
        write_text(output / "curve.csv", as_csv(curve))
    if several and count_runs(results) == 1:
        from cyclegan.report.page import write_curve

        write_curve([result.row for result in results], output / "curve.html")
