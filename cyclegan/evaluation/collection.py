"""One pass over held-out pictures: what is known of each of them, once, on all processes together."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor
from tqdm import tqdm

from cyclegan.data.errors import DataError
from cyclegan.data.held_out import HeldOut
from cyclegan.evaluation.pictures import Columns, Direction, Examiner, of_answers
from cyclegan.evaluation.ranks import all_or_none, gathered, is_first, share
from cyclegan.metrics.symptoms import thumbnails

Row = dict[str, float]
Vectors = dict[int, Tensor]
"""Vectors (D,) of pictures, by their index."""


@dataclass
class Collection:
    """What a pass brings."""

    rows: dict[tuple[str, str, int], Row] = field(default_factory=dict)
    """Figures by source, target and index: of that picture of the source, and of its translation."""

    thumbnails: dict[tuple[str, ...], Vectors] = field(default_factory=dict)
    """Of real pictures by their domain, of translations by their direction."""

    features: dict[tuple[str, ...], Vectors] = field(default_factory=dict)
    """The same, where asked for."""

    untranslated: dict[tuple[str, int], Row] = field(default_factory=dict)
    """Figures by domain and index: of the pictures of a domain that nothing is translated from."""


def collect(
    examiner: Examiner,
    held_out: HeldOut,
    batch_size: int,
    features: Callable[[Tensor], Tensor] | None = None,
    real_features: frozenset[str] = frozenset(),
) -> Collection:
    """Examines every picture of every domain, this process its share of them, and brings the shares together.

    Args:
        examiner: looks at pictures.
        held_out: the pictures.
        batch_size: how many go through the networks together.
        features: (N, D) of images (N, C, H, W), of all translations.
        real_features: the domains whose real pictures' features are asked for too.

    Raises:
        ImageError: a picture cannot be read, and such are not to be left out.
        DataError: of a domain, none can be read.
    """
    found = Collection()
    with all_or_none():
        look(found, examiner, held_out, batch_size, features, real_features)
    found = Collection(
        gathered(found.rows),
        gathered_sets(found.thumbnails),
        gathered_sets(found.features),
        gathered(found.untranslated),
    )
    for domain in held_out.domains:
        if (domain,) not in found.thumbnails:
            raise DataError(f"none of the {held_out.describe(domain)} can be read, so nothing can be measured")
    return found


def look(
    found: Collection,
    examiner: Examiner,
    held_out: HeldOut,
    batch_size: int,
    features: Callable[[Tensor], Tensor] | None,
    real_features: frozenset[str],
) -> None:
    """Fills a collection with this process's share of the pictures; see `collect`."""
    total = sum(len(share(indices)) for indices in held_out.indices.values())
    shown = None if is_first() else True
    with tqdm(total=total, desc="measuring", unit="img", delay=2, leave=False, disable=shown) as bar:
        for domain in held_out.domains:
            for indices, images in batches(held_out, domain, batch_size):
                images = images.to(examiner.device)
                note(found.thumbnails, (domain,), indices, thumbnails(images))
                if features and domain in real_features:
                    note(found.features, (domain,), indices, features(images))
                of_real = examiner.of_real(images, domain)
                directions = [direction for direction in examiner.directions if direction[0] == domain]
                if not directions:
                    found.untranslated.update(((domain, index), row) for index, row in rows(indices, of_real))
                for direction in directions:
                    fakes, columns = examiner.of_translation(images, direction)
                    note(found.thumbnails, direction, indices, thumbnails(fakes))
                    if features:
                        note(found.features, direction, indices, features(fakes))
                    for index, row in rows(indices, of_real | columns):
                        found.rows[*direction, index] = row
                    for index, row in answered(held_out, direction, indices, images, fakes):
                        found.rows[*direction, index] |= row
                bar.update(len(indices))


def batches(held_out: HeldOut, domain: str, batch_size: int) -> Iterator[tuple[list[int], Tensor]]:
    """This process's pictures of a domain: their indices and images (n, C, H, W), n up to `batch_size`.

    Pictures of different sizes do not share a batch.
    """
    indices: list[int] = []
    images: list[Tensor] = []
    for index in share(held_out.indices[domain]):
        image = held_out.image(domain, index)
        if image is None:
            continue
        if images and (len(images) == batch_size or images[0].shape != image.shape):
            yield indices, torch.stack(images)
            indices, images = [], []
        indices.append(index)
        images.append(image)
    if images:
        yield indices, torch.stack(images)


def answered(
    held_out: HeldOut, direction: Direction, indices: list[int], images: Tensor, fakes: Tensor
) -> Iterator[tuple[int, Row]]:
    """The figures of those pictures of a batch whose answers are known, and as large as the translations."""
    known = held_out.answers.get(direction, {})
    places, answers = [], []
    for place, index in enumerate(indices):
        answer = held_out.image(direction[1], known[index]) if index in known else None
        if answer is not None and answer.shape == fakes.shape[1:]:
            places.append(place)
            answers.append(answer)
    if places:
        columns = of_answers(images[places], fakes[places], torch.stack(answers).to(fakes.device))
        yield from rows([indices[place] for place in places], columns)


def rows(indices: list[int], columns: Columns) -> Iterator[tuple[int, Row]]:
    """Each picture's figures out of those of a batch."""
    lists = {name: values.tolist() for name, values in columns.items()}
    for place, index in enumerate(indices):
        yield index, {name: values[place] for name, values in lists.items()}


def note(sets: dict[tuple[str, ...], Vectors], of: tuple[str, ...], indices: list[int], vectors: Tensor) -> None:
    """Adds a batch's vectors (N, D) to a set."""
    rows = (row.clone() for row in vectors.cpu())  # a view would hold on to its batch, and be sent with it
    sets.setdefault(of, {}).update(zip(indices, rows, strict=True))


def gathered_sets(sets: dict[tuple[str, ...], Vectors]) -> dict[tuple[str, ...], Vectors]:
    """The sets of all processes as one."""
    flat = gathered({(of, index): vector for of, vectors in sets.items() for index, vector in vectors.items()})
    merged: dict[tuple[str, ...], Vectors] = {}
    for (of, index), vector in flat.items():
        merged.setdefault(of, {})[index] = vector
    return merged
