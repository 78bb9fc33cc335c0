"""Choices among images by their names: subsets, pairs of two domains, and the fingerprint that resuming compares."""

import hashlib
import os
from collections import Counter
from collections.abc import Mapping
from posixpath import splitext
from typing import TypedDict

import numpy as np
from numpy.typing import NDArray

from cyclegan.data.file_list import ImageSource
from cyclegan.errors import DataError

PAIRINGS = ("auto", "by_name", "none")
"""Held-out images with paired ground truth: halves of one file only, all of the same name, none."""


def choose_by_hash(images: ImageSource, count: int) -> NDArray[np.int64]:
    """Choose the images whose names have the smallest hashes.

    The choice depends neither on the order of the images nor on the machine, an added image replaces at most one of
    the chosen, and in two domains with the same names the same ones are chosen.

    Returns:
        Ascending indices (count,); of all images if there are fewer.
    """
    hashes = [hashlib.blake2b(os.fsencode(name), digest_size=8).digest() for name in images.names()]
    return np.sort(np.argsort(np.frombuffer(b"".join(hashes), ">u8"), kind="stable")[:count])


def limit(images: ImageSource, count: int) -> ImageSource:
    """Return at most `count` images, in their order; see `choose_by_hash`."""
    return images if count >= len(images) else images.subset(choose_by_hash(images, count))


def train_val_split(images: ImageSource, share: float) -> tuple[ImageSource, ImageSource]:
    """Split images into those for training and a share, between 0 and 1, for validation; see `choose_by_hash`.

    Both keep the order of the images, and have at least one.

    Raises:
        DataError: there are fewer than 2 images.
    """
    total = len(images)
    if total < 2:
        raise DataError(f"{total} image of {images.label} cannot be split into training and validation; add images")
    is_val = np.zeros(total, bool)
    is_val[choose_by_hash(images, min(max(round(share * total), 1), total - 1))] = True
    return images.subset(np.flatnonzero(~is_val)), images.subset(np.flatnonzero(is_val))


def paired_names(a: ImageSource, b: ImageSource, domains: tuple[str, str]) -> list[tuple[int, int]]:
    """Pair images of two domains by their names without extension: testA/x/1.png and testB/x/1.jpg.

    An ending `_A` of domain A is not part of a name, as published sets have trainA/1_A.jpg and trainB/1_B.jpg. Names
    that a domain has more than once, such as 1.png and 1.jpg in one folder, are not paired.

    Args:
        a: images of the first domain.
        b: images of the second domain.
        domains: names of both.

    Returns:
        Indices (in a, in b), ascending in a.
    """
    in_b = _index_by_stem(b, domains[1])
    return [(index, in_b[stem]) for stem, index in _index_by_stem(a, domains[0]).items() if stem in in_b]


def _index_by_stem(images: ImageSource, domain: str) -> dict[str, int]:
    stems = [splitext(name)[0].removesuffix(f"_{domain}") for name in images.names()]
    counts = Counter(stems)
    return {stem: index for index, stem in enumerate(stems) if counts[stem] == 1}


class Fingerprint(TypedDict):
    """Number of images, and a digest of their names in order."""

    count: int
    digest: str


def fingerprint(images: ImageSource) -> Fingerprint:
    """Compute the fingerprint of a list of images, which stays the same when the data set is moved.

    The names of a folder or pattern include the last folder of its path, `trainA/1.png`; a list of relative paths
    has the names that it lists.
    """
    prefix = f"{images.label}/" if images.label else ""
    digest = hashlib.sha256()
    for name in images.names():
        digest.update(os.fsencode(f"{prefix}{name}\0"))
    return {"count": len(images), "digest": digest.hexdigest()}


def require_same_files(then: Mapping[str, Fingerprint], now: Mapping[str, Fingerprint]) -> None:
    """Compare the training images of each domain with those of the checkpoint.

    Raises:
        DataError: images were added, removed or renamed: positions of the run would now mean other images.
    """
    for domain in sorted(then.keys() | now.keys()):
        if then.get(domain) != now.get(domain):
            old, new = (each[domain]["count"] if domain in each else 0 for each in (then, now))
            raise DataError(
                f"the training images of domain {domain} are not those that the run began with: there were {old}, "
                f"there are {new}, with other names or in another order. Restore the images, or begin a new run with "
                "the weights of this one (init_from=... instead of resume=...)"
            )
