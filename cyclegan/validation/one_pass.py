"""One pass over held-out images: per-image metrics, thumbnails and features, computed by all processes together."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, fields
from itertools import groupby, islice

import torch
from torch import Tensor
from tqdm import tqdm

from cyclegan.data.held_out import HeldOut
from cyclegan.errors import DataError
from cyclegan.metrics.diagnostics import thumbnails
from cyclegan.validation.catalogue import Direction
from cyclegan.validation.distributed import all_or_none, gathered, is_first, share
from cyclegan.validation.per_image import Columns, PerImage, paired_metrics

THREADS = 4
"""Number of threads that read images."""

Row = dict[str, float]
GroundTruth = dict[Direction, Tensor]
"""The paired ground truth (C, H, W) of an image, by direction."""
Example = tuple[int, Tensor, GroundTruth]
"""Index, image (C, H, W) and ground truth."""
Vectors = dict[tuple[tuple[str, ...], int], Tensor]
"""Vectors (D,) by domain, as `("A",)`, or direction, and the index of the image."""


@dataclass
class Collection:
    """The results of a pass."""

    real: dict[tuple[str, int], Row] = field(default_factory=dict)
    """Metrics of real images, by domain and index."""
    translated: dict[tuple[Direction, int], Row] = field(default_factory=dict)
    """Metrics of translations, by direction and index of the input."""
    thumbnails: Vectors = field(default_factory=dict)
    """Thumbnails of real images and translations."""
    features: Vectors = field(default_factory=dict)
    """Features of translations, and of the real images of the domains that were asked for."""


def collect(
    per_image: PerImage,
    held_out: HeldOut,
    batch_size: int,
    features: Callable[[Tensor], Tensor] | None = None,
    real_features: frozenset[str] = frozenset(),
) -> Collection:
    """Measure every image of every domain, each process its share, and return the results of all processes.

    Args:
        per_image: translates and measures batches.
        held_out: the images.
        batch_size: number of images in a batch.
        features: returns features (N, D) of images (N, C, H, W); called with all translations.
        real_features: domains whose real images' features are computed too.

    Raises:
        ImageError: an image cannot be read and `on_error` is not "skip".
        DataError: no image of a domain can be read.
    """
    found = Collection()
    total = sum(len(share(indices)) for indices in held_out.indices.values())
    hidden = None if is_first() else True
    with all_or_none(), tqdm(total=total, desc="measuring", unit="img", delay=2, leave=False, disable=hidden) as bar:
        for domain in held_out.domains:
            for indices, images, truths in batches(held_out, domain, batch_size):
                images = images.to(per_image.device)
                found.thumbnails |= vectors((domain,), indices, thumbnails(images))
                if features and domain in real_features:
                    found.features |= vectors((domain,), indices, features(images))
                rows = _rows(indices, per_image.of_real(images, domain))
                found.real |= {(domain, index): row for index, row in rows.items()}
                for direction in per_image.directions:
                    if direction[0] == domain:
                        fakes, columns = per_image.of_translation(images, direction)
                        found.thumbnails |= vectors(direction, indices, thumbnails(fakes))
                        if features:
                            found.features |= vectors(direction, indices, features(fakes))
                        rows, paired = _rows(indices, columns), _paired(direction, indices, images, fakes, truths)
                        found.translated |= {(direction, i): row | paired.get(i, {}) for i, row in rows.items()}
                bar.update(len(indices))
    found = Collection(*(gathered(getattr(found, each.name)) for each in fields(found)))
    for domain in held_out.domains:
        if not any(of == domain for of, _ in found.real):
            raise DataError(f"none of the {held_out.describe(domain)} can be read, so nothing can be measured")
    return found


def batches(held_out: HeldOut, domain: str, batch_size: int) -> Iterator[tuple[list[int], Tensor, list[GroundTruth]]]:
    """Yield this process's readable images of a domain in batches: indices, images (n, C, H, W), and ground truth.

    n is at most `batch_size`. Images of different sizes do not share a batch. Threads read the next batch meanwhile.
    """
    examples = _examples(held_out, domain, ahead=max(batch_size, THREADS))
    for _, alike in groupby(examples, key=lambda example: example[1].shape):
        while batch := list(islice(alike, batch_size)):
            indices, images, truths = zip(*batch, strict=True)
            yield list(indices), torch.stack(images), list(truths)


def _examples(held_out: HeldOut, domain: str, ahead: int) -> Iterator[Example]:
    with ThreadPoolExecutor(THREADS) as pool:
        waiting: deque[Future[Example | None]] = deque()
        for index in share(held_out.indices[domain]):
            waiting.append(pool.submit(_example, held_out, domain, index))
            if len(waiting) > ahead and (example := waiting.popleft().result()):
                yield example
        for each in waiting:
            if example := each.result():
                yield example


def _example(held_out: HeldOut, domain: str, index: int) -> Example | None:
    image = held_out.image(domain, index)
    if image is None:
        return None
    pairs = {way: each[index] for way, each in held_out.ground_truth.items() if way[0] == domain and index in each}
    truths = {way: held_out.image(way[1], pair) for way, pair in pairs.items()}
    return index, image, {way: truth for way, truth in truths.items() if truth is not None}


def vectors(of: tuple[str, ...], indices: Sequence[int], batch: Tensor) -> Vectors:
    """Return the rows of a batch (N, D) on the CPU by domain or direction and index."""
    rows = (row.clone() for row in batch.cpu())  # a view would keep its batch in memory, and be sent with it
    return {(of, index): row for index, row in zip(indices, rows, strict=True)}


def _rows(indices: Sequence[int], columns: Columns) -> dict[int, Row]:
    lists = {name: values.tolist() for name, values in columns.items()}
    return {index: {name: values[place] for name, values in lists.items()} for place, index in enumerate(indices)}


def _paired(
    direction: Direction, indices: list[int], images: Tensor, fakes: Tensor, truths: list[GroundTruth]
) -> dict[int, Row]:
    """Return the paired metrics of the images whose ground truth has the size of the translations."""
    known = {place: each[direction] for place, each in enumerate(truths) if direction in each}
    places = [place for place, truth in known.items() if truth.shape == fakes.shape[1:]]
    if not places:
        return {}
    truth = torch.stack([known[place] for place in places]).to(fakes.device)
    return _rows([indices[place] for place in places], paired_metrics(images[places], fakes[places], truth))
