"""What stands in a data set's folders: every image is decoded, in several processes, and little is kept of each."""

from array import array
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from cyclegan.images import MAX_PIXELS, RGB, PixelFormat
from cyclegan.inspection.folders import Folder, folders_of
from cyclegan.inspection.look import BROKEN, Look, look
from cyclegan.inspection.pool import Crew

DIGEST_BYTES = 16


class Trouble(NamedTuple):
    """An image that cannot be used."""

    kind: str  # look.BROKEN or look.UNSUITABLE
    name: str  # in its folder
    why: str


class Place(NamedTuple):
    """An image: of which folder, and which of that."""

    folder: int
    image: int


@dataclass
class FolderSurvey:
    """What was found in one folder; `file_bytes` and `digests` are of every image, in order."""

    folder: Folder
    formats: Counter[str] = field(default_factory=Counter)
    modes: Counter[str] = field(default_factory=Counter)
    dtypes: Counter[str] = field(default_factory=Counter)
    sizes: Counter[tuple[int, int]] = field(default_factory=Counter)  # (width, height)
    paged: list[str] = field(default_factory=list)  # names of files with several pages
    file_bytes: "array[int]" = field(default_factory=lambda: array("q"))
    digests: bytearray = field(default_factory=bytearray)  # zeros for an image that was not decoded
    troubles: list[Trouble] = field(default_factory=list)

    def add(self, found: Look) -> None:
        """Takes in the next image."""
        index = len(self.file_bytes)
        self.file_bytes.append(found.size)
        self.digests += found.pixels.ljust(DIGEST_BYTES, b"\0")
        if found.trouble:
            self.troubles.append(Trouble(found.trouble, self.folder.image(index), found.why))
        if found.format:
            self.formats[found.format] += 1
            self.modes[found.mode] += 1
            self.dtypes[found.dtype] += 1
            self.sizes[found.width, found.height] += 1
        if found.pages > 1:
            self.paged.append(self.folder.image(index))


@dataclass(frozen=True)
class Survey:
    """What was found in all folders of a data set.

    Args:
        root: the data set's folder.
        folders: train before val before test.
        same: groups of images whose decoded pixels are equal, each in the order of the folders and names.
    """

    root: Path
    folders: Sequence[FolderSurvey]
    same: Sequence[Sequence[Place]]

    def name(self, place: Place) -> str:
        """As people read it: "trainA/image.jpg"."""
        folder = self.folders[place.folder].folder
        return f"{folder.name}/{folder.image(place.image)}"


def survey(
    root: str | Path,
    pixel_format: PixelFormat = RGB,
    workers: int = 1,
    progress: Callable[[Iterator[Look], int], Iterator[Look]] = lambda looks, total: looks,
    max_pixels: int = MAX_PIXELS,
) -> Survey:
    """Looks at every image of a data set.

    Args:
        root: holds trainA, trainB and so on, or just images.
        pixel_format: what they are decoded to.
        workers: processes that decode.
        progress: is given the results as they come, and how many it will be; hands them on.
        max_pixels: width × height of the largest image that is decoded.

    Raises:
        DataError: `root` is no folder.
    """
    found = [FolderSurvey(folder) for folder in folders_of(root)]
    owners = (one for one in found for _ in range(len(one.folder.images)))
    paths = (path for one in found for path in one.folder.images)
    total = sum(len(one.folder.images) for one in found)
    with Crew(workers) as crew:
        looks = progress(crew.map(partial(look, pixel_format=pixel_format, max_pixels=max_pixels), paths, _died), total)
        for owner, seen in zip(owners, looks, strict=True):
            owner.add(seen)
    return Survey(Path(root), found, _same([one.digests for one in found]))


def _died(path: str, how: str) -> Look:
    return Look(
        trouble=BROKEN,
        why=f"{path}: the process that decoded it {how}: the file is damaged so that it breaks the decoder, or memory "
        "ran out (then: fewer --num-workers); take it out of the folder",
    )


def _same(digests: Sequence[bytearray]) -> list[list[Place]]:
    """Groups of equal digests. They are sorted as an array: a dictionary of a million takes ten times the memory."""
    every = np.frombuffer(b"".join(digests), dtype=np.uint64).reshape(-1, 2)
    order = np.lexsort((every[:, 1], every[:, 0]))  # stable: images of a group stay in their order
    ordered = every[order]
    equal = (ordered[1:] == ordered[:-1]).all(axis=1) & ordered[1:].any(axis=1)
    begins = np.cumsum([0, *(len(one) // DIGEST_BYTES for one in digests)])

    def place(number: int) -> Place:
        folder = int(np.searchsorted(begins, number, side="right")) - 1
        return Place(folder, number - int(begins[folder]))

    groups: list[list[Place]] = []
    last = -2
    for position in np.flatnonzero(equal).tolist():
        if position != last + 1:
            groups.append([place(int(order[position]))])
        groups[-1].append(place(int(order[position + 1])))
        last = position
    return sorted(groups)
