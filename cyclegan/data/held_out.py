"""Held-out images: validation and test images at training's scale, without random augmentation."""

import hashlib
from collections.abc import Mapping, Sequence
from functools import cached_property
from importlib.metadata import version
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from cyclegan.data.domains import HALVES, Domain, find_splits
from cyclegan.data.reader import DomainImages
from cyclegan.data.selection import PAIRINGS, paired_names
from cyclegan.data.sizes import Scale
from cyclegan.data.transforms import Planes, TrainingView
from cyclegan.errors import DataError
from cyclegan.images import MAX_PIXELS, DiskError, ImageError, PixelFormat

SPLITS = ("val", "test")
"""Splits to look for held-out images in: the first that has images of every domain."""

VERSION = 2
"""Version of the transform: results that were computed with another version are not used."""


class HeldOut:
    """The images of one split at training's scale: resized as in training, then centre-cropped.

    Args:
        split: name of the split: "val", "test".
        domains: the images of each domain.
        on_error: "skip" leaves out unreadable images.
        at_most: number of images of each domain to use at most, evenly spaced over their names; None: all.
        pairing: which images of the two domains are each other's paired ground truth: "by_name", those of the same
            name; "auto", the halves of one file; "none".

    Raises:
        DataError: `pairing` is unknown.
    """

    def __init__(
        self,
        split: str,
        domains: Mapping[str, DomainImages],
        on_error: str = "raise",
        at_most: int | None = None,
        pairing: str = "auto",
    ) -> None:
        if pairing not in PAIRINGS:
            raise DataError(f"data.pairing is {pairing!r}; available: {', '.join(PAIRINGS)}")
        self.split = split
        self.domains = domains
        self.on_error = on_error
        self.pairing = pairing
        self.indices: dict[str, Sequence[int]] = {
            domain: spaced(len(prepared), at_most) for domain, prepared in domains.items()
        }
        """Indices of the images of each domain that are used."""
        self._keys: dict[str, str] = {}

    def image(self, domain: str, index: int) -> Tensor | None:
        """Return an image (C, H, W) in [-1, 1]; None if it is unreadable and `on_error` is "skip".

        Raises:
            ImageError: the image cannot be read.
        """
        planes = self.planes(domain, index)
        return None if planes is None else self.domains[domain].tensor(planes)

    def planes(self, domain: str, index: int) -> Planes | None:
        """Return an image as planes (C, H, W) in the type of its file; see `image`."""
        try:
            return self.domains[domain].middle(index)
        except DiskError:
            raise  # it may be readable a moment later, and the metrics would not be comparable
        except ImageError:
            if self.on_error != "skip":
                raise
            return None

    def path(self, domain: str, index: int) -> str:
        """Return the path of an image, for messages."""
        return self.domains[domain].images[index]

    @cached_property
    def ground_truth(self) -> dict[tuple[str, str], dict[int, int]]:
        """The paired ground truth of each direction: {("A", "B"): {index in A: index in B}}; empty without pairs."""
        pairs = [pair for pair in self._same_names if self._are_paired(*pair)]
        if not pairs:
            return {}
        a, b = self.domains
        return {(a, b): dict(pairs), (b, a): {j: i for i, j in pairs}}

    @cached_property
    def _same_names(self) -> list[tuple[int, int]]:
        if len(self.domains) != 2:
            return []
        a, b = self.domains.values()
        return paired_names(a.images, b.images)

    def _are_paired(self, i: int, j: int) -> bool:
        if self.pairing != "auto":
            return self.pairing == "by_name"
        a, b = self.domains.values()
        return {a.half, b.half} == set(HALVES) and a.images[i] == b.images[j]

    @property
    def paired(self) -> str:
        """How images are paired, in words; "none" if none is."""
        return "none" if not self.ground_truth else "by name" if self.pairing == "by_name" else "side by side"

    def describe_pairing(self, option: str) -> str:
        """Return a sentence about the pairs that there are or could be; empty if there are none.

        Args:
            option: the command's option that pairs images by name.
        """
        folders = " and ".join(f"{self.split}{domain}" for domain in self.domains)
        if self.ground_truth:
            count = len(next(iter(self.ground_truth.values())))
            return f"{count} images of {folders} are paired {self.paired}: PSNR, SSIM and L1 are measured"
        if self.pairing == "by_name":
            return f"by_name, but no image of {folders} has the same name in both: no PSNR, SSIM and L1"
        if self.pairing == "auto" and self._same_names:
            return (
                f"{len(self._same_names)} images of {folders} have the same name; if they show the same scene, "
                f"{option} measures PSNR, SSIM and L1"
            )
        return ""

    @property
    def view(self) -> TrainingView:
        """Resizing and cropping of all images."""
        return next(iter(self.domains.values())).view

    def describe(self, domain: str, unreadable: int = 0) -> str:
        """Return the number of images of a domain, in words: "120 of testA"."""
        taken, there = len(self.indices[domain]) - unreadable, len(self.domains[domain])
        return (
            f"{taken} of {self.split}{domain}" if taken == there else f"{taken} of the {there} of {self.split}{domain}"
        )

    @property
    def size(self) -> str:
        """Size of the images, in words."""
        view = self.view
        scale = Scale(view.load_size, view.resize)
        if view.crop_size is None:
            return f"whole images, {scale}"
        return f"{view.crop_size}×{view.crop_size}, the middle of images {scale}"

    def key(self, domain: str) -> str:
        """Return a digest of a domain's files, of the indices used and of the transform, as of the first call."""
        if domain not in self._keys:
            self._keys[domain] = self._key(domain)
        return self._keys[domain]

    def _key(self, domain: str) -> str:
        prepared = self.domains[domain]
        view = prepared.view
        how = (VERSION, domain, view.load_size, view.crop_size, view.resize, view.size_multiple, prepared.pixel_format)
        libraries = [version(name) for name in ("torch", "pillow", "imagecodecs", "tifffile")]
        which = (prepared.half, prepared.max_pixels, prepared.reducing_gap, self.on_error, tuple(self.indices[domain]))
        digest = hashlib.sha256(repr((*how, *which, *libraries)).encode())
        taken = prepared.images
        if len(self.indices[domain]) < len(prepared):
            taken = taken.subset(np.asarray(self.indices[domain]))  # the others need not be looked at
        for stamp in taken.stamps():
            digest.update(stamp)
        return digest.hexdigest()


def held_out(
    splits: Mapping[str, Mapping[str, DomainImages]],
    on_error: str = "raise",
    at_most: int | None = None,
    pairing: str = "auto",
) -> HeldOut | None:
    """Return the held-out images of a run: the first split with images of every domain; None if there is none."""
    for split in SPLITS:
        if splits[split].keys() == splits["train"].keys():
            return HeldOut(split, splits[split], on_error, at_most, pairing)
    return None


def find_held_out(
    root: Path | None,
    domains: Mapping[str, Domain],
    pixel_formats: Mapping[str, PixelFormat],
    view: TrainingView,
    splits: Sequence[str],
    on_error: str = "raise",
    at_most: int | None = None,
    max_pixels: int = MAX_PIXELS,
    val_share: float = 0.0,
    max_images: int | None = None,
    reducing_gap: float | None = None,
    pairing: str = "auto",
) -> HeldOut:
    """Find the images of one split, without a run: training images may be missing.

    Args:
        root: folder of the data set; see `find_splits`.
        domains: sources of each domain's images.
        pixel_formats: channels and value range of each domain.
        view: resizing and cropping.
        splits: names of splits; the first that has images of every domain is used.
        on_error: see `HeldOut`.
        at_most: see `HeldOut`.
        max_pixels: largest width × height that is decoded.
        val_share: see `find_splits`.
        max_images: see `find_splits`.
        reducing_gap: see `DomainImages`.
        pairing: see `HeldOut`.

    Raises:
        DataError: there are no such images; names the folders that were looked for.
    """
    for split in splits:
        found = find_splits(root, domains, val_share, max_images, only=split)[split]
        if found.keys() == domains.keys():
            prepared = {
                name: DomainImages(images, pixel_formats[name], domains[name].half, view, reducing_gap, max_pixels)
                for name, images in found.items()
            }
            return HeldOut(split, prepared, on_error, at_most, pairing)
    wanted = (
        [f"{split}{'' if domain.half else name}" for name, domain in domains.items()] for split in splits
    )  # of side-by-side pairs, one folder for both
    looked_for = ", nor ".join(" and ".join(dict.fromkeys(names)) for names in wanted)
    raise DataError(f"there are no {' or '.join(splits)} images of every domain: no {looked_for}; {_there(root)}")


def _there(root: Path | None) -> str:
    if root is None:
        return "and there is no folder to look in"
    if not root.is_dir():
        return f"{root} {'is a file' if root.exists() else 'does not exist'}"
    folders = sorted(entry.name for entry in root.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    return f"{root} holds {'the folders ' + ', '.join(folders[:8]) if folders else 'no folders'}"


def spaced(count: int, at_most: int | None) -> Sequence[int]:
    """Return up to `at_most` of the numbers below `count`, evenly spaced."""
    if at_most is None or count <= at_most:
        return range(count)
    return [i * count // at_most for i in range(at_most)]


def preview_batch(images: DomainImages, count: int, on_error: str) -> Tensor:
    """Return the first images of a domain as a batch: at training's scale, always the same.

    Whole images (crop_size None) are cropped to the smallest of them.

    Args:
        images: the images.
        count: number of images; all of them if there are fewer.
        on_error: "skip" leaves out unreadable images.

    Returns:
        Images (N, C, crop_size, crop_size) in [-1, 1].

    Raises:
        ImageError: an image cannot be read; with "skip", none can.
    """
    failures: list[ImageError] = []

    def image(index: int) -> Tensor | None:
        try:
            return images.tensor(images.middle(index))
        except ImageError as error:
            if on_error != "skip":
                raise
            failures.append(error)
            return None

    found = list(islice((each for i in range(len(images)) if (each := image(i)) is not None), count))
    if not found:
        raise failures[0]
    height, width = (min(image.shape[axis] for image in found) for axis in (1, 2))
    return torch.stack([image[:, :height, :width] for image in found])
