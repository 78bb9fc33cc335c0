"""Images in shards (tar files, as of WebDataset), read at any position: for data sets of very many small files."""

import copy
import glob
import logging
import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from cyclegan.data.file_list import shortened, skip_reason
from cyclegan.data.tar_index import INDEX_SUFFIX, TarIndex, load_index, save_index, scan, stamp_of
from cyclegan.data.threads import THREADS
from cyclegan.errors import DataError, DiskError, ImageError
from cyclegan.images import IMAGE_SUFFIXES, Header, PixelFormat, header_of

log = logging.getLogger(__name__)

SUFFIX = ".tar"
OPEN_FILES = 64
"""Maximum number of shards that a process keeps open."""

_COMPRESSED = (".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst")
_BRACES = re.compile(r"\{(?:(\d+)\.\.(\d+)|([^{}]*))\}")
_HEADER_BYTES = 2**16


def are_shards(source: str | Path) -> bool:
    """Tell shards from image files.

    Shards are a name with a tar file's extension, or a folder that holds tar files and neither images nor folders.
    """
    folder = Path(source).expanduser()
    if not folder.is_dir():
        return folder.name.lower().endswith((SUFFIX, *_COMPRESSED))
    found = False
    with os.scandir(folder) as entries:
        for entry in entries:
            reason = skip_reason(entry.name)
            if reason is None or (reason != "hidden" and entry.is_dir()):
                return False
            found = found or reason == SUFFIX
    return found


def shard_files(source: str | Path) -> list[str]:
    """List the tar files of a source, sorted.

    Args:
        source: a tar file; a folder of them; or a pattern as in a shell, such as `a-*.tar`, `a-{000..099}.tar` and
            `{day,night}/*.tar`.

    Raises:
        DataError: a file is missing.
    """
    path = Path(source).expanduser()
    if path.is_dir():
        return sorted(str(file) for file in path.iterdir() if file.suffix.lower() == SUFFIX and file.name[0] != ".")
    if path.is_file():
        return [str(path)]
    found = {pattern: glob.glob(pattern, recursive=True) for pattern in _expand(str(path))}  # noqa: PTH207
    missing = [pattern for pattern, names in found.items() if not names]
    if missing or not found:
        raise DataError(
            f"{source}: {len(missing)} of {len(found)} tar files do not exist: {shortened(missing)}. Shards are read "
            "from a disk or a mounted folder"
        )
    return sorted({name for names in found.values() for name in names if not name.endswith(INDEX_SUFFIX)})


def _expand(pattern: str) -> list[str]:
    braces = _BRACES.search(pattern)
    if braces is None:
        return [pattern]
    first, last, choices = braces.groups()
    numbers = range(int(first), int(last) + 1) if first else ()
    inside = choices.split(",") if choices is not None else [f"{number:0{len(first)}}" for number in numbers]
    before, behind = pattern[: braces.start()], pattern[braces.end() :]
    return [expanded for each in inside for expanded in _expand(before + each + behind)]


class Shards:
    """The images of tar files, in the order of the files' names and of the members in each.

    All regular members with an image's extension are images, also if several have one WebDataset key (`0.input.jpg`,
    `0.target.jpg`). See `ImageSource` for the methods.

    Args:
        paths: uncompressed tar files.
        window: number of shards whose images `order` mixes.

    Raises:
        DataError: a file cannot be read, is compressed or damaged, or there is no image in any.
    """

    label = ""

    def __init__(self, paths: Sequence[str | Path], window: int = 4) -> None:
        self.paths = tuple(sorted({os.fspath(path) for path in paths}))
        self.window = window
        indexes = _read_indexes(self.paths)
        self.skipped: Counter[str] = sum((index.skipped for index in indexes), Counter())
        self._stamps = [index.stamp for index in indexes]
        for number, index in enumerate(indexes):
            index.images["shard"] = number
        self._images = np.concatenate([index.images for index in indexes])
        if not len(self._images):
            found = ", ".join(f"{kind} ×{count}" for kind, count in self.skipped.most_common(5)) or "nothing"
            extensions = ", ".join(sorted(IMAGE_SUFFIXES))
            raise DataError(
                f"no image in {shortened(list(self.paths))} (found: {found}); images have the extensions {extensions}"
            )
        folder = os.path.commonpath([Path(path).absolute().parent for path in self.paths])
        self._labels = [Path(path).absolute().relative_to(folder).as_posix() for path in self.paths]

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, index: int) -> str:
        image = self._images[index]
        return f"{self.paths[image['shard']]}/{os.fsdecode(image['name'])}"

    def names(self) -> Iterator[str]:
        """Yield "shard.tar/member" of each image; of shards in several folders, "folder/shard.tar/member"."""
        for shard, name in zip(self._images["shard"], self._images["name"], strict=True):
            yield f"{self._labels[shard]}/{os.fsdecode(name)}"

    def open(self, index: int) -> bytes:
        """Read the bytes of an image's file.

        Raises:
            ImageError: they cannot be read.
            DataError: the shard was replaced since the start, and the positions of its images are unknown.
        """
        return self._read(index, int(self._images[index]["size"]))

    def header(self, index: int, pixel_format: PixelFormat) -> Header:
        """Read the header of an image, from the first bytes of its file if they are enough."""
        size = int(self._images[index]["size"])
        start = size if pixel_format.page else min(size, _HEADER_BYTES)
        data = self._read(index, start)
        try:
            return header_of(data, self[index], pixel_format)
        except ImageError:
            if start == size:
                raise
            return header_of(self.open(index), self[index], pixel_format)

    def _read(self, index: int, size: int) -> bytes:
        image = self._images[index]
        try:
            file = _open(self.paths[image["shard"]], self._stamps[image["shard"]])
            data = os.pread(file.descriptor, size, int(image["offset"]))
        except OSError as error:
            raise DiskError(f"{self[index]}: the shard cannot be read ({error.strerror})") from error
        if len(data) < size:
            raise ImageError(f"{self[index]}: {len(data)} of {size} bytes exist; copy the shard again")
        return data

    def stamps(self) -> Iterator[bytes]:
        """Yield the name, size and modification time of each shard, and which of its images these are."""
        for label, stamp in zip(self._labels, self._stamps, strict=True):
            yield os.fsencode(f"{label}\0{stamp}\0")
        yield self._images.tobytes()

    def order(self, rng: np.random.Generator) -> NDArray[np.integer]:
        """Return a permutation of all indices in which neighbours are in few shards.

        The shards come in random order, and the images of `window` shards at a time are mixed uniformly. So
        neighbouring positions, of all workers and devices, read the same few files, and every shard is read once in
        each pass over the data.

        Unlike WebDataset's stream with a shuffle buffer, this is an order: a position is a pure function of the seed.
        A run resumes in the middle of an epoch without reading what came before, and sees the same images with any
        number of workers and devices.

        Returns:
            int32 (N,), int64 if N is too large.
        """
        shards = self._images["shard"]
        counts = np.bincount(shards, minlength=len(self.paths))
        filled = rng.permutation(np.flatnonzero(counts))
        ends = np.cumsum(counts[filled])
        rank = np.empty(len(self.paths), np.int64)
        rank[filled] = np.arange(len(filled))
        order = np.argsort(rank[shards], kind="stable")
        if len(self) <= np.iinfo(np.int32).max:
            order = order.astype(np.int32)
        windows = -(-len(filled) // self.window)  # of about equal size, rather than a small one at the end
        for window in range(windows):
            first, last = len(filled) * window // windows, len(filled) * (window + 1) // windows
            rng.shuffle(order[ends[first] - counts[filled[first]] : ends[last - 1]])
        return order

    def subset(self, indices: NDArray[np.integer]) -> Self:
        """Return the images at these indices, in their order; `order` still mixes `window` shards."""
        subset = copy.copy(self)
        subset._images = self._images[indices]
        return subset


class _Open:
    """A file descriptor that is closed with its last reference: an eviction must not close a file that is read."""

    def __init__(self, path: str) -> None:
        self.descriptor = os.open(path, os.O_RDONLY)

    def __del__(self) -> None:
        if hasattr(self, "descriptor"):
            os.close(self.descriptor)


@lru_cache(OPEN_FILES)
def _open(path: str, stamp: tuple[int, int]) -> _Open:
    file = _Open(path)  # a forked process may share it, as pread does not move the file's position
    if stamp_of(file.descriptor) != stamp:
        raise DataError(f"{path} has changed since its images were counted; start again")
    return file


def _read_indexes(paths: Sequence[str]) -> list[TarIndex]:
    with ThreadPoolExecutor(THREADS) as pool:
        indexes = list(
            tqdm(pool.map(_read_index, paths), "counting", len(paths), unit=" shards", disable=None, delay=2)
        )
    if failures := [error for _, error in indexes if error]:
        log.warning(
            "the index of %d shards cannot be written beside them and is made again at every start: %s",
            len(failures),
            failures[0],
        )
    return [index for index, _ in indexes]


def _read_index(path: str) -> tuple[TarIndex, OSError | None]:
    if index := load_index(path):
        return index, None
    index = scan(path)
    try:
        save_index(index, path)
    except OSError as error:
        return index, error
    return index, None
