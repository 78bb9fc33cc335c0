"""Scan of a data set: decode every image, and collect formats, sizes and digests by folder."""

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from hashlib import blake2b
from pathlib import Path
from typing import NamedTuple

from cyclegan.data.archive import are_shards
from cyclegan.data.file_list import Files, files_below
from cyclegan.errors import DataError
from cyclegan.images import CONVERSIONS, MAX_PIXELS, Header, ImageError, PixelFormat, Pixels, content, decode, header_of
from cyclegan.inspection.pool import process_map

BROKEN = "broken"
UNSUITABLE = "unsuitable"

_SPLITS = ("train", "val", "test")
_FOLDER_NAME = re.compile(r"(train|validation|val|test)(?!ing)([^\W_].*)?")


class FileInfo(NamedTuple):
    """The description of one image file."""

    file_bytes: int = 0
    header: Header | None = None  # None if it could not be read
    digest: bytes = b""  # equal for equal pixels, shapes and types; empty if the pixels could not be decoded
    problem: str = ""  # BROKEN; or UNSUITABLE, an intact image that cannot be read in the requested pixel format
    reason: str = ""  # message of the problem


@dataclass
class Folder:
    """The images of one split of one domain."""

    path: Path
    name: str  # below the root of the data set, such as "trainA"
    split: str  # "train", "val" or "test"; "" for a plain folder of images
    domain: str  # "A", "B", ...; "" if the folder's name has none, as for side-by-side pairs in `train`
    images: Files
    infos: dict[str, FileInfo] = field(default_factory=dict)  # by name below the root, such as "trainA/sub/1.png"

    @property
    def headers(self) -> list[Header]:
        """The headers that could be read."""
        return [info.header for info in self.infos.values() if info.header]

    def count(self, field: str) -> Counter[str]:
        """Count the images by a field of their headers."""
        return Counter(getattr(header, field) for header in self.headers)

    def sizes(self, pairs: bool = False) -> Counter[tuple[int, int]]:
        """Count the images by (width, height); if they are side-by-side pairs, by the size of a half."""
        return Counter((max(1, h.width // 2) if pairs else h.width, h.height) for h in self.headers)


class Place(NamedTuple):
    """One image."""

    folder: Folder
    name: str  # below the root of the data set


class Scan(NamedTuple):
    """The result of a scan."""

    root: Path
    folders: Sequence[Folder]  # train before val before test
    same: Sequence[Sequence[Place]]  # groups of images with equal decoded pixels, in the order of folders and names


def scan(
    root: str | Path, pixel_format: PixelFormat, workers: int = 1, max_pixels: int = MAX_PIXELS, pairs: bool = False
) -> Scan:
    """Decode every image of a data set and describe its folders.

    Args:
        root: folder that holds trainA, trainB and so on, or just images.
        pixel_format: format to decode to.
        workers: number of processes that decode.
        max_pixels: width × height of the largest image that is decoded.
        pairs: see `find_folders`.

    Raises:
        DataError: `root` is not a folder or holds tar files, or an image crashes the decoder.
    """
    folders = find_folders(root, pairs)
    work = partial(inspect_file, pixel_format=pixel_format, max_pixels=max_pixels)
    infos = iter(process_map(work, [path for folder in folders for path in folder.images], workers))
    by_digest: defaultdict[bytes, list[Place]] = defaultdict(list)
    for folder in folders:
        for name in folder.images.names():
            place, info = Place(folder, f"{folder.name}/{name}"), next(infos)
            folder.infos[place.name] = info
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
    # Names such as `trainer` or `values`: a lower-case rest is a domain only if no upper-case one is found.
    domains = {domain for domain in domains if not domain[:1].islower()} or trained
    found = sorted(
        (each for each in found if each[1] in domains), key=lambda each: (_SPLITS.index(each[0]), each[1], each[2])
    )
    return [
        Folder(path, path.relative_to(root).as_posix(), split, domain, files_below(path))
        for split, domain, path in found
    ] or [Folder(root, root.name, "", "", files_below(root))]


def inspect_file(path: str, pixel_format: PixelFormat, max_pixels: int = MAX_PIXELS) -> FileInfo:
    """Decode an image completely, as training does, and describe it."""
    data, header = b"", None
    try:
        data = content(path)
        # Without the channels of `pixel_format`, so that an array of any shape is described.
        header = header_of(data, path, pixel_format if pixel_format.page else None)
        pixels = decode(data, path, pixel_format, max_pixels=max_pixels)
    except ImageError as error:
        # An image above the limit may be a decompression bomb and is not decoded to find out whether it is intact.
        intact = header and (header.width * header.height > max_pixels or _is_intact(data, path, header.channels))
        reason = str(error).removeprefix(path).lstrip(": ")
        return FileInfo(len(data), header, problem=UNSUITABLE if intact else BROKEN, reason=reason)
    return FileInfo(len(data), header, _digest(pixels))


def _digest(pixels: Pixels) -> bytes:
    return blake2b(pixels.tobytes() + f"{pixels.shape} {pixels.dtype}".encode(), digest_size=16).digest()


def _domain_folders(split: Path) -> list[Path]:
    visible = [path for path in split.iterdir() if not path.name.startswith(".")]
    return visible if all(path.is_dir() for path in visible) else []


def _is_intact(data: bytes, path: str, channels: int) -> bool:
    with suppress(ImageError):
        decode(data, path, PixelFormat(channels, range=(0.0, 1.0), convert=CONVERSIONS))
        return True
    return False
