"""Lists of image files: all in a folder, those that match a glob pattern, or those that a text file names."""

import glob
import os
import posixpath
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from copy import copy
from pathlib import Path, PurePosixPath
from typing import NoReturn, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from cyclegan.data.threads import in_threads
from cyclegan.errors import DataError
from cyclegan.images import IMAGE_SUFFIXES, Header, PixelFormat, content, header

LIST_SUFFIX = ".txt"


class ImageSource(Protocol):
    """N images of one domain and split in a fixed order; `images[i]` is the path of image i, for messages.

    Sources are pickled for worker processes and may hold a million images: keep them small. Several threads read one
    source at once, and worker processes may be forks of one that has read it: open the file in each call, or read with
    `os.pread`, which shares no file position.
    """

    label: str
    """Name of the folder that `names()` are relative to, such as "trainA"; empty if the names need none."""
    skipped: Counter[str]
    """Number of files by kind that were found and are no images: {".txt": 2, "hidden": 1}."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> str: ...

    def open(self, index: int) -> bytes:
        """Read the file of an image, or raise an ImageError."""

    def header(self, index: int, pixel_format: PixelFormat) -> Header:
        """Read the header of an image, or raise an ImageError."""

    def stamps(self) -> Iterator[bytes]:
        """Yield bytes that change when a file is replaced, and stay when the data set is moved."""

    def names(self) -> Iterator[str]:
        """Yield the name of each image, "/" between folders, independent of where the data set is."""

    def order(self, rng: np.random.Generator) -> NDArray[np.integer]:
        """Return a permutation (N,) of all indices, in which training takes the images; int32 if they fit."""

    def subset(self, indices: NDArray[np.integer]) -> Self:
        """Return the images at these indices, in their order."""


class Files:
    """Image files below a folder, in the given order: `files[i]` is a path. See `ImageSource` for the methods.

    The names are one array of bytes rather than a list of strings: a worker process that reads a string updates its
    reference count, and so copies the memory that it shares with the process that forked it.

    Args:
        base: the folder.
        names: of the files, relative to `base`, "/" between folders.
        label: see `ImageSource`; None: the name of the folder.
        skipped: see `ImageSource`.
    """

    def __init__(
        self, base: str | Path, names: Iterable[str], label: str | None = None, skipped: Counter[str] | None = None
    ) -> None:
        self.base = Path(base)
        self._prefix = str(self.base / "x")[:-1]  # "folder/", or "" for the current folder
        self.label = self.base.absolute().name if label is None else label
        self.skipped = Counter[str]() if skipped is None else skipped
        self._names = np.array([os.fsencode(name) for name in names], np.bytes_)

    def __len__(self) -> int:
        return len(self._names)

    def __getitem__(self, index: int) -> str:
        return self._prefix + os.fsdecode(self._names[index])

    def __iter__(self) -> Iterator[str]:
        return map(self._prefix.__add__, self.names())

    def names(self) -> Iterator[str]:
        return map(os.fsdecode, self._names)

    def open(self, index: int) -> bytes:
        return content(self[index])

    def header(self, index: int, pixel_format: PixelFormat) -> Header:
        return header(self[index], pixel_format)

    def stamps(self) -> Iterator[bytes]:
        """Yield the label, then the name, size and modification time of each file; see `ImageSource`."""

        def stamp(name: str) -> bytes:
            try:
                found = os.stat(self._prefix + name)  # noqa: PTH116 - a Path for each of a million files is slow
            except OSError:
                return os.fsencode(f"{name}\0missing\0")
            return os.fsencode(f"{name}\0{found.st_size}\0{found.st_mtime_ns}\0")

        yield os.fsencode(self.label) + b"\0"
        yield from in_threads(stamp, self.names())

    def order(self, rng: np.random.Generator) -> NDArray[np.integer]:
        order = rng.permutation(len(self))
        return order.astype(np.int32) if len(self) <= np.iinfo(np.int32).max else order

    def subset(self, indices: NDArray[np.integer]) -> Self:
        subset = copy(self)
        subset._names = self._names[indices]
        return subset


def find_files(source: str | Path) -> Files:
    """Find the images of a folder, a glob pattern or a list file.

    A folder: see `files_below`. A list file with the extension .txt: see `read_list`. A pattern: the files that match,
    sorted; "**" in it, once, matches any number of folders; hidden files are not matched.

    Raises:
        DataError: there is no such source, or it has no images.
    """
    path = Path(source).expanduser()
    if path.is_dir():
        files, problem = files_below(path), f"no image in {path}"
    elif path.exists():
        return read_list(path)
    elif pattern := _split_pattern(path):
        files, problem = (
            _matching(*pattern),
            f"patterns match files, not folders, and no image matches {path}",
        )
    else:
        folder = next(parent for parent in path.absolute().parents if parent.is_dir())
        names = sorted(entry.name for entry in folder.iterdir() if not entry.name.startswith("."))
        raise DataError(f"there is no {path}; {folder} has: {shortened(names)}")
    if not len(files):
        raise no_image(problem, files.skipped)
    return files


def no_image(problem: str, skipped: Counter[str]) -> DataError:
    """Return the error for a source without images, given what was found instead."""
    found = ", ".join(f"{kind} ×{count}" for kind, count in skipped.most_common(5))
    extensions = ", ".join(sorted(IMAGE_SUFFIXES))
    return DataError(f"{problem} (found: {found or 'no file'}); images have the extensions {extensions}")


def skip_reason(name: str) -> str | None:
    """Return the kind of a file that is no image, "hidden" or its extension; None for an image.

    Args:
        name: relative path, "/" between folders.
    """
    if "/." in f"/{name}":
        return "hidden"
    suffix = posixpath.splitext(name)[1].lower()
    return None if suffix in IMAGE_SUFFIXES else suffix or "no extension"


def files_below(folder: Path) -> Files:
    """List all images in a folder and its sub-folders, sorted by name.

    Hidden files and folders are skipped. Links are followed. A folder that can be reached in several ways is listed
    once, where it comes first; links come after the other folders beside them.

    Raises:
        DataError: a folder cannot be read.
    """

    def refuse(error: OSError) -> NoReturn:
        raise DataError(
            f"{error.filename} cannot be read ({error.strerror}): make it readable, or remove it"
        ) from error

    names: list[str] = []
    skipped = Counter[str]()
    seen = set(folder.resolve().parents)  # a link to a parent would add the images of other domains
    for path, folders, files in os.walk(folder, onerror=refuse, followlinks=True):
        target = Path(path).resolve()
        if target in seen:
            skipped["folder listed before"] += 1
            folders.clear()
            continue
        seen.add(target)
        visible = (name for name in folders if not name.startswith("."))
        folders[:] = sorted(visible, key=lambda name: (Path(path, name).is_symlink(), name))
        below = path.removeprefix(str(folder)).lstrip("/")
        for name in files:
            if reason := skip_reason(name):
                skipped[reason] += 1
            else:
                names.append(posixpath.join(below, name))
    return Files(folder, sorted(names), skipped=skipped)


def read_list(path: Path) -> Files:
    """Read a list file: one path a line, absolute or relative to the folder of the list, in the order of training.

    Blank lines and lines that begin with `#` are skipped. The base of the files is their common folder, and the label
    is that folder as the list writes it. Only the first eight files are checked for existence.

    Raises:
        DataError: the list is empty, names a path twice, or only missing files.
    """
    if path.suffix.lower() != LIST_SUFFIX:
        raise DataError(f"{path} is a file; give a folder, or a list: a {LIST_SUFFIX} file with one path a line")
    # utf-8-sig: lists from Windows; surrogateescape: file names that are not UTF-8
    text = path.read_text(encoding="utf-8-sig", errors="surrogateescape")
    lines = [line for line in text.split("\n") if line.strip() and not line.lstrip().startswith("#")]
    names = [re.sub(r"^(\./+)+", "", line) for line in lines]  # `find` writes ./name
    if not names:
        raise DataError(f"{path} lists no image: write one path a line, absolute or relative to {path.parent}")
    if len({name.startswith("/") for name in names}) == 2:
        names = [str(path.parent.absolute() / name) for name in names]
    if len(set(names)) < len(names):
        name, count = Counter(names).most_common(1)[0]
        raise DataError(f"{path} lists {name} {count} times; keep one of these lines")
    prefix = os.path.commonprefix(names)  # noqa: RUF071 - by letters, and cut to a folder in the next line
    folder = prefix[: prefix.rfind("/") + 1]
    base = path.parent / folder
    label = base.name if folder.startswith("/") else folder.removesuffix("/")
    files = Files(base, [name.removeprefix(folder) for name in names], label)
    if not any(Path(files[i]).is_file() for i in range(min(8, len(files)))):
        raise DataError(
            f"{path} lists {files[0]!r}, which does not exist, nor do the next ones; lists are UTF-8 text, "
            f"and their paths are absolute or relative to {path.parent}"
        )
    return files


def _split_pattern(path: Path) -> tuple[Path, str] | None:
    """Split a path before its first part with wildcards, unless something exists that has this very name."""
    for i, part in enumerate(path.parts):
        if glob.has_magic(part) and not Path(*path.parts[: i + 1]).exists():
            return Path(*path.parts[:i]), "/".join(path.parts[i:])
    return None


def _matching(base: Path, pattern: str) -> Files:
    head, recursive, tail = f"{pattern}/".partition("**/")
    if not recursive:
        found = [name for name in glob.glob(pattern, root_dir=base) if not (base / name).is_dir()]  # noqa: PTH207
        skipped = Counter(reason for name in found if (reason := skip_reason(name)))
        return Files(base, sorted(name for name in found if not skip_reason(name)), skipped=skipped)
    if "**" in tail:
        raise DataError(f"{base / pattern} has ** more than once; use a list file, or one source for each folder")
    names: list[str] = []
    skipped = Counter()
    for folder in glob.glob(head, root_dir=base) if head else [""]:  # noqa: PTH207
        files = files_below(base / folder)  # not by glob, which follows links in circles
        skipped += files.skipped
        names += [f"{folder}{name}" for name in files.names() if PurePosixPath(name).match(tail or "*")]
    return Files(base, sorted(names), skipped=skipped)


def shortened(names: list[str]) -> str:
    """Join the first names of a list by commas: "a, b and 3 more"; "nothing" for none."""
    return ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "") or "nothing"
