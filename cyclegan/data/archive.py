"""Images in tar files (WebDataset's shards), each read by itself, for data sets of very many small files."""

import copy
import logging
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from io import BufferedReader
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from tqdm import tqdm

from cyclegan.data.sources.part import Part
from cyclegan.data.sources.shard_files import shard_files
from cyclegan.data.sources.tar_index import Stamp, TarIndex, keep, recall, stamp, walk
from cyclegan.data.threads import THREADS
from cyclegan.errors import DataError
from cyclegan.images import IMAGE_SUFFIXES, DiskError, Header, ImageError, PixelFormat, header_in

log = logging.getLogger(__name__)

OPEN_AT_ONCE = 64
"""Shards that a process keeps open; those read last."""

_NAMES_AT_ONCE = 2**16


class Shards:
    """The images of tar files, in the order of the files' names and of the members within them.

    Every regular member with an image's ending is an image, also if several share WebDataset's key (`0.input.jpg`,
    `0.target.jpg`); the others are passed over. Nothing is kept as a Python object for each image, so that
    processes that are forked share one index.

    Args:
        paths: plain tar files, on a disk or a mount.
        window: shards whose images are mixed by `order`.

    Raises:
        DataError: a file cannot be read, is compressed, damaged or cut off, or there is no image in any.
    """

    label = ""
    """The images' names begin with the shard and need no other."""

    def __init__(self, paths: Sequence[str | Path], window: int = 4) -> None:
        if not paths or window < 1:
            raise ValueError(f"{len(paths)} paths and a window of {window} shards: both must be at least 1")
        self.paths = tuple(sorted({os.fspath(path) for path in paths}))
        self.window = window
        indexes = _indexes(self.paths)
        self._stamps = [index.stamp for index in indexes]
        self.passed_over: Counter[str] = sum((index.passed_over for index in indexes), Counter())
        """How many members of each kind are no images: {".json": 1000, "link": 1}."""
        counts = [len(index.offsets) for index in indexes]
        if not sum(counts):
            found = ", ".join(f"{kind} ×{count}" for kind, count in self.passed_over.most_common(5)) or "nothing"
            raise DataError(
                f"no image in {len(self.paths)} tar file(s), the first of them {self.paths[0]}: they hold {found}. "
                f"The names of images end in {', '.join(sorted(IMAGE_SUFFIXES))}"
            )
        self._first = np.cumsum([0, *counts])  # of each shard, in the arrays that follow
        self._offsets = np.concatenate([index.offsets for index in indexes])
        self._sizes = np.concatenate([index.sizes for index in indexes])
        self._names = np.concatenate([index.names for index in indexes])
        lengths = [np.diff(index.ends, prepend=0) for index in indexes]
        self._ends = np.cumsum(np.concatenate([[0], *lengths]))  # a name's end is the next one's begin
        self._chosen = _arange(sum(counts))
        folder = os.path.commonpath([os.path.dirname(os.path.abspath(path)) for path in self.paths])  # noqa: PTH100, PTH120
        self._labels = [Path(os.path.relpath(path, folder)).as_posix() for path in self.paths]

    def __len__(self) -> int:
        """Number of images."""
        return len(self._chosen)

    def __getitem__(self, index: int) -> str:
        """What people read of an image: "path/of/shard.tar/member"."""
        shard, place = self._find(index)
        return f"{self.paths[shard]}/{self._member(place)}"

    def names(self) -> Iterator[str]:
        """Of every image "shard.tar/member", the same wherever the shards' folder is."""
        for begin in range(0, len(self), _NAMES_AT_ONCE):
            places = self._chosen[begin : begin + _NAMES_AT_ONCE]
            shards, starts, ends = self._shards_of(places), self._ends[places], self._ends[1:][places]
            for shard, start, end in zip(shards.tolist(), starts.tolist(), ends.tolist(), strict=True):
                yield f"{self._labels[shard]}/{_text(self._names[start:end])}"

    def open(self, index: int) -> bytes:
        """The bytes of an image's file.

        Raises:
            ImageError: they cannot be read.
            DataError: the shard is another one than at the start, so that images would be taken for others.
        """
        shard, place = self._find(index)
        path, size = self.paths[shard], int(self._sizes[place])
        try:
            file = _open(path, self._stamps[shard])
            data = os.pread(file.descriptor, size, int(self._offsets[place]))
        except OSError as error:
            raise DiskError(f"{self[index]}: the shard cannot be read ({error.strerror})") from error
        if len(data) < size:
            raise ImageError(f"{self[index]}: {len(data)} of {size} bytes are there; copy the shard once more")
        return data

    def header(self, index: int, pixel_format: PixelFormat) -> Header:
        """What an image's file says about it, read as it will be; as little of it as possible.

        Raises:
            ImageError: it cannot be read, or is no image.
        """
        shard, place = self._find(index)
        try:
            file = _open(self.paths[shard], self._stamps[shard])
            part = Part(file.descriptor, int(self._offsets[place]), int(self._sizes[place]))
            return header_in(BufferedReader(part), self[index], pixel_format)
        except OSError as error:
            raise DiskError(f"{self[index]}: the shard cannot be read ({error.strerror})") from error

    def stamps(self) -> Iterator[bytes]:
        """Of each shard, its name, size and time of change; and which of their images these are."""
        for label, known in zip(self._labels, self._stamps, strict=True):
            yield f"{label}\0{known}\0".encode("utf-8", "surrogateescape")
        yield self._chosen.tobytes()

    def order(self, rng: np.random.Generator) -> NDArray[np.int32] | NDArray[np.int64]:
        """A permutation of all indices in which neighbours lie in few shards.

        The shards come in random order, `window` of them at a time, and the images of these are mixed thoroughly. So
        neighbouring positions, of whichever worker or device, read the same few files, which a disk, a cache or a
        mount is good at; a run reads every shard once in each pass over the data.

        It is an order and not a stream with a shuffle buffer, as WebDataset has it: what a position stands for is then
        a pure function of the seed. A run goes on in the middle of an epoch without reading what came before; any
        number of workers and devices sees the same images; and no shard is split between workers, or left out.

        Returns:
            int32 (n,), int64 if there are more than that holds.
        """
        shards = self._shards_of(self._chosen)
        counts = np.bincount(shards, minlength=len(self.paths))
        filled = rng.permutation(np.flatnonzero(counts))
        counts = counts[filled]
        ends = np.cumsum(counts)
        rank = np.empty(len(self.paths), np.int64)
        rank[filled] = np.arange(len(filled))
        order = _arange(len(self))[np.argsort(rank[shards], kind="stable")]
        windows = -(-len(filled) // self.window)  # of sizes as equal as can be, rather than a small one at the end
        for window in range(windows):
            first, last = len(filled) * window // windows, len(filled) * (window + 1) // windows
            rng.shuffle(order[ends[first] - counts[first] : ends[last - 1]])
        return order

    def subset(self, indices: ArrayLike) -> Self:
        """Only these images, in this order, over the same index; `order` still mixes `window` shards at a time."""
        chosen = copy.copy(self)
        chosen._chosen = self._chosen[np.asarray(indices)]
        return chosen

    def _shards_of(self, places: NDArray[np.int32] | NDArray[np.int64]) -> NDArray[np.int64]:
        return np.searchsorted(self._first, places, side="right") - 1

    def _find(self, index: int) -> tuple[int, int]:
        """The shard of an image, and its place among those of all shards."""
        place = int(self._chosen[index])
        return int(np.searchsorted(self._first, place, side="right")) - 1, place

    def _member(self, place: int) -> str:
        return _text(self._names[self._ends[place] : self._ends[place + 1]])


def _text(name: NDArray[np.uint8]) -> str:
    return name.tobytes().decode("utf-8", "surrogateescape")


def _arange(count: int) -> NDArray[np.int32] | NDArray[np.int64]:
    return np.arange(count, dtype=np.int32) if count <= np.iinfo(np.int32).max else np.arange(count, dtype=np.int64)


class _Open:
    """An open file that is closed when nobody holds it any more, also if another thread reads at this moment."""

    def __init__(self, path: str) -> None:
        self.descriptor = os.open(path, os.O_RDONLY)

    def __del__(self) -> None:
        if hasattr(self, "descriptor"):
            os.close(self.descriptor)


@lru_cache(maxsize=OPEN_AT_ONCE)
def _open(path: str, known: Stamp) -> _Open:
    """Each process has its own; a forked one may use what it inherits, as reading at an offset moves nothing."""
    file = _Open(path)
    if stamp(file.descriptor) != known:
        raise DataError(f"{path} has changed since its images were counted; start again with the shards as they are")
    return file


def _indexes(paths: Sequence[str]) -> list[TarIndex]:
    with ThreadPoolExecutor(THREADS) as threads:
        bar = tqdm(threads.map(_index, paths), "counting", len(paths), unit=" shards", disable=None, delay=2)
        answers = list(bar)
    failures = [error for _, error in answers if error]
    if failures:
        log.warning(
            "the index of %d shards cannot be kept beside them and is made again at every start: %s",
            len(failures),
            failures[0],
        )
    return [index for index, _ in answers]


def _index(path: str) -> tuple[TarIndex, OSError | None]:
    if (kept := recall(path)) is not None:
        return kept, None
    index = walk(path)
    try:
        keep(index, path)
    except OSError as error:
        return index, error
    return index, None


def find_shards(source: str | Path, window: int = 4) -> Shards:
    """The images of the tar files that a source means; see `shard_files` and `Shards`."""
    return Shards(shard_files(source), window)
