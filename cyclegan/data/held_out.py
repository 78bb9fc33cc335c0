"""Images to measure with: those that training does not learn from, as they are shown to people."""

import hashlib
from collections.abc import Mapping, Sequence
from functools import cached_property
from importlib.metadata import version
from pathlib import Path

import numpy as np
from torch import Tensor

from cyclegan.data.domains import HALVES, Domain, find_split
from cyclegan.data.reader import Prepared
from cyclegan.data.selection import PAIRINGS, paired_names
from cyclegan.data.sizes import Scale
from cyclegan.data.transforms import Planes, TrainingView
from cyclegan.errors import DataError
from cyclegan.images import MAX_PIXELS, DiskError, ImageError, PixelFormat

SPLITS = ("val", "test")
"""Where held-out images are looked for: those for validation, or without any, those for testing."""

VERSION = 2
"""Of how images are shown: another number, and what was computed of them earlier is not used."""


class HeldOut:
    """One split's images of each domain at training's scale: resized as in training, and the middle of that.

    Args:
        split: their name: "val", "test".
        domains: the images.
        on_error: "skip" leaves out an image that cannot be read.
        at_most: of each domain, so many images are taken, evenly spaced over their names; None: all.
        pairing: which images of the two domains are each other's paired ground truth: "by_name", those of the same
            name; "auto", the halves of one file; "none".

    Raises:
        DataError: `pairing` is another word.
    """

    def __init__(
        self,
        split: str,
        domains: Mapping[str, Prepared],
        on_error: str = "raise",
        at_most: int | None = None,
        pairing: str = "auto",
    ) -> None:
        if pairing not in PAIRINGS:
            raise DataError(f"data.pairing is {pairing!r}; there are {', '.join(PAIRINGS)}")
        self.split = split
        self.domains = domains
        self.on_error = on_error
        self.pairing = pairing
        self.indices: dict[str, Sequence[int]] = {
            domain: spaced(len(prepared), at_most) for domain, prepared in domains.items()
        }
        """Which of each domain's images are measured."""
        self._keys: dict[str, str] = {}

    def image(self, domain: str, index: int) -> Tensor | None:
        """An image (C, H, W) in [-1, 1]; None if it cannot be read and such are to be left out.

        Raises:
            ImageError: it cannot be read.
        """
        planes = self.planes(domain, index)
        return None if planes is None else self.domains[domain].tensor(planes)

    def planes(self, domain: str, index: int) -> Planes | None:
        """The same as planes (C, H, W) in the type of its file."""
        try:
            return self.domains[domain].middle(index)
        except DiskError:
            raise  # the next moment it may be readable, and the metrics would not be comparable
        except ImageError:
            if self.on_error != "skip":
                raise
            return None

    def path(self, domain: str, index: int) -> str:
        """The image's file, for people."""
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
        """Indices of the images of two domains that have the same name."""
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
        """What is paired, or could be, in words; empty if there is nothing to say.

        Args:
            option: that pairs images by their names, as the command takes it.
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
        """Says how all of them are resized and cropped."""
        return next(iter(self.domains.values())).view

    def describe(self, domain: str, unreadable: int = 0) -> str:
        """What is measured of a domain: "120 of testA"."""
        taken, there = len(self.indices[domain]) - unreadable, len(self.domains[domain])
        return (
            f"{taken} of {self.split}{domain}" if taken == there else f"{taken} of the {there} of {self.split}{domain}"
        )

    @property
    def size(self) -> str:
        """The images' size in words."""
        view = self.view
        scale = Scale(view.load_size, view.resize)
        if view.crop_size is None:
            return f"whole images, {scale}"
        return f"{view.crop_size}×{view.crop_size}, the middle of images {scale}"

    def key(self, domain: str) -> str:
        """Stands for a domain's files when this was first asked, which are taken, and all that is done with them."""
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
    splits: Mapping[str, Mapping[str, Prepared]],
    on_error: str = "raise",
    at_most: int | None = None,
    pairing: str = "auto",
) -> HeldOut | None:
    """The held-out images of a run: the first split that has some of every domain; None if there is none."""
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
    """The images of one split, without a run: training images need not be there.

    Args:
        root: folder of the data set; see `find_splits`, as `val_share` and `max_images`, which say what of the training
            images is whose.
        domains: where each domain's images are.
        pixel_formats: how each domain's images are read.
        view: says how large they become.
        splits: the first that has images of every domain is taken.
        on_error: see `HeldOut`, as `at_most`.
        at_most: of each domain.
        max_pixels: width × height of the largest image that is decoded.
        val_share: see `root`.
        max_images: see `root`.
        reducing_gap: see `Prepared`.
        pairing: see `HeldOut`.

    Raises:
        DataError: there are no such images; names what was looked for.
    """
    for split in splits:
        found = find_split(root, split, domains, val_share, max_images)
        if found.keys() == domains.keys():
            prepared = {
                name: Prepared(images, pixel_formats[name], domains[name].half, view, reducing_gap, max_pixels)
                for name, images in found.items()
            }
            return HeldOut(split, prepared, on_error, at_most, pairing)
    wanted = (
        [f"{split}{'' if domain.half else name}" for name, domain in domains.items()] for split in splits
    )  # of side-by-side pairs, one folder for both
    looked_for = ", nor ".join(" and ".join(dict.fromkeys(names)) for names in wanted)
    raise DataError(f"there are no {' or '.join(splits)} images of every domain: no {looked_for}; {_there(root)}")


def _there(root: Path | None) -> str:
    """What is where images were looked for, in words."""
    if root is None:
        return "and there is no folder to look in"
    if not root.is_dir():
        return f"{root} {'is a file' if root.exists() else 'does not exist'}"
    folders = sorted(entry.name for entry in root.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    return f"{root} holds {'the folders ' + ', '.join(folders[:8]) if folders else 'no folders'}"


def spaced(count: int, at_most: int | None) -> Sequence[int]:
    """Up to `at_most` of the numbers below `count`, evenly spaced."""
    if at_most is None or count <= at_most:
        return range(count)
    return [i * count // at_most for i in range(at_most)]
