"""Evaluate a translator on held-out images."""

import csv
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from io import StringIO
from typing import Any

import torch

from cyclegan.data.held_out import HeldOut
from cyclegan.errors import DataError
from cyclegan.methods.translator import Translator
from cyclegan.metrics.perceptual import Lpips
from cyclegan.validation.catalogue import Direction, suffix
from cyclegan.validation.distributed import from_first
from cyclegan.validation.feature_cache import References
from cyclegan.validation.one_pass import Collection, collect
from cyclegan.validation.per_image import Forward, PerImage
from cyclegan.validation.protocol import protocol
from cyclegan.validation.summary import stacked, summary


@dataclass(frozen=True)
class Evaluation:
    """The results of an evaluation, the same on all processes."""

    metrics: dict[str, float]
    """Metrics by name, as docs/measuring.md lists them: {"psnr": 21.4, "psnr_ab": 22.1, …}."""
    images: list[dict[str, Any]]
    """A row for each image and direction: direction, image, ground_truth, and the image's own metrics."""
    protocol: dict[str, Any]
    """Images, networks and settings of the measurement."""


@torch.no_grad()
def evaluate(
    translator: Translator,
    held_out: HeldOut,
    references: References | None = None,
    perceptual: Lpips | None = None,
    batch_size: int = 4,
    forward: Forward = nullcontext,
    directions: Sequence[Direction] | None = None,
) -> Evaluation:
    """Translate all held-out images in every direction and back, and measure the results.

    Draws no random numbers and does not change the translator. With several processes, all of them must call it.

    Args:
        translator: on its device, in eval mode.
        held_out: the images.
        references: features of real images and their network; None: no FID, KID, precision and recall.
        perceptual: the network of LPIPS between input and output; None: no LPIPS.
        batch_size: number of images in a batch.
        forward: the context for the translator's networks, such as autocast.
        directions: the directions to measure; None: all that the translator learns.

    Raises:
        WeightsError: the weights of a feature network are unavailable.
        ImageError: an image cannot be read and `held_out.on_error` is not "skip".
        DataError: no image of a domain can be read, or names of domains differ in case only.
    """
    if len({suffix(domain) for domain in held_out.domains}) < len(held_out.domains):
        raise DataError(f"metrics need names of domains that differ in more than case: {', '.join(held_out.domains)}")
    known = {domain: references.find(held_out, domain) for domain in held_out.domains} if references else {}
    missing = frozenset(domain for domain, features in known.items() if features is None)
    per_image = PerImage(translator, directions or translator.directions, perceptual, forward)
    found = collect(per_image, held_out, batch_size, references.features if references else None, missing)
    reals = {domain: stacked(found.features, (domain,)) if f is None else f for domain, f in known.items()}
    if references:
        for domain in missing:
            references.keep(held_out, domain, reals[domain])
    network = references.network if references else None
    return Evaluation(
        from_first(lambda: summary(found, per_image.directions, reals)),
        _rows(found, held_out),
        from_first(lambda: protocol(held_out, per_image.directions, found, network, perceptual)),
    )


def _rows(found: Collection, held_out: HeldOut) -> list[dict[str, Any]]:
    rows = []
    for ((source, target), index), row in sorted(found.translated.items()):
        truth = held_out.ground_truth.get((source, target), {}).get(index)
        rows.append(
            {
                "direction": f"{source}2{target}",
                "image": held_out.path(source, index),
                "ground_truth": None if truth is None else held_out.path(target, truth),
                **found.real[source, index],
                **row,
            }
        )
    return rows


def as_csv(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return rows as the text of a CSV file with all their columns."""
    text = StringIO()
    writer = csv.DictWriter(text, dict.fromkeys(name for row in rows for name in row), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
