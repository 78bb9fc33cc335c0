"""From metrics of images to metrics of a translator."""

from collections.abc import Iterable, Mapping, Sequence
from math import isfinite

import torch
from torch import Tensor

from cyclegan.metrics.diagnostics import variety
from cyclegan.metrics.fid import frechet_distance
from cyclegan.metrics.kid import kernel_distance
from cyclegan.metrics.precision_recall import precision_recall
from cyclegan.validation.catalogue import is_selectable, suffix
from cyclegan.validation.one_pass import Collection, Vectors
from cyclegan.validation.per_image import OF_REAL, Direction

OF_SOURCE = ("cycle", "identity", "realness_real", OF_REAL)
"""Named by the domain that the image is from, as the losses are."""
OF_TARGET = ("realness_fake",)
"""Named by the domain that it was translated into; the others by both."""

SUBSETS = 100
NEIGHBOURS = 3

LEAST = 2
"""Images of each kind that have a covariance."""

LEAST_OF_A_MANIFOLD = 50
"""Images of each kind below which precision and recall are left out: one image moves them by more than 0.02."""


def summary(found: Collection, directions: Sequence[Direction], reals: Mapping[str, Tensor]) -> dict[str, float]:
    """All metrics by name, as docs/measuring.md lists them.

    Args:
        found: in a pass.
        directions: that were looked at.
        reals: features (N, D) of the real images of each domain; empty: there are no distances.
    """
    metrics = means(found)
    for source, target in directions:
        of = suffix(source, target)
        metrics[f"variety_{of}"] = variety(
            stacked(found.thumbnails[source, target]), stacked(found.thumbnails[target,])
        )
        # Some images have such a pattern themselves.
        metrics[f"checkerboard_{of}"] -= metrics.get(f"{OF_REAL}_{suffix(target)}", 0.0)
        if reals and min(len(reals[source]), len(reals[target])) >= LEAST:
            metrics |= distances(stacked(found.features[source, target]), reals[source], reals[target], of)
    measured = {
        name: value
        for name, value in metrics.items()
        if isfinite(value) and not name.startswith(OF_REAL)  # too small or too few images have none
    }
    return {**overall(measured, len(directions)), **measured}


def means(found: Collection) -> dict[str, float]:
    """The means of the images' metrics."""
    values: dict[str, list[float]] = {}
    for (source, target, _), row in sorted(found.rows.items()):
        for name, value in row.items():
            domains = (source,) if name in OF_SOURCE else (target,) if name in OF_TARGET else (source, target)
            values.setdefault(f"{name}_{suffix(*domains)}", []).append(value)
    for (domain, _), row in sorted(found.untranslated.items()):
        for name, value in row.items():
            values.setdefault(f"{name}_{suffix(domain)}", []).append(value)
    return {name: mean(each) for name, each in values.items()}


def mean(values: Iterable[float]) -> float:
    """Over the finite ones, as the PSNR of equal images is infinite; not a number if there are none."""
    finite = [value for value in values if isfinite(value)]
    return sum(finite) / len(finite) if finite else float("nan")


def distances(fakes: Tensor, sources: Tensor, targets: Tensor, of: str) -> dict[str, float]:
    """How far translations are from the target domain, and how far the untouched images are.

    Args:
        fakes: features (N, D) of translations.
        sources: features of the images that were translated.
        targets: features (M, D) of real images of the target domain.
        of: what the metrics' names end in.
    """
    kid = kernel_distance(fakes, targets, subsets=SUBSETS)
    enough = min(len(fakes), len(targets)) >= LEAST_OF_A_MANIFOLD
    precision, recall = precision_recall(targets, fakes, k=NEIGHBOURS) if enough else (float("nan"), float("nan"))
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
    """The mean over directions, or domains, of each metric that a run is judged by; of those that all of them have."""
    found: dict[str, list[float]] = {}
    for name, value in metrics.items():
        if is_selectable(name):
            found.setdefault(name.partition("_")[0], []).append(value)
    return {
        name: sum(values) / len(values)
        for name, values in found.items()
        if name in OF_SOURCE or len(values) == directions
    }


def stacked(vectors: Vectors) -> Tensor:
    """(N, D) in the images' order, whichever process had them."""
    return torch.stack([vectors[index] for index in sorted(vectors)])
