"""What is common to all caches, and the line about them at the start of a run."""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Any

from numpy.typing import NDArray

from cyclegan.data.cache.plan import Plan
from cyclegan.data.cache.room import as_size


class Cache(ABC):
    """Pixels (channels, height, width) by number, filled by whoever decodes an image first.

    A cache may be forked and pickled: the copy has the same images, and what either puts in the other gets.

    Args:
        plan: what it holds.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan

    def __len__(self) -> int:
        return len(self.plan)

    @abstractmethod
    def get(self, i: int) -> NDArray[Any] | None:
        """Image i, whole and read-only; None if it has to be decoded, because nobody did or its bytes are damaged.

        Raises:
            IndexError: there is no such image.
        """

    @abstractmethod
    def put(self, i: int, pixels: NDArray[Any]) -> None:
        """Keeps image i for everybody. Two processes may put one image at once, as they put the same pixels.

        Raises:
            IndexError: there is no such image.
            DataError: the pixels have another shape or type than planned.
        """

    @property
    @abstractmethod
    def filled(self) -> int:
        """How many images somebody put in."""

    @abstractmethod
    def forget_name(self) -> None:
        """Takes away the name by which other ranks attach; to be called once all have."""

    @property
    @abstractmethod
    def place(self) -> str:
        """Where it lies, for people to read."""


def describe(caches: Iterable[Cache]) -> str:
    """One line about the caches of a run, such as "ram, 1067 + 1334 images, 589 MB"."""
    listed = list(caches)
    places = " and ".join(dict.fromkeys(cache.place for cache in listed))
    counts = " + ".join(str(len(cache)) for cache in listed)
    distinct = {cache.plan.key: cache for cache in listed}.values()  # two domains may share one
    size, filled = sum(cache.plan.size for cache in distinct), sum(cache.filled for cache in distinct)
    found = f", {filled} of them already there" if filled else ""
    return f"{places}, {counts} images, {as_size(size)}{found}"
