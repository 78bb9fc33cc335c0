"""One pass over held-out images: what is known of each of them, once, on all processes together."""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

import torch
from torch import Tensor
from tqdm import tqdm

from cyclegan.data.held_out import HeldOut
from cyclegan.data.transforms import Planes
from cyclegan.errors import DataError
from cyclegan.metrics.diagnostics import thumbnails
from cyclegan.validation.distributed import all_or_none, gathered, is_first, share
from cyclegan.validation.per_image import Columns, Direction, Examiner, of_answers

THREADS = 4
"""That read images, and how many images they are ahead of the networks."""

KEPT_BYTES = 2**28
"""Of decoded paired images: 1,300 of 256 × 256 and 8 bits."""

Row = dict[str, float]
Answers = dict[Direction, Tensor]
"""The paired ground truth (C, H, W) of an image, by direction."""
Vectors = dict[int, Tensor]
"""Vectors (D,) of images, by their index."""


@dataclass
class Collection:
    """What a pass brings."""

    rows: dict[tuple[str, str, int], Row] = field(default_factory=dict)
    """Metrics by source, target and index: of that image of the source, and of its translation."""

    thumbnails: dict[tuple[str, ...], Vectors] = field(default_factory=dict)
    """Of real images by their domain, of translations by their direction."""

    features: dict[tuple[str, ...], Vectors] = field(default_factory=dict)
    """The same, where asked for."""

    untranslated: dict[tuple[str, int], Row] = field(default_factory=dict)
    """Metrics by domain and index: of the images of a domain that nothing is translated from."""


def collect(
    examiner: Examiner,
    held_out: HeldOut,
    batch_size: int,
    features: Callable[[Tensor], Tensor] | None = None,
    real_features: frozenset[str] = frozenset(),
) -> Collection:
    """Examines every image of every domain, this process its share of them, and brings the shares together.

    Args:
        examiner: looks at images.
        held_out: the images.
        batch_size: how many go through the networks together.
        features: (N, D) of images (N, C, H, W), of all translations.
        real_features: the domains whose real images' features are asked for too.

    Raises:
        ImageError: an image cannot be read, and such are not to be left out.
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
    """Fills a collection with this process's share of the images; see `collect`."""
    read = Reader(held_out)
    total = sum(len(share(indices)) for indices in held_out.indices.values())
    shown = None if is_first() else True
    with tqdm(total=total, desc="measuring", unit="img", delay=2, leave=False, disable=shown) as bar:
        for domain in held_out.domains:
            for indices, images, answers in batches(read, domain, batch_size):
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
                    for index, row in answered(direction, indices, images, fakes, answers):
                        found.rows[*direction, index] |= row
                bar.update(len(indices))


class Reader:
    """Reads the images of one pass, in threads ahead of the networks.

    A paired image is needed twice, as input and as ground truth. As long as they fit into `KEPT_BYTES`, such images are
    kept from their first use to the second.
    """

    def __init__(self, held_out: HeldOut) -> None:
        self.held_out = held_out
        self._paired = {(source, index) for (source, _), pairs in held_out.answers.items() for index in pairs}
        self._kept: dict[tuple[str, int], Planes] = {}

    def of(self, domain: str) -> Iterator[tuple[int, Tensor, Answers]]:
        """This process's images of a domain, in order: index, image (C, H, W), and its ground truth by direction."""
        with ThreadPoolExecutor(THREADS) as pool:
            waiting: deque[tuple[int, Future[tuple[Tensor | None, Answers]]]] = deque()
            for index in share(self.held_out.indices[domain]):
                waiting.append((index, pool.submit(self._with_answers, domain, index)))
                if len(waiting) > THREADS:
                    yield from _readable(waiting.popleft())
            while waiting:
                yield from _readable(waiting.popleft())

    def _with_answers(self, domain: str, index: int) -> tuple[Tensor | None, Answers]:
        image = self._image(domain, index)
        known = self.held_out.answers.items() if image is not None else ()
        found = {way: self._image(way[1], pairs[index]) for way, pairs in known if way[0] == domain and index in pairs}
        return image, {way: answer for way, answer in found.items() if answer is not None}

    def _image(self, domain: str, index: int) -> Tensor | None:
        planes = self._kept.pop((domain, index), None)
        if planes is None:
            planes = self.held_out.planes(domain, index)
            if planes is None:
                return None
            if (domain, index) in self._paired and (len(self._kept) + 1) * planes.nbytes <= KEPT_BYTES:
                self._kept[domain, index] = planes
        return self.held_out.domains[domain].tensor(planes)


def _readable(
    read: tuple[int, Future[tuple[Tensor | None, Answers]]],
) -> Iterator[tuple[int, Tensor, Answers]]:
    index, future = read
    image, answers = future.result()
    if image is not None:
        yield index, image, answers


def batches(read: Reader, domain: str, batch_size: int) -> Iterator[tuple[list[int], Tensor, list[Answers]]]:
    """This process's images of a domain: indices, images (n, C, H, W) with n up to `batch_size`, and ground truth.

    Images of different sizes do not share a batch.
    """
    batch: list[tuple[int, Tensor, Answers]] = []
    for each in read.of(domain):
        if batch and (len(batch) == batch_size or batch[0][1].shape != each[1].shape):
            yield _stacked(batch)
            batch = []
        batch.append(each)
    if batch:
        yield _stacked(batch)


def _stacked(batch: list[tuple[int, Tensor, Answers]]) -> tuple[list[int], Tensor, list[Answers]]:
    indices, images, answers = zip(*batch, strict=True)
    return list(indices), torch.stack(images), list(answers)


def answered(
    direction: Direction, indices: list[int], images: Tensor, fakes: Tensor, answers: list[Answers]
) -> Iterator[tuple[int, Row]]:
    """The metrics of the images of a batch whose paired ground truth is as large as their translations."""
    known = {place: each[direction] for place, each in enumerate(answers) if direction in each}
    places = [place for place, answer in known.items() if answer.shape == fakes.shape[1:]]
    if places:
        right = torch.stack([known[place] for place in places]).to(fakes.device)
        columns = of_answers(images[places], fakes[places], right)
        yield from rows([indices[place] for place in places], columns)


def rows(indices: list[int], columns: Columns) -> Iterator[tuple[int, Row]]:
    """Each image's metrics out of those of a batch."""
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
