"""Metrics of a translator, computed from those of single images and from features."""

from collections.abc import Iterable, Mapping, Sequence
from math import isfinite, nan

import torch
from torch import Tensor

from cyclegan.metrics.diagnostics import variety
from cyclegan.metrics.fid import frechet_distance
from cyclegan.metrics.kid import kernel_distance
from cyclegan.metrics.precision_recall import precision_recall
from cyclegan.validation.catalogue import METRICS, Direction, is_selectable, split, suffix
from cyclegan.validation.one_pass import Collection, Vectors
from cyclegan.validation.per_image import INPUT_PATTERN

SUBSETS = 100
NEIGHBOURS = 3

MIN_DISTANCE = 2
"""Number of images of each domain from which FID and KID are measured."""

MIN_PRECISION = 50
"""Number of images of each domain from which precision and recall are measured; one image moves them by 0.02."""


def summary(found: Collection, directions: Sequence[Direction], reals: Mapping[str, Tensor]) -> dict[str, float]:
    """Return all metrics by name, as docs/measuring.md lists them.

    Args:
        found: results of a pass.
        directions: the measured directions.
        reals: features (N, D) of the real images of each domain; empty: no FID, KID, precision and recall.
    """
    metrics = _means(found)
    for source, target in directions:
        of = suffix(source, target)
        fakes, real = stacked(found.thumbnails, (source, target)), stacked(found.thumbnails, (target,))
        metrics[f"variety_{of}"] = variety(fakes, real)
        # JPEG and cameras leave such a pattern in real images too.
        metrics[f"checkerboard_{of}"] -= _mean(
            row[INPUT_PATTERN] for (domain, _), row in sorted(found.real.items()) if domain == target
        )
        if reals and min(len(reals[source]), len(reals[target])) >= MIN_DISTANCE:
            metrics |= distances(stacked(found.features, (source, target)), reals[source], reals[target], of)
    measured = {name: value for name, value in metrics.items() if isfinite(value)}
    return {**overall(measured, len(directions)), **measured}


def _means(found: Collection) -> dict[str, float]:
    values: dict[str, list[float]] = {}
    for (domain, _), row in sorted(found.real.items()):
        for name, value in row.items():
            if name != INPUT_PATTERN:
                values.setdefault(f"{name}_{suffix(domain)}", []).append(value)
    for (direction, _), row in sorted(found.translated.items()):
        for name, value in row.items():
            metric, variant, _ = split(name)
            values.setdefault(METRICS[metric].column(direction, variant), []).append(value)
    return {name: _mean(each) for name, each in values.items()}


def _mean(values: Iterable[float]) -> float:
    finite = [value for value in values if isfinite(value)]  # the PSNR of equal images is infinite
    return sum(finite) / len(finite) if finite else nan


def distances(fakes: Tensor, sources: Tensor, targets: Tensor, of: str) -> dict[str, float]:
    """Return the distances of translations, and of their inputs, from real images of the target domain.

    Args:
        fakes: features (N, D) of translations.
        sources: features (N, D) of their inputs.
        targets: features (M, D) of real images.
        of: the end of the metrics' names, such as `ab`.
    """
    kid = kernel_distance(fakes, targets, subsets=SUBSETS)
    enough = min(len(fakes), len(targets)) >= MIN_PRECISION
    precision, recall = precision_recall(targets, fakes, k=NEIGHBOURS) if enough else (nan, nan)
    return {
        f"fid_{of}": frechet_distance(fakes, targets),
        f"fid_copied_{of}": frechet_distance(sources, targets),
        f"kid_{of}": kid.value,
        f"kid_spread_{of}": kid.spread,
        f"kid_copied_{of}": kernel_distance(sources, targets, subsets=SUBSETS).value,
        f"precision_{of}": precision,
        f"recall_{of}": recall,
    }


def overall(metrics: Mapping[str, float], directions: int) -> dict[str, float]:
    """Return the mean of each metric with a better side over its domains, or over its directions if all have it."""
    found: dict[str, list[float]] = {}
    for name, value in metrics.items():
        if is_selectable(name):
            found.setdefault(split(name).metric, []).append(value)
    complete = (name for name in found if METRICS[name].domains != "both" or len(found[name]) == directions)
    return {name: sum(found[name]) / len(found[name]) for name in complete}


def stacked(vectors: Vectors, of: tuple[str, ...]) -> Tensor:
    """Return the vectors of a domain or direction as (N, D), in the order of the images."""
    return torch.stack([vectors[key] for key in sorted(vectors) if key[0] == of])
