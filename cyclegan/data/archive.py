"""Images in shards (tar files, as of WebDataset), read at any position: for data sets of very many small files."""

import copy
import glob
import json
import os
import re
import tarfile
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from cyclegan.data.file_list import no_image, shortened, skip_reason
from cyclegan.data.threads import THREADS
from cyclegan.errors import DataError, DiskError, ImageError
from cyclegan.files import replacing
from cyclegan.images import IMAGE_SUFFIXES, Header, PixelFormat, header_of

INDEX_SUFFIX = ".index"
OPEN_FILES = 64
"""Maximum number of shards that a process keeps open."""

_INDEX_VERSION = 2
_BRACES = re.compile(r"\{(?:(\d+)\.\.(\d+)|([^{}]*))\}")
_HEADER_BYTES = 2**16


def are_shards(source: str | Path) -> bool:
    """Return whether a source is a tar file or pattern, or a folder of tar files with neither images nor folders."""
    folder = Path(source).expanduser()
    if not folder.is_dir():
        return ".tar" in Path(folder.name.lower()).suffixes  # a.tar.gz is refused later, with the reason
    found = False
    with os.scandir(folder) as entries:
        for entry in entries:
            reason = skip_reason(entry.name)
            if reason is None or (reason != "hidden" and entry.is_dir()):
                return False
            found = found or reason == ".tar"
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
        return sorted(str(file) for file in path.iterdir() if skip_reason(file.name) == ".tar")
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
    inside = [f"{number:0{len(first)}}" for number in numbers] if first else choices.split(",")
    before, after = pattern[: braces.start()], pattern[braces.end() :]
    return [expanded for each in inside for expanded in _expand(before + each + after)]


class Shards:
    """The images of tar files, in the order of the files' names and of the members in each.

    All regular members with an image's extension are images, also if several have one WebDataset key (`0.input.jpg`,
    `0.target.jpg`). See `ImageSource` for the methods.

    Args:
        paths: uncompressed tar files.
        window: number of shards whose images `order` mixes.

    Raises:
        DataError: a file is compressed or damaged, or there is no image in any.
    """

    label = ""

    def __init__(self, paths: Sequence[str | Path], window: int = 4) -> None:
        self.paths = tuple(sorted({os.fspath(path) for path in paths}))
        self.window = window
        with ThreadPoolExecutor(THREADS) as pool:
            found = pool.map(_index, self.paths)
            indexes = list(tqdm(found, "counting", len(self.paths), unit=" shards", disable=None, delay=2))
        self.skipped: Counter[str] = sum((index.skipped for index in indexes), Counter())
        self._stamps = [index.stamp for index in indexes]
        for number, index in enumerate(indexes):
            index.images["shard"] = number
        self._images = np.concatenate([index.images for index in indexes])
        if not len(self._images):
            raise no_image(f"no image in {shortened(list(self.paths))}", self.skipped)
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
        if not pixel_format.page:
            with suppress(ImageError):  # a TIFF may have its header after its pixels
                start = self._read(index, min(_HEADER_BYTES, int(self._images[index]["size"])))
                return header_of(start, self[index], pixel_format)
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
        """Return a permutation (N,) of all indices in which neighbours are in few shards.

        The shards come in random order, and the images of `window` shards at a time are mixed uniformly. So all
        workers and devices read the same few files at a time. Unlike the shuffle buffer of a stream, the permutation
        is a function of the seed alone, so a run resumes within an epoch without reading what came before.
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

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor

    def __del__(self) -> None:
        os.close(self.descriptor)


@lru_cache(OPEN_FILES)
def _open(path: str, stamp: tuple[int, int]) -> _Open:
    # Forked processes may share the descriptor, as pread does not move the file's position.
    file = _Open(os.open(path, os.O_RDONLY))
    if _stamp(file.descriptor) != stamp:
        raise DataError(f"{path} has changed since the start of the run; start again")
    return file


class TarIndex(NamedTuple):
    """The N images of a tar file."""

    stamp: tuple[int, int]  # size and modification time in ns of the tar file
    images: NDArray[np.void]  # (N,), fields shard (0), offset and size in bytes, and name, a byte string
    skipped: Counter[str]  # number of members by kind that are no images


def _index(path: str) -> TarIndex:
    if index := load_index(path):
        return index
    index = scan(path)
    about = json.dumps([*_expected(index.stamp), index.skipped])
    try:
        with replacing(Path(path + INDEX_SUFFIX)) as unfinished, unfinished.open("wb") as file:
            np.savez(file, about=np.frombuffer(about.encode(), np.uint8), images=index.images)
    except OSError as error:  # one text for all shards of the folder, so that the warning is shown once
        problem = f"no index can be written to {Path(path).parent} ({error.strerror})"
        warnings.warn(f"{problem}: its shards are scanned at every start", stacklevel=2)
    return index


def load_index(path: str) -> TarIndex | None:
    """Read the index beside a tar file; None if there is none, it is damaged, or the tar file has changed since."""
    try:
        stamp = _stamp(path)
        with Path(path + INDEX_SUFFIX).open("rb") as file, np.load(file, allow_pickle=False) as saved:
            *about, skipped = json.loads(saved["about"].tobytes())
            return TarIndex(stamp, saved["images"], Counter(skipped)) if about == _expected(stamp) else None
    except Exception:  # numpy and zipfile raise nearly anything for a damaged file
        return None


def _expected(stamp: tuple[int, int]) -> list[object]:
    return [_INDEX_VERSION, sorted(IMAGE_SUFFIXES), list(stamp)]


def _stamp(file: int | str) -> tuple[int, int]:
    found = os.stat(file)  # noqa: PTH116 - a Path takes no descriptor
    return found.st_size, found.st_mtime_ns


def scan(path: str) -> TarIndex:
    """Find the images of a tar file. Of members with the same name the last counts, as for `tar --extract`.

    Raises:
        DataError: the file is compressed, damaged or cut off.
    """
    found: dict[str, tuple[int, int]] = {}
    skipped: Counter[str] = Counter()
    try:
        stamp = _stamp(path)
        with Path(path).open("rb") as file, tarfile.open(fileobj=file, mode="r:", encoding="utf-8") as tar:
            for member in tar:
                name = member.name.removeprefix("./").lstrip("/")
                if member.isdir():
                    continue
                if not member.isfile() or member.issparse():
                    skipped["link, device or sparse file"] += 1
                elif reason := skip_reason(name):
                    skipped[reason] += 1
                else:
                    skipped["replaced"] += found.pop(name, None) is not None
                    found[name] = member.offset_data, member.size
            file.seek(tar.offset)  # of the first block that is no header
            rest = file.read(2**20)
    except tarfile.TarError as error:
        problem = f"{path} is no intact tar file ({error})"
        raise DataError(f"{problem}: unpack it if it is compressed, else copy it again") from error
    # tarfile treats a damaged header as the end of the archive, and silently skips the images after it.
    if len(rest) < tarfile.BLOCKSIZE or rest.strip(b"\0"):
        raise DataError(
            f"{path} is damaged, cut off or joined at byte {tar.offset:,}: copy it again, or join tar files with "
            "tar --concatenate instead of cat"
        )
    names = [os.fsencode(name) for name in found]
    width = max(map(len, names), default=1)
    fields = [("shard", np.int32), ("offset", np.int64), ("size", np.int64), ("name", f"S{width}")]
    rows = [(0, offset, size, name) for name, (offset, size) in zip(names, found.values(), strict=True)]
    return TarIndex(stamp, np.array(rows, fields), +skipped)
