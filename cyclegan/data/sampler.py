"""Randomness keyed by position: sample t of a run is a pure function of (seed, domain, t).

Which file it is and how it is augmented depend on nothing else, so the number of workers and of devices, and a
stop and resume at any batch, do not change what is seen. The only state of a run is the position it has reached.
"""

from collections.abc import Iterator
from typing import Any
from zlib import crc32

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Sampler

from cyclegan.data.file_list import ImageSource

# numpy takes a seed [1, 2] for [1, 2, 0]: keys of one length, told apart by their purpose, never meet.
_ORDER, _AUGMENTATION = 1, 2


def augmentation_rng(seed: int, domain: str, position: int) -> np.random.Generator:
    """The random numbers that augment a domain's sample at `position`."""
    return np.random.default_rng([seed, crc32(domain.encode()), position, _AUGMENTATION])


class Order:
    """Which of a domain's images the sample at a position is.

    Every `len(images)` positions go through a fresh permutation, so every image is used equally often.

    Args:
        seed: of the run.
        domain: the domain's name.
        images: which draw the permutation, given random numbers: shards mix theirs otherwise than files do.
    """

    def __init__(self, seed: int, domain: str, images: ImageSource) -> None:
        self._seed = seed
        self._domain = crc32(domain.encode())
        self._images = images
        self._permutations: dict[int, NDArray[np.integer[Any]]] = {}

    def __getitem__(self, position: int) -> int:
        """The index of the image at a position of the run."""
        cycle, place = divmod(position, len(self._images))
        if cycle not in self._permutations:
            rng = np.random.default_rng([self._seed, self._domain, cycle, _ORDER])
            # A batch may lie across two cycles; more are not kept, for a million images take 4 MB each.
            kept = sorted(self._permutations)[-1:]
            self._permutations = {**{c: self._permutations[c] for c in kept}, cycle: self._images.order(rng)}
        return int(self._permutations[cycle][place])


class PositionSampler(Sampler[list[int]]):
    """Yields the positions of each batch of an epoch that begins where the one before ended.

    The batches of all devices together cover consecutive positions; each device takes its contiguous part. An
    epoch is a whole number of full batches, enough for `epoch_length` positions: it may reach into what would
    be the next one, which then begins later. So no image is left out and no batch is short.

    Args:
        epoch_length: positions in an epoch.
        batch_size: of each device.
        rank: of this device.
        world_size: number of devices.
    """

    def __init__(self, epoch_length: int, batch_size: int, rank: int = 0, world_size: int = 1) -> None:
        if epoch_length < 1 or batch_size < 1:
            raise ValueError(f"epoch_length {epoch_length} and batch_size {batch_size} must be at least 1")
        self.epoch_length = epoch_length
        self.batch_size = batch_size
        self.global_batch_size = batch_size * world_size
        self.rank = rank
        self.position = 0
        """Positions used up so far, on all devices together: where the next iteration starts."""
        self.epoch_start = 0
        """Position at which the epoch of the next iteration began."""

    def __len__(self) -> int:
        """Batches in a whole epoch."""
        return -(-self.epoch_length // self.global_batch_size)

    def __iter__(self) -> Iterator[list[int]]:
        """What is left of the epoch; iterating uses nothing up, `advance` does."""
        for first in range(self.position, self.epoch_start + self.epoch_length, self.global_batch_size):
            yield self._share(first)

    def advance(self) -> list[int]:
        """Uses up one batch and returns this device's positions in it; the last one of an epoch opens the next."""
        mine = self._share(self.position)
        self.position += self.global_batch_size
        if self.position >= self.epoch_start + self.epoch_length:
            self.end_epoch()
        return mine

    def end_epoch(self) -> None:
        """Lets the next epoch begin here."""
        self.epoch_start = self.position

    def _share(self, first: int) -> list[int]:
        mine = first + self.rank * self.batch_size
        return list(range(mine, mine + self.batch_size))
