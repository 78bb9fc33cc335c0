"""Scan of a data set: every image is decoded, and its format, size and digest are collected by folder."""

import os
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from functools import partial
from hashlib import blake2b
from pathlib import Path
from typing import NamedTuple

from cyclegan.data.archive import are_shards
from cyclegan.data.file_list import Files, files_below
from cyclegan.errors import DataError
from cyclegan.images import CONVERSIONS, MAX_PIXELS, RGB, ImageError, PixelFormat, Pixels, content, decode, header_of
from cyclegan.inspection.pool import process_map

BROKEN = "broken"
UNSUITABLE = "unsuitable"

_SPLITS = ("train", "val", "test")
_FOLDER_NAME = re.compile(r"(train|validation|val|test)(?!ing)([^\W_].*)?")


class FileInfo(NamedTuple):
    """The description of one image file."""

    size: int = 0  # bytes
    format: str = ""  # this and the next five as in images.Header, if it could be read
    mode: str = ""
    dtype: str = ""
    width: int = 0
    height: int = 0
    pages: int = 0
    digest: bytes = b""  # see `digest`; empty if the pixels could not be decoded
    problem: str = ""  # BROKEN; or UNSUITABLE, an intact image that cannot be read in the requested pixel format
    reason: str = ""  # message of the problem


@dataclass(eq=False)
class Folder:
    """The images of one split of one domain, and what the scan found in them."""

    path: Path
    name: str  # below the root of the data set, such as "trainA"
    split: str  # "train", "val" or "test"; "" for a plain folder of images
    domain: str  # "A", "B", ...; "" if the folder's name has none, such as `train` of side-by-side pairs
    images: Files
    skipped: Counter[str] = field(default_factory=Counter)  # files that are not images: {".txt": 2, "hidden": 1}
    formats: Counter[str] = field(default_factory=Counter)
    modes: Counter[str] = field(default_factory=Counter)
    dtypes: Counter[str] = field(default_factory=Counter)
    sizes: Counter[tuple[int, int]] = field(default_factory=Counter)  # (width, height)
    paged: list[str] = field(default_factory=list)  # names of files with several pages
    file_bytes: list[int] = field(default_factory=list)  # of every file, in order
    problems: dict[str, FileInfo] = field(default_factory=dict)  # images that cannot be used, by name

    def image(self, index: int) -> str:
        """Return the name of an image below the folder, "/" between folders."""
        return self.images[index].removeprefix(str(self.path)).lstrip("/")

    def add(self, info: FileInfo) -> None:
        """Add the description of the next image."""
        name = self.image(len(self.file_bytes))
        self.file_bytes.append(info.size)
        if info.problem:
            self.problems[name] = info
        if info.format:
            self.formats[info.format] += 1
            self.modes[info.mode] += 1
            self.dtypes[info.dtype] += 1
            self.sizes[info.width, info.height] += 1
        if info.pages > 1:
            self.paged.append(name)


class Place(NamedTuple):
    """One image of a folder."""

    folder: Folder
    position: int

    def __str__(self) -> str:
        return f"{self.folder.name}/{self.folder.image(self.position)}"


@dataclass(frozen=True)
class Scan:
    """The result of a scan.

    Args:
        root: folder of the data set.
        folders: its folders, train before val before test.
        same: groups of images with equal decoded pixels, each in the order of the folders and names.
    """

    root: Path
    folders: Sequence[Folder]
    same: Sequence[Sequence[Place]]


def scan(
    root: str | Path,
    pixel_format: PixelFormat = RGB,
    workers: int = 1,
    progress: Callable[[Iterator[FileInfo], int], Iterator[FileInfo]] = lambda infos, total: infos,
    max_pixels: int = MAX_PIXELS,
    pairs: bool = False,
) -> Scan:
    """Decode every image of a data set and describe its folders.

    Args:
        root: folder that holds trainA, trainB and so on, or just images.
        pixel_format: format to decode to.
        workers: number of processes that decode.
        progress: wraps the iterator of results, given their number; for a progress bar.
        max_pixels: width × height of the largest image that is decoded.
        pairs: see `find_folders`.

    Raises:
        DataError: `root` is not a folder, or holds tar files.
    """
    folders = find_folders(root, pairs)
    places = (Place(folder, index) for folder in folders for index in range(len(folder.images)))
    paths = (path for folder in folders for path in folder.images)
    work = partial(inspect_file, pixel_format=pixel_format, max_pixels=max_pixels)
    total = sum(len(folder.images) for folder in folders)
    by_digest: defaultdict[bytes, list[Place]] = defaultdict(list)
    with closing(process_map(work, paths, workers, _crashed)) as infos:
        for place, info in zip(places, progress(infos, total), strict=True):
            place.folder.add(info)
            if info.digest:
                by_digest[info.digest].append(place)
    return Scan(Path(root), folders, [group for group in by_digest.values() if len(group) > 1])


def find_folders(root: str | Path, pairs: bool = False) -> list[Folder]:
    """Find the split folders of a data set, train first: trainA, or A in train if train holds folders only.

    Domains are those that have a folder for training; without any such folder, those of the other splits. A data
    set without split folders is one plain folder.

    Args:
        root: folder of the data set.
        pairs: `train`, `val` and `test` hold side-by-side pairs, and their sub-folders are not domains.

    Raises:
        DataError: `root` is not a folder or holds tar files, or a folder cannot be read.
    """
    root = Path(root).expanduser().absolute()  # so that "." has a name too
    if not root.is_dir():
        raise DataError(f"{root} {'is a file' if root.exists() else 'does not exist'}; pass the folder of a data set")
    if are_shards(root):
        raise DataError(f"{root} holds shards (tar files), which cannot be inspected: unpack them, or some of them")
    found: list[tuple[str, str, Path]] = []
    for path in root.iterdir():
        if (match := _FOLDER_NAME.fullmatch(path.name)) and path.is_dir():
            split, domain = match[1].replace("validation", "val"), match[2] or ""
            nested = [] if pairs or domain else _domain_folders(path)
            found += [(split, one.name, one) for one in nested] or [(split, domain, path)]
    trained = {domain for split, domain, _ in found if split == "train"}
    domains = trained or {domain for _, domain, _ in found}
    # A lower-case rest, as in `trainer` or `values`, is a domain only if no other name is one.
    domains = {domain for domain in domains if not domain[:1].islower()} or trained
    found = sorted(
        (each for each in found if each[1] in domains), key=lambda each: (_SPLITS.index(each[0]), each[1], each[2])
    )
    return [_folder(root, *each) for each in found] or [_folder(root, "", "", root)]


def inspect_file(path: str, pixel_format: PixelFormat, max_pixels: int = MAX_PIXELS) -> FileInfo:
    """Decode an image completely, as training does, and describe it."""
    size = 0
    try:
        data = content(path)
        size = len(data)
        # Without the channels of `pixel_format`, so that an array of any shape is described.
        header = header_of(data, path, pixel_format if pixel_format.page else None)
    except ImageError as error:
        return FileInfo(size, problem=BROKEN, reason=str(error))
    info = FileInfo(size, header.format, header.mode, header.dtype, header.width, header.height, header.pages)
    try:
        return info._replace(digest=digest(decode(data, path, pixel_format, max_pixels=max_pixels)))
    except ImageError as error:
        # An image above the limit may be a decompression bomb and is not decoded to find out whether it is intact.
        intact = header.width * header.height > max_pixels or _is_intact(data, path, header.channels)
        return info._replace(problem=UNSUITABLE if intact else BROKEN, reason=str(error))


def digest(pixels: Pixels) -> bytes:
    """Return 16 bytes that two images share only if they have the same shape, type and values."""
    return blake2b(pixels.tobytes() + f"{pixels.shape} {pixels.dtype}".encode(), digest_size=16).digest()


def _domain_folders(split: Path) -> list[Path]:
    with os.scandir(split) as entries:
        visible = [entry for entry in entries if not entry.name.startswith(".")]
    return [Path(entry.path) for entry in visible] if all(entry.is_dir() for entry in visible) else []


def _folder(root: Path, split: str, domain: str, path: Path) -> Folder:
    images = files_below(path)
    name = root.name if path == root else path.relative_to(root).as_posix()
    return Folder(path, name, split, domain, images, images.skipped)


def _is_intact(data: bytes, path: str, channels: int) -> bool:
    with suppress(ImageError):
        decode(data, path, PixelFormat(channels, range=(0.0, 1.0), convert=CONVERSIONS))
        return True
    return False


def _crashed(path: str) -> FileInfo:
    return FileInfo(
        problem=BROKEN,
        reason=f"{path}: the process that decoded it crashed: the file is damaged in a way that crashes the decoder, "
        "or memory ran out (then: fewer --num-workers); remove it from the folder",
    )
