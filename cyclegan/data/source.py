"""What a source of images offers, whether they are files or lie in shards."""

from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Protocol, Self, TypeVar, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from cyclegan.images import Header, PixelFormat

_CHUNK = 4096

Item = TypeVar("Item")


class ImageSource(Protocol):
    """The n images of a domain and split, in a fixed order; `images[i]` is the i-th one's path, for people.

    Sources are handed to worker processes, and may hold a million images: they are small, and can be pickled.
    """

    @property
    def label(self) -> str:
        """What the names lie in, without where that is: "trainA"; empty if the names say it all."""

    @property
    def passed_over(self) -> Counter[str]:
        """How many files of each kind were found and are no images."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> str: ...

    def open(self, index: int) -> bytes:
        """The whole file of an image.

        Raises:
            ImageError: it cannot be read.
        """

    def header(self, index: int, pixel_format: PixelFormat) -> Header:
        """What an image's file says about it, read as it will be.

        Raises:
            ImageError: it cannot be read, or is no image.
        """

    def stamps(self) -> Iterator[bytes]:
        """What changes when a file is exchanged for another of its name, and not when the data set is moved."""

    def names(self) -> Iterator[str]:
        """What each image is called, "/" between folders, wherever the data set lies."""

    def order(self, rng: np.random.Generator) -> NDArray[np.integer]:
        """A permutation (n,) of all indices, int32 if they fit: in which order training takes the images."""


@runtime_checkable
class Divisible(ImageSource, Protocol):
    """Images of which some can be taken."""

    def subset(self, indices: NDArray[np.integer]) -> Self:
        """The images at these indices, in their order."""


def in_chunks(items: Iterable[Item]) -> Iterator[list[Item]]:
    """Some thousands at a time: names encoded or digested together take a tenth of what each takes alone."""
    rest = iter(items)
    while chunk := list(islice(rest, _CHUNK)):
        yield chunk
