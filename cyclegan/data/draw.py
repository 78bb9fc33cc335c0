"""Draws: which images make up the training sample at a position of the run.

A draw is a pure function of (seed, position). The number of workers and devices, and a stop and resume at any batch,
do not change it: the only state of a run is the position that it has reached.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from cyclegan.data.file_list import ImageSource
from cyclegan.data.selection import paired_names
from cyclegan.errors import DataError

# NumPy pads seeds with zeros: [1, 2] and [1, 2, 0] are one stream. Keys of one length never coincide.
_ORDER, _AUGMENTATION = 1, 2


class Item(NamedTuple):
    """An image of a sample: its domain, its number there, and the group whose images share one crop and flip."""

    domain: str
    number: int
    group: str


class Draw(Protocol):
    """Chooses the images of each training sample."""

    def __call__(self, position: int) -> list[Item]:
        """Return the items of the sample at `position`; those of one group stand side by side."""
        ...

    def following(self, items: list[Item]) -> list[Item]:
        """Return the group that replaces `items`, all of one group, where one of its images is unreadable."""
        ...


class Independent:
    """One image of each domain, in an order of its own, with a crop and flip of its own: unpaired training.

    Args:
        domains: the images of each domain.
        seed: seed of the run.
    """

    def __init__(self, domains: Mapping[str, ImageSource], seed: int) -> None:
        self._counts = {domain: len(images) for domain, images in domains.items()}
        self._orders = {domain: Order(seed, domain, images) for domain, images in domains.items()}

    def __call__(self, position: int) -> list[Item]:
        """Return an item of each domain."""
        return [Item(domain, order[position], domain) for domain, order in self._orders.items()]

    def following(self, items: list[Item]) -> list[Item]:
        """Return the next image of the item's domain."""
        return [item._replace(number=(item.number + 1) % self._counts[item.domain]) for item in items]


class Aligned:
    """The images of all domains that have the same name, or the halves of one file: one order, crop and flip.

    Args:
        domains: the images of each domain.
        seed: seed of the run.

    Raises:
        DataError: an image has no partner, or several.
    """

    def __init__(self, domains: Mapping[str, ImageSource], seed: int) -> None:
        first, *_ = domains
        self._order = Order(seed, "aligned", domains[first])
        self._partners = {domain: _partners(first, domain, domains) for domain in domains}

    def __call__(self, position: int) -> list[Item]:
        """Return the items of one pair."""
        return self._items(self._order[position])

    def following(self, items: list[Item]) -> list[Item]:
        """Return the next pair, in the order of the first domain's names."""
        return self._items((items[0].number + 1) % len(self._partners[items[0].domain]))

    def _items(self, index: int) -> list[Item]:
        return [Item(domain, int(partners[index]), "aligned") for domain, partners in self._partners.items()]


def _partners(first: str, domain: str, domains: Mapping[str, ImageSource]) -> NDArray[np.int64]:
    """Index in `domain` of the partner of each of the first domain's images."""
    ours, theirs = domains[first], domains[domain]
    if len(ours) == len(theirs) and all(a == b for a, b in zip(ours.names(), theirs.names(), strict=True)):
        return np.arange(len(ours))
    pairs = dict(paired_names(ours, theirs))
    found = set(pairs.values())
    alone = [ours[i] for i in range(len(ours)) if i not in pairs] + [
        theirs[j] for j in range(len(theirs)) if j not in found
    ]
    if alone:
        raise DataError(
            f"data.draw=aligned needs one partner for each image, and {len(alone)} have none or several: "
            f"{', '.join(alone[:5])}{', ...' if len(alone) > 5 else ''}. Domain {first} has {len(ours)} images, domain "
            f"{domain} {len(theirs)}. Give partners the same name, or set data.draw=independent"
        )
    return np.array([pairs[i] for i in range(len(ours))])


DRAWS: dict[str, Callable[[Mapping[str, ImageSource], int], Draw]] = {"independent": Independent, "aligned": Aligned}


class Order:
    """The index of the image at each position: a fresh permutation for every `len(images)` positions.

    So every image is used equally often.

    Args:
        seed: seed of the run.
        key: other keys have other permutations: the domain's name.
        images: the images; they draw the permutation themselves, as shards are shuffled in another way than files.
    """

    def __init__(self, seed: int, key: str, images: ImageSource) -> None:
        self._seed = seed
        self._key = crc32(key.encode())
        self._images = images
        self._permutations: dict[int, NDArray[np.integer[Any]]] = {}

    def __getitem__(self, position: int) -> int:
        """Return the index of the image at a position of the run."""
        cycle, place = divmod(position, len(self._images))
        if cycle not in self._permutations:
            rng = np.random.default_rng([self._seed, self._key, cycle, _ORDER])
            # A batch may span two cycles; no more are kept, as one of a million images takes 4 MB.
            kept = sorted(self._permutations)[-1:]
            self._permutations = {**{c: self._permutations[c] for c in kept}, cycle: self._images.order(rng)}
        return int(self._permutations[cycle][place])


def augmentation_rng(seed: int, group: str, position: int) -> np.random.Generator:
    """Return the random numbers that augment a group's images at `position`."""
    return np.random.default_rng([seed, crc32(group.encode()), position, _AUGMENTATION])
