"""Which images are for training, validation and testing, in each domain."""

from collections.abc import Mapping
from pathlib import Path

from cyclegan.data.archive import find_shards
from cyclegan.data.domain import Domain
from cyclegan.data.source import Divisible
from cyclegan.data.sources.index import find, locate, require_folder
from cyclegan.data.sources.portion import limit, split_off
from cyclegan.data.sources.shard_files import are_shards
from cyclegan.errors import DataError

SPLITS = ("train", "val", "test")

Splits = dict[str, dict[str, Divisible]]
"""The images of each split, by domain; a split may be missing in some domains."""


def find_splits(
    root: Path | None, domains: Mapping[str, Domain], val_share: float = 0.0, max_images: int | None = None
) -> Splits:
    """Finds all images of all domains.

    Args:
        root: what sources are relative to, and where to look for those that the domains do not name: `trainA`, or
            `train` for halves of side-by-side pairs; None: the current folder, and all have to name theirs.
        domains: by name.
        val_share: part of the training images set aside for validation in a domain without any.
        max_images: of each domain's training images, so many at most.

    Raises:
        DataError: a domain has no training images, or a source that was named has none.
    """
    if not 0 <= val_share < 1:
        raise DataError(f"data.val_share is {val_share}; it is a part of the training images, from 0 to below 1")
    splits: Splits = {split: {} for split in SPLITS}
    for name, domain in domains.items():
        for split in SPLITS:
            images = _find(root, split, name, domain)
            if images is not None:
                splits[split][name] = images
        train = splits["train"][name]
        if val_share and name not in splits["val"]:
            train, splits["val"][name] = split_off(train, val_share)
        splits["train"][name] = train if max_images is None else limit(train, max_images)
    return splits


def find_split(
    root: Path | None,
    split: str,
    domains: Mapping[str, Domain],
    val_share: float = 0.0,
    max_images: int | None = None,
) -> dict[str, Divisible]:
    """One split's images, as `find_splits` finds them; the other splits need not be there.

    Args:
        root: see `find_splits`, as all that follow.
        split: "train", "val" or "test".
        domains: by name.
        val_share: if it is not 0, images for training and validation come from one folder, which has to be there.
        max_images: of each domain's training images.

    Returns:
        the images of those domains that have some.

    Raises:
        DataError: a source that was named has no images, or there is no folder of training images where needed.
    """
    if val_share and split != "test":
        return find_splits(root, domains, val_share, max_images)[split]
    found = {name: _find(root, split, name, domain) for name, domain in domains.items()}
    there = {name: images for name, images in found.items() if images is not None}
    if split != "train" or max_images is None:
        return there
    return {name: limit(images, max_images) for name, images in there.items()}


def _find(root: Path | None, split: str, name: str, domain: Domain) -> Divisible | None:
    given: str | None = getattr(domain, split)
    if given is not None:
        source = Path(root or ".", Path(given).expanduser())
    elif root is None and split == "train":
        raise DataError(
            f"nothing says where the images of domain {name} are: pass data.root, the folder that holds train{name}, "
            f"or data.domains.{name}.train, a folder, pattern or list file of their own; "
            "or choose experiment=toy, whose images are drawn"
        )
    else:
        found = None if root is None else _below(root, split, "" if domain.half else name)
        if found is None:
            return None
        source = found
    return find_shards(source) if are_shards(source) else find(source)


def _below(root: Path, split: str, name: str) -> Path | None:
    """The folder below the root; for training it has to be there."""
    return require_folder(root, split, name) if split == "train" else locate(root, split, name)
