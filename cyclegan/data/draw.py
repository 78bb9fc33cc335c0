"""Draws: the images of the training sample at each position of a run, as pure functions of (seed, position)."""

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
    """An image of a sample: its domain and its number there. The images of a group share one crop and flip."""

    domain: str
    number: int
    group: str


class Draw(Protocol):
    """Chooses the images of each training sample."""

    def __call__(self, position: int) -> list[Item]:
        """Return the items of the sample at `position`; those of a group are adjacent."""
        ...

    def following(self, items: list[Item]) -> list[Item]:
        """Return the items that replace a group of which an image is unreadable."""
        ...


class Independent:
    """Unpaired samples: one image of each domain, with an order, crop and flip of its own."""

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
    """Paired samples: images of the same name, or the halves of one file, with one order, crop and flip.

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
    """Return the index in `domain` of the partner of each image of the first domain."""
    ours, theirs = domains[first], domains[domain]
    if len(ours) == len(theirs) and all(a == b for a, b in zip(ours.names(), theirs.names(), strict=True)):
        return np.arange(len(ours))
    pairs = dict(paired_names(ours, theirs, (first, domain)))
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
    """The index of the image at each position: a new permutation for every `len(images)` positions.

    Args:
        seed: seed of the run.
        key: the domain's name; each key has permutations of its own.
        images: the images; they draw the permutations, as shards are shuffled in another way than files.
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
            # A batch may span two cycles. No more are kept: a permutation of a million images takes 4 MB.
            kept = sorted(self._permutations)[-1:]
            self._permutations = {**{c: self._permutations[c] for c in kept}, cycle: self._images.order(rng)}
        return int(self._permutations[cycle][place])


def augmentation_rng(seed: int, group: str, position: int) -> np.random.Generator:
    """Return the random number generator for the augmentation of a group's images at `position`."""
    return np.random.default_rng([seed, crc32(group.encode()), position, _AUGMENTATION])
