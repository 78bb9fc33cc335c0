"""Takes some of a source's pictures: the same ones on every machine, and nearly the same when others are added."""

from hashlib import blake2b
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from cyclegan.data.source import Divisible, Pictures, in_chunks
from cyclegan.errors import DataError

_DIGEST_BYTES = 8

P = TypeVar("P", bound=Divisible)


def portion(pictures: Pictures, count: int) -> NDArray[np.int64]:
    """Chooses pictures by what they are called: those whose names have the smallest digests.

    So the choice depends neither on their order nor on the machine, a picture that is added takes the place of one
    at most, and of two domains with the same names the same ones are chosen.

    Returns:
        Indices (count,) of the chosen ones, ascending; all if there are fewer.
    """
    digests = b"".join(b"".join(map(_digest, chunk)) for chunk in in_chunks(pictures.names()))
    smallest = np.argsort(np.frombuffer(digests, ">u8"), kind="stable")[:count]
    return np.sort(smallest)


def limit(pictures: P, count: int) -> P:
    """At most `count` of the pictures, in their order.

    Raises:
        DataError: `count` is less than 1.
    """
    if count < 1:
        raise DataError(f"{count} is no number of pictures to train with; give 1 or more, or null for all")
    return pictures if count >= len(pictures) else pictures.subset(portion(pictures, count))


def split_off(pictures: P, share: float) -> tuple[P, P]:
    """Splits into those for training and those for validation, both in their order.

    Args:
        pictures: n of them, at least 2.
        share: for validation: round(share * n) pictures, but at least 1 and at most n - 1.

    Raises:
        DataError: the share is not between 0 and 1, or there are not enough pictures.
    """
    total = len(pictures)
    if not 0 < share < 1:
        raise DataError(f"{share} of the pictures cannot be set aside for validation; give a share between 0 and 1")
    if total < 2:
        raise DataError(f"{total} picture of {pictures.label} cannot be split into training and validation; add some")
    set_aside = np.zeros(total, bool)
    set_aside[portion(pictures, min(max(round(share * total), 1), total - 1))] = True
    return pictures.subset(np.flatnonzero(~set_aside)), pictures.subset(np.flatnonzero(set_aside))


def _digest(name: str) -> bytes:
    return blake2b(name.encode("utf-8", "surrogateescape"), digest_size=_DIGEST_BYTES).digest()
