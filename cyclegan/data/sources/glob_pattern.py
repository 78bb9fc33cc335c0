"""Glob patterns, taken one folder at a time."""

import fnmatch
import glob
import re
from collections.abc import Iterable
from pathlib import Path

ANY_DEPTH = "**"


class GlobPattern:
    """Which names below a folder fit a pattern, asked on the way down: no folder is entered in vain.

    A state is the set of those parts of the pattern that the next part of a name may fit.

    Args:
        parts: of the pattern; "**" stands for any number of folders, also none, and at the end for all that they hold.
    """

    def __init__(self, *parts: str) -> None:
        if parts[-1] == ANY_DEPTH:
            parts += ("*",)
        self._fits = [None if part == ANY_DEPTH else re.compile(fnmatch.translate(part)).match for part in parts]
        self.begin = self._closed([0])
        """The state in the folder where the pattern begins."""

    def after(self, state: frozenset[int], folder: str) -> frozenset[int]:
        """The state in a sub-folder; empty if nothing that fits can be in it."""
        return self._closed(
            place if fits is None else place + 1
            for place in state
            if (fits := self._fits[place]) is None or (place < len(self._fits) - 1 and fits(folder))
        )

    def takes_files(self, state: frozenset[int]) -> bool:
        """Whether files of a folder in this state can fit."""
        return len(self._fits) - 1 in state

    def takes(self, file: str) -> bool:
        """Whether a file of such a folder fits."""
        fits = self._fits[-1]
        return fits is not None and fits(file) is not None

    def _closed(self, places: Iterable[int]) -> frozenset[int]:
        """With each "**" also what follows it, as it may stand for no folder."""
        closed = set()
        for place in places:
            closed.add(place)
            while self._fits[place] is None:
                place += 1
                closed.add(place)
        return frozenset(closed)


EVERYTHING = GlobPattern(ANY_DEPTH)
"""All files at any depth."""


def split_pattern(path: Path) -> tuple[Path, GlobPattern] | None:
    """The folder above a path's first wildcard, and the pattern below it; None if it has no wildcard.

    What exists under such a name is taken as it is: `[1]` is a folder, if there is one called that.
    """
    for i, part in enumerate(path.parts):
        if glob.has_magic(part) and not Path(*path.parts[: i + 1]).exists():
            return Path(*path.parts[:i]), GlobPattern(*path.parts[i:])
    return None
