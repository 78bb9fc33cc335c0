"""Whether a run that goes on still has the images that it began with."""

import hashlib
import os
from collections.abc import Mapping
from typing import TypedDict

from cyclegan.data.source import ImageSource, in_chunks
from cyclegan.errors import DataError


class Fingerprint(TypedDict):
    """What is kept of a list of images: how many, and a digest of their names."""

    count: int
    digest: str


def fingerprint(images: ImageSource) -> Fingerprint:
    """A source's own mark: it stays when the data set is moved, and changes with every name and their order.

    A folder or a pattern is known by the name of the folder that it is below and not by what is above that: `trainA`.
    A list is known by its paths as they are written, if they are relative to it; else like a folder.
    """
    above = f"{images.label}/" if images.label else ""
    digest = hashlib.sha256()
    for chunk in in_chunks(images.names()):
        listed = "".join(f"{above}{name}\0" for name in chunk)  # no name holds a zero, so no two lists are one text
        digest.update(os.fsencode(listed))
    return {"count": len(images), "digest": digest.hexdigest()}


def require_same_files(then: Mapping[str, Fingerprint], now: Mapping[str, Fingerprint]) -> None:
    """Compares the training images of each domain with those of the checkpoint.

    Raises:
        DataError: some were added, removed or renamed: from here on, positions would stand for other images.
    """
    for domain in sorted(then.keys() | now.keys()):
        before, found = then.get(domain), now.get(domain)
        if before == found:
            continue
        counts = [each["count"] if each else 0 for each in (before, found)]
        how = "as many, but other names or another order" if counts[0] == counts[1] else "not the same ones"
        raise DataError(
            f"the training images of domain {domain} are not those that the run began with: there were {counts[0]}, "
            f"there are {counts[1]} ({how}). Put the images back as they were, or begin a new run with the weights "
            "of this one (init_from=... instead of resume=...)"
        )
