"""Takes some of a source's images: the same ones on every machine, and nearly the same when others are added."""

from hashlib import blake2b
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from cyclegan.data.source import Divisible, ImageSource, in_chunks
from cyclegan.errors import DataError

_DIGEST_BYTES = 8

P = TypeVar("P", bound=Divisible)


def portion(images: ImageSource, count: int) -> NDArray[np.int64]:
    """Chooses images by what they are called: those whose names have the smallest digests.

    So the choice depends neither on their order nor on the machine, an image that is added takes the place of one
    at most, and of two domains with the same names the same ones are chosen.

    Returns:
        Indices (count,) of the chosen ones, ascending; all if there are fewer.
    """
    digests = b"".join(b"".join(map(_digest, chunk)) for chunk in in_chunks(images.names()))
    smallest = np.argsort(np.frombuffer(digests, ">u8"), kind="stable")[:count]
    return np.sort(smallest)


def limit(images: P, count: int) -> P:
    """At most `count` of the images, in their order.

    Raises:
        DataError: `count` is less than 1.
    """
    if count < 1:
        raise DataError(f"{count} is no number of images to train with; give 1 or more, or null for all")
    return images if count >= len(images) else images.subset(portion(images, count))


def split_off(images: P, share: float) -> tuple[P, P]:
    """Splits into those for training and those for validation, both in their order.

    Args:
        images: n of them, at least 2.
        share: for validation: round(share * n) images, but at least 1 and at most n - 1.

    Raises:
        DataError: the share is not between 0 and 1, or there are not enough images.
    """
    total = len(images)
    if not 0 < share < 1:
        raise DataError(f"{share} of the images cannot be set aside for validation; give a share between 0 and 1")
    if total < 2:
        raise DataError(f"{total} image of {images.label} cannot be split into training and validation; add some")
    set_aside = np.zeros(total, bool)
    set_aside[portion(images, min(max(round(share * total), 1), total - 1))] = True
    return images.subset(np.flatnonzero(~set_aside)), images.subset(np.flatnonzero(set_aside))


def _digest(name: str) -> bytes:
    return blake2b(name.encode("utf-8", "surrogateescape"), digest_size=_DIGEST_BYTES).digest()
