"""Whether a run that goes on still has the pictures that it began with."""

import hashlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypedDict

from cyclegan.data.index import DataError


class Fingerprint(TypedDict):
    """What is kept of a list of pictures: how many, and a digest of their names."""

    count: int
    digest: str


def fingerprint(folder: Path, files: Sequence[str]) -> Fingerprint:
    """A list's own mark: it stays when the data set is moved, and changes with every name in it.

    Args:
        folder: of a split and domain, such as `root/trainA`.
        files: paths below it, as `find_pictures` gives them; in any order.
    """
    begin = len(str(folder)) - len(folder.name)  # cutting is ten times as fast as a Path for each of a million files
    names = sorted(path[begin:].replace(os.sep, "/") for path in files)
    listed = "".join(f"{name}\0" for name in names)  # no name holds a zero, so no two lists are one text
    return {"count": len(files), "digest": hashlib.sha256(os.fsencode(listed)).hexdigest()}


def require_same_files(then: Mapping[str, Fingerprint], now: Mapping[str, Fingerprint]) -> None:
    """Compares the training pictures of each domain with those of the checkpoint.

    Raises:
        DataError: some were added, removed or renamed: from here on, positions would stand for other pictures.
    """
    for domain in sorted(then.keys() | now.keys()):
        before, found = then.get(domain), now.get(domain)
        if before == found:
            continue
        counts = [each["count"] if each else 0 for each in (before, found)]
        how = "as many, but other names" if counts[0] == counts[1] else "not the same ones"
        raise DataError(
            f"the training pictures of domain {domain} are not those that the run began with: there were {counts[0]}, "
            f"there are {counts[1]} ({how}). Put the pictures back as they were, or begin a new run with the weights "
            "of this one (init_from=... instead of resume=...)"
        )
