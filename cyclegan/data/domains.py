"""Domains as the configuration names them, and the images of each split that they have."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cyclegan.data.archive import Shards, are_shards, shard_files
from cyclegan.data.file_list import ImageSource, find_files, shortened
from cyclegan.data.selection import limit, train_val_split
from cyclegan.datasets.catalog import CATALOG
from cyclegan.errors import DataError
from cyclegan.images import PixelFormat
from cyclegan.images.pixel_format import FULL_RANGE

HALVES = ("left", "right")
SPLITS = ("train", "val", "test")

Splits = dict[str, dict[str, ImageSource]]
"""Images by split and domain; a domain without validation or test images is missing there."""


@dataclass(frozen=True)
class Domain:
    """Where one domain's images are and how they are read.

    A source is a folder, a glob pattern, a list file, or shards (see docs/data.md); if it is None, the folder below
    the root of the data set is used: `trainA` or `train/A` for domain A, or `train` for a domain that is one half of
    side-by-side pairs.

    Args:
        train: source of the training images.
        val: source of the validation images.
        test: source of the test images.
        channels: of the images that the networks see.
        dtype: of translations into this domain when they are written; None: as the training images are stored.
        range: (low, high), the values that become -1 and 1, others are clipped; None: the full range of the dtype.
        page: of files with several.
        convert: lossy conversions that are allowed: see `PixelFormat`.
        half: "left" or "right" if every image file holds a pair side by side, and this is the domain's half.
        lightness: whether the networks see the lightness of the images: see `PixelFormat`.
        folder: replaces the domain's name in `trainA`; "" for `train`. None: the name.

    Raises:
        UserError: an argument has an invalid value.
    """

    train: str | None = None
    val: str | None = None
    test: str | None = None
    channels: int = 3
    dtype: str | None = None
    range: Sequence[float] | None = None
    page: int = 0
    convert: Sequence[str] = ()
    half: str | None = None
    lightness: bool = False
    folder: str | None = None

    def __post_init__(self) -> None:
        if self.range is not None and len(self.range) != 2:
            raise DataError(f"range is {list(self.range)}; give the lowest and the highest value, as in [0, 4095]")
        if self.half not in (None, *HALVES):
            raise DataError(f"half is {self.half!r}; give left or right, or null for images that are no pairs")
        values = self.pixel_format.range  # checks the other arguments
        if self.dtype == "float32" and values is None:
            raise DataError("dtype is float32, which has no full range: set the values to write, range=[0, 1]")
        if self.dtype in FULL_RANGE and values is not None:
            low, high = FULL_RANGE[self.dtype]
            if values[0] < low or values[1] > high:
                raise DataError(
                    f"range is {list(values)}, but {self.dtype} holds {low:g} to {high:g} and would clip translations: "
                    "leave dtype out, to use that of the training images, or set float32"
                )

    @property
    def pixel_format(self) -> PixelFormat:
        """How images are read and written; the dtype may still be None."""
        values = None if self.range is None else (float(self.range[0]), float(self.range[1]))
        return PixelFormat(self.channels, self.dtype, values, self.page, tuple(self.convert), self.lightness)


def find_splits(
    root: Path | None,
    domains: Mapping[str, Domain],
    val_share: float = 0.0,
    max_images: int | None = None,
    only: str | None = None,
) -> Splits:
    """Find the images of the splits by domain.

    Args:
        root: folder that sources are relative to, and that has the folders of domains without a source; None: the
            current folder, and every domain has a source.
        domains: by name.
        val_share: share of the training images set aside for validation in domains without validation images.
        max_images: maximum number of training images of each domain; None: all.
        only: the split that is needed, for which the others may be missing; None: all.

    Raises:
        DataError: a domain has no training images, or a given source has no images.
    """
    if not 0 <= val_share < 1:
        raise DataError(f"data.val_share is {val_share}; give a share of the training images, from 0 to below 1")
    needed = SPLITS if only is None or (val_share and only != "test") else (only,)
    splits = {split: _find_all(root, split, domains) for split in needed}
    for name, train in splits.get("train", {}).items():
        rest = train
        if val_share and name not in splits["val"]:
            rest, splits["val"][name] = train_val_split(train, val_share)
        splits["train"][name] = rest if max_images is None else limit(rest, max_images)
    return splits


def _find_all(root: Path | None, split: str, domains: Mapping[str, Domain]) -> dict[str, ImageSource]:
    sources = {name: _source(root, split, name, domain) for name, domain in domains.items()}
    return {name: find_images(source) for name, source in sources.items() if source is not None}


def find_images(source: Path) -> ImageSource:
    """Return the images of a source: of tar files, or of a folder, pattern or list file."""
    return Shards(shard_files(source)) if are_shards(source) else find_files(source)


def _source(root: Path | None, split: str, name: str, domain: Domain) -> Path | None:
    given: str | None = getattr(domain, split)
    if given is not None:
        return Path(root or ".", Path(given).expanduser())
    if root is None:
        if split != "train":
            return None
        raise DataError(
            f"domain {name} has no images: set data.root, the folder that holds train{name}, or "
            f"data.domains.{name}.train; or choose experiment=toy, whose images are drawn"
        )
    label = domain.folder if domain.folder is not None else "" if domain.half else name
    folder = find_folder(root, split, label)
    if folder is None and split == "train":
        raise DataError(f"there is no folder {root / f'{split}{label}'}: {_remedy(root, split, label)}")
    return folder


def find_folder(root: Path, split: str, domain: str) -> Path | None:
    """Return the folder of a split and domain, `root/trainA` or else `root/train/A`; None if there is neither."""
    candidates = (root / f"{split}{domain}", root / split / domain)
    return next((folder for folder in candidates if folder.is_dir()), None)


def _remedy(root: Path, split: str, domain: str) -> str:
    remedy = f"set data.root to the folder that holds {'trainA and trainB' if domain else split}"
    if not root.is_dir():
        if root.name in CATALOG:
            remedy = f"download it: cyclegan-data download {root.name}. For images of your own, {remedy}"
        return f"{root} {'is a file' if root.exists() else 'does not exist'}; {remedy}"
    folders = sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))
    for folder in folders:
        if find_folder(folder, split, domain):
            remedy = f"set data.root={folder}"
    return f"the folders in {root} are: {shortened([folder.name for folder in folders])}; {remedy}"
