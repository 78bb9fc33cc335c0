"""The images of a domain, decoded, halved and resized, and the check of their headers before training."""

import hashlib
import logging
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Self

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from cyclegan.data.cache import DiskCache, describe
from cyclegan.data.file_list import ImageSource
from cyclegan.data.threads import in_threads
from cyclegan.data.transforms import Planes, TrainingView, half_of, half_width
from cyclegan.data.worker import reading
from cyclegan.errors import DataError
from cyclegan.images import Header, ImageError, PixelFormat, decode, header_of, require_suitable
from cyclegan.images.tensors import normalise

log = logging.getLogger(__name__)

CACHE_VERSION = 3
"""Version of decoding and resizing; caches of another version are not used."""

MAX_TRIES = 100
"""Number of successive images to try: with a million unreadable images, trying all would take hours."""

_LISTED = 5
_JPEG = b"\xff\xd8"  # the only kind of image that can be decoded at a smaller size


class DomainImages:
    """The images of one domain and split, before random augmentation: decoded, halved and resized.

    Args:
        images: the files.
        pixel_format: channels and value range to decode to.
        half: "left" or "right" of side-by-side pairs; None: whole images.
        view: resizing and cropping.
        reducing_gap: large JPEGs are decoded at a reduced size, at least this many times `load_size`; None: full size.
        max_pixels: largest width × height that is decoded.
    """

    def __init__(
        self,
        images: ImageSource,
        pixel_format: PixelFormat,
        half: str | None,
        view: TrainingView,
        reducing_gap: float | None,
        max_pixels: int,
    ) -> None:
        self.images = images
        self.pixel_format = pixel_format
        self.half = half
        self.view = view
        self.reducing_gap = reducing_gap
        self.max_pixels = max_pixels
        self.cache: DiskCache | None = None
        self.modes: Counter[str] = Counter()
        """Number of images of each mode ("RGB", "L;uint16"), among the headers that were read."""
        self.stored = ""
        """Type of the pixels after decoding; see `find_types`."""

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Planes:
        """Return an image as planes (C, h, w) in the type of its file.

        Raises:
            ImageError: it cannot be read, or is too small for the crop.
        """
        if self.cache is None:
            return self._decoded(index)
        planes = self.cache.get(index)
        # A run with a smaller crop may have added an image that is too small now.
        if planes is None or not self.view.has_room(planes.shape[2], planes.shape[1]):
            planes = self._decoded(index)
            self.cache.put(index, planes)
        return planes

    def middle(self, index: int) -> Planes:
        """Return the centre crop of an image: planes (C, crop_size, crop_size) in the type of its file.

        Raises:
            ImageError: it cannot be read, or is too small for the crop.
        """
        return self.view.middle(self[index])

    def at_size(self, size: int) -> Self:
        """Return the same images with the view `TrainingView.at_size`, without the cache."""
        resized = copy(self)
        resized.view, resized.cache = self.view.at_size(size), None
        return resized

    def tensor(self, planes: Planes) -> Tensor:
        """Convert planes of this domain to float32 in [-1, 1]."""
        return normalise(torch.from_numpy(planes), self.pixel_format)

    def _decoded(self, index: int) -> Planes:
        path = self.images[index]
        with reading(path):
            data = self.images.open(index)
            at_least = self._at_least()
            pixels = decode(data, path, self.pixel_format, at_least, self.max_pixels)
            try:
                pixels = half_of(pixels, self.half)
                height, width = pixels.shape[:2]
                if at_least is not None and self.view.resize != "stretch" and data.startswith(_JPEG):
                    # The sides of a JPEG that was decoded smaller are rounded.
                    width, height = self._size_of(header_of(data, path, self.pixel_format))
                return self.view.sized(pixels, width, height)
            except DataError as error:
                raise ImageError(f"{path}: {error}") from None

    def _size_of(self, header: Header) -> tuple[int, int]:
        return half_width(header.width, self.half), header.height

    def _at_least(self) -> tuple[int, int] | None:
        """Return the least width and height to decode a JPEG at; None: its full size."""
        if self.reducing_gap is None or self.view.load_size is None:
            return None
        side = math.ceil(self.reducing_gap * self.view.load_size)
        return (side if self.half is None else 2 * side), (1 if self.view.resize == "width" else side)

    def describe(self, domain: str) -> str:
        """Return a line about the images for the log."""
        form = self.pixel_format
        low, high = form.bounds(self.stored)
        seen = ", ".join(f"{mode} ×{count}" for mode, count in self.modes.items())
        kind = "channel, the lightness" if form.lightness else "channel" if form.channels == 1 else "channels"
        channels = f"{form.channels} {kind}{f' of {seen}' if seen else ''}"
        return f"{f'domain {domain}':<10}{channels}; {self.stored} {low:g} to {high:g} become -1 to 1"

    def digest(self, settings: object, indices: Sequence[int] | None = None) -> str:
        """Return a hash of the files' names, sizes and times and of the settings of decoding and resizing.

        It stays the same when the data set is moved.

        Args:
            settings: further settings to hash, by their `repr`.
            indices: indices of the images that are used; None: all.
        """
        view = self.view
        how = (view.load_size, view.resize, self.pixel_format, self.half, self.reducing_gap, self.max_pixels)
        libraries = [_version_of(name) for name in ("torch", "pillow", "imagecodecs", "tifffile")]
        digest = hashlib.sha256(repr((how, settings, libraries)).encode())
        images = self.images
        if indices is not None and len(indices) < len(images):
            images = images.subset(np.asarray(indices))
        for stamp in images.stamps():
            digest.update(stamp)
        return digest.hexdigest()

    def header(self, index: int) -> Header:
        """Return the header of an image.

        Raises:
            ImageError: the image cannot be used.
        """
        header, path = self.images.header(index, self.pixel_format), self.images[index]
        require_suitable(header, self.pixel_format, path, self.max_pixels)
        try:
            self.view.require_room(*self._size_of(header))
        except DataError as error:
            raise ImageError(f"{path}: {error}") from None
        return header

    def first_header(self, name: str) -> Header:
        """Return the header of the first image that can be used.

        Raises:
            DataError: none of the first images can be used.
        """
        tries = min(len(self), MAX_TRIES)
        for index in range(tries):
            try:
                return self.header(index)
            except ImageError as error:
                last = error
        raise DataError(f"none of the first {tries} images of {name} can be used. For example: {last}")

    def check_headers(self, count: int, name: str) -> None:
        """Read up to `count` headers, evenly spaced, and store their `modes`.

        Raises:
            DataError: images cannot be used; lists the first of them.
        """

        def problem_or_mode(index: int) -> tuple[str, str]:
            try:
                return "", self.header(index).mode
            except ImageError as error:
                return str(error), ""

        chosen = spaced(len(self), count)
        found = in_threads(problem_or_mode, chosen)
        bar = tqdm(found, f"headers of {name}", len(chosen), unit="img", delay=2, leave=False, disable=None)
        results = list(bar)
        if problems := [problem for problem, _ in results if problem]:
            more = [f"and {len(problems) - _LISTED} more"] if len(problems) > _LISTED else []
            listed = "\n  ".join(problems[:_LISTED] + more)
            raise DataError(
                f"{len(problems)} of the {len(chosen)} images of {name} whose headers were read cannot be used:\n  "
                f"{listed}\nFix them, or let training skip them: data.on_error=skip. `cyclegan-data check` checks "
                "every pixel"
            )
        self.modes = Counter(mode for _, mode in results)


def spaced(count: int, at_most: int | None) -> Sequence[int]:
    """Return up to `at_most` of the numbers below `count`, evenly spaced."""
    if at_most is None or count <= at_most:
        return range(count)
    return [i * count // at_most for i in range(at_most)]


def open_caches(domains: Mapping[str, DomainImages], folder: Path, is_first: bool) -> None:
    """Cache the training images of each domain in a file in a folder; the first process logs how many it has."""
    caches = {
        domain: DiskCache(folder / f"{images.digest((CACHE_VERSION, domain))[:32]}.cache", len(images))
        for domain, images in domains.items()
    }
    for domain, images in domains.items():
        images.cache = caches[domain]
    if is_first:
        log.info("cache     %s", describe(caches))


def find_types(splits: Mapping[str, Mapping[str, DomainImages]]) -> None:
    """Store the type of the training images of each domain, also as the type to write translations in.

    Raises:
        DataError: none of the first training images of a domain can be used.
    """
    for domain, training in splits["train"].items():
        training.stored = decoded_type(training.first_header(f"train{domain}").dtype)
        if training.pixel_format.dtype is None:
            pixel_format = replace(training.pixel_format, dtype=training.stored)
            for domains in splits.values():
                if domain in domains:
                    domains[domain].pixel_format = pixel_format


def decoded_type(dtype: str) -> str:
    """Return the type that `images.decode` makes of a file's type."""
    if dtype in ("uint8", "uint16", "int16"):
        return dtype
    return "uint8" if dtype == "bool" else "float32"


def _version_of(library: str) -> str | None:
    try:
        return version(library)
    except PackageNotFoundError:  # then no image that it decodes is read
        return None
