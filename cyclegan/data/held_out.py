"""Held-out images: validation and test images at training's scale, without random augmentation."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from itertools import islice
from threading import Lock

import torch
from torch import Tensor

from cyclegan.data.domains import HALVES
from cyclegan.data.reader import DomainImages, spaced
from cyclegan.data.selection import paired_names
from cyclegan.data.sizes import Scale
from cyclegan.data.transforms import Planes, TrainingView
from cyclegan.images import DiskError, ImageError

VERSION = 2
"""Version of the transform: results that were computed with another version are not used."""

KEPT_BYTES = 2**28
"""Limit for the images that a HeldOut keeps in memory: 1,300 images of 256 × 256 and 8 bits."""


class HeldOut:
    """The images of one split at training's scale: resized as in training, then centre-cropped.

    Images that were read stay in memory, cropped and in the type of their files, while they fit into `KEPT_BYTES`.
    Several threads may read.

    Args:
        split: name of the split: "val", "test".
        domains: the images of each domain.
        on_error: "skip" leaves out unreadable images.
        at_most: number of images of each domain to use at most, evenly spaced over their names; None: all.
        pairing: which images of the two domains are paired ground truth: "by_name", images of the same name; "auto",
            the halves of one file; "none".
    """

    def __init__(
        self,
        split: str,
        domains: Mapping[str, DomainImages],
        on_error: str = "raise",
        at_most: int | None = None,
        pairing: str = "auto",
    ) -> None:
        self.split = split
        self.domains = domains
        self.on_error = on_error
        self.pairing = pairing
        self.indices: dict[str, Sequence[int]] = {
            domain: spaced(len(images), at_most) for domain, images in domains.items()
        }
        """Indices of the images of each domain that are used."""
        self._keys: dict[str, str] = {}
        self._kept: dict[tuple[str, int], Planes] = {}
        self._room = KEPT_BYTES
        self._lock = Lock()

    def image(self, domain: str, index: int) -> Tensor | None:
        """Return an image (C, H, W) in [-1, 1]; None if it is unreadable and `on_error` is "skip".

        Raises:
            ImageError: the image cannot be read.
        """
        planes = self._planes(domain, index)
        return None if planes is None else self.domains[domain].tensor(planes)

    def _planes(self, domain: str, index: int) -> Planes | None:
        if (kept := self._kept.get((domain, index))) is not None:
            return kept
        try:
            planes = self.domains[domain].middle(index)
        except DiskError:
            raise  # the image may be readable later, and metrics without it would not be comparable
        except ImageError:
            if self.on_error != "skip":
                raise
            return None
        with self._lock:
            if (domain, index) not in self._kept and planes.nbytes <= self._room:
                self._kept[domain, index] = planes
                self._room -= planes.nbytes
        return planes

    def forget(self) -> None:
        """Free the memory of the images that were read."""
        with self._lock:
            self._kept, self._room = {}, KEPT_BYTES

    def first(self, domain: str, count: int) -> Tensor:
        """Return the first readable images of a domain as a batch (N, C, crop_size, crop_size) in [-1, 1].

        Whole images (crop_size None) are cropped to the smallest of them.

        Raises:
            ImageError: an image cannot be read; with "skip", none can.
        """
        images = self.domains[domain]
        readable = (image for index in range(len(images)) if (image := self.image(domain, index)) is not None)
        found = list(islice(readable, count)) or [images.tensor(images.middle(0))]  # raises the first one's error
        height, width = (min(image.shape[axis] for image in found) for axis in (1, 2))
        return torch.stack([image[:, :height, :width] for image in found])

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
        (a, ours), (b, theirs) = self.domains.items()
        return paired_names(ours.images, theirs.images, (a, b))

    def _are_paired(self, i: int, j: int) -> bool:
        if self.pairing != "auto":
            return self.pairing == "by_name"
        a, b = self.domains.values()
        return {a.half, b.half} == set(HALVES) and a.images[i] == b.images[j]

    @property
    def paired(self) -> str:
        """The kind of pairs: "by name", "side by side" or "none"."""
        return "none" if not self.ground_truth else "by name" if self.pairing == "by_name" else "side by side"

    def describe_pairing(self, option: str) -> str:
        """Return a sentence about pairs, or a hint to use `option`, which pairs images by name; "" without pairs."""
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
        """Return the number of images of a domain that are used: "120 of testA", "118 of the 120 of testA"."""
        used, total = len(self.indices[domain]) - unreadable, len(self.domains[domain])
        return f"{used} of {'' if used == total else f'the {total} of '}{self.split}{domain}"

    @property
    def size(self) -> str:
        """Size of the images, in words."""
        scale, crop = Scale(self.view.load_size, self.view.resize), self.view.crop_size
        return f"whole images, {scale}" if crop is None else f"{crop}×{crop}, the middle of images {scale}"

    def key(self, domain: str) -> str:
        """Return a digest of a domain's files, the indices used and the transform, computed at the first call."""
        if domain not in self._keys:
            view, indices = self.view, self.indices[domain]
            how = (VERSION, domain, view.crop_size, view.size_multiple, self.on_error, tuple(indices))
            self._keys[domain] = self.domains[domain].digest(how, indices)
        return self._keys[domain]
