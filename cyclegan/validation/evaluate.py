"""Measuring a translator: one pass over held-out images, and what comes of it."""

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch

from cyclegan.data.held_out import HeldOut
from cyclegan.methods.translator import Translator
from cyclegan.metrics.perceptual import Lpips
from cyclegan.validation.distributed import from_first
from cyclegan.validation.feature_cache import References
from cyclegan.validation.one_pass import Collection, collect
from cyclegan.validation.per_image import Direction, Examiner, Forward
from cyclegan.validation.protocol import protocol
from cyclegan.validation.summary import stacked, summary


@dataclass(frozen=True)
class Evaluation:
    """What was measured. The same on all processes."""

    metrics: dict[str, float]
    """By name, as docs/measuring.md lists them: {"psnr": 21.4, "psnr_ab": 22.1, …}."""

    images: list[dict[str, Any]]
    """For each image and direction: direction, image, answer, and the image's own metrics."""

    protocol: dict[str, Any]
    """With what, and how."""


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
    """Translates all held-out images in every direction and back, and measures.

    Draws no random numbers and leaves the translator as it was. To be called on all processes, if there are several.

    Args:
        translator: on its device, in eval mode.
        held_out: the images.
        references: features of real images, and the network that makes them; None: no FID, KID, precision, recall.
        perceptual: LPIPS between input and output; None: none.
        batch_size: images that go through the networks together.
        forward: the context for the translator's networks: mixed precision.
        directions: those that are measured; None: all that the translator learns.

    Raises:
        WeightsError: a feature network's weights cannot be had.
        ImageError: an image cannot be read, and such are not to be left out.
    """
    known = {domain: references.find(held_out, domain) for domain in held_out.domains} if references else {}
    examiner = Examiner(translator, perceptual, forward, directions)
    found = collect(
        examiner,
        held_out,
        batch_size,
        references.features if references else None,
        frozenset(domain for domain, features in known.items() if features is None),
    )
    reals = {domain: stacked(found.features[domain,]) if f is None else f for domain, f in known.items()}
    if references:
        for domain, features in reals.items():
            if known[domain] is None:
                references.keep(held_out, domain, features)
    network = references.network if references else None
    return Evaluation(
        from_first(lambda: summary(found, examiner.directions, reals)),
        table(found, held_out),
        from_first(lambda: protocol(held_out, examiner.directions, found, network, perceptual)),
    )


def table(found: Collection, held_out: HeldOut) -> list[dict[str, Any]]:
    """A row for each image and direction."""
    rows = []
    for (source, target, index), row in sorted(found.rows.items()):
        answer = held_out.answers.get((source, target), {}).get(index)
        rows.append(
            {
                "direction": f"{source}2{target}",
                "image": held_out.path(source, index),
                "answer": None if answer is None else held_out.path(target, answer),
                **row,
            }
        )
    return rows
