"""Reading the images of a domain: decoded, halved and resized; and checking their headers before training."""

import hashlib
import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from cyclegan.data.cache import DiskCache
from cyclegan.data.file_list import ImageSource
from cyclegan.data.threads import in_threads
from cyclegan.data.transforms import Planes, TrainingView, half_of, half_width
from cyclegan.data.worker import reading
from cyclegan.errors import DataError
from cyclegan.images import Header, ImageError, PixelFormat, decode, header_of, require_suitable
from cyclegan.images.tensors import normalise

CACHE_VERSION = 3
"""Version of decoding and resizing: caches of another version are not used."""

MAX_TRIES = 100
"""Number of successive images that are tried: to find a million unreadable would take hours."""

_LISTED = 5
_JPEG = b"\xff\xd8"  # the only kind of image that can be decoded at a smaller size


class DomainImages:
    """The images of one domain and split, before random augmentation: decoded, halved and resized.

    Args:
        images: the files.
        pixel_format: channels and value range to decode to.
        half: "left" or "right" of side-by-side pairs; None: whole images.
        view: says how images are resized and cropped.
        reducing_gap: JPEGs may be decoded at this many times the size they are resized to; None: at full size.
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
        # It may have been added by a run with a smaller crop.
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
                    width, height = self.size_of(header_of(data, path, self.pixel_format))
                return self.view.sized(pixels, width, height)
            except DataError as error:
                raise ImageError(f"{path}: {error}") from None

    def size_of(self, header: Header) -> tuple[int, int]:
        """Return width and height of this domain's part of an image.

        Raises:
            DataError: the image is too narrow to be halved.
        """
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
        channels = f"{form.channels} channel{'' if form.channels == 1 else 's'}{f' of {seen}' if seen else ''}"
        return f"{f'domain {domain}':<10}{channels}; {self.stored} {low:g} to {high:g} become -1 to 1"

    def cache_file(self, folder: Path, domain: str) -> Path:
        """Return the cache's file in a folder, named for the images' names, sizes and times and how they are decoded.

        It stays the same when the data set is moved.
        """
        view = self.view
        how = (CACHE_VERSION, domain, view.load_size, view.resize, self.pixel_format, self.half, self.reducing_gap)
        libraries = [version(name) for name in ("torch", "pillow", "imagecodecs", "tifffile")]
        digest = hashlib.sha256(repr((*how, self.max_pixels, *libraries)).encode())
        for stamp in self.images.stamps():
            digest.update(stamp)
        return folder / f"{digest.hexdigest()[:32]}.cache"


def check_headers(splits: Mapping[str, Mapping[str, DomainImages]], count: int) -> None:
    """Read up to `count` headers of each split and domain, evenly spread, and store their `modes`.

    Args:
        splits: the images of each split, by domain.
        count: number of headers to read at most.

    Raises:
        DataError: images cannot be used; lists the first of them.
    """
    for split, domains in splits.items():
        for domain, images in domains.items():
            images.modes = _modes(images, count, f"{split}{domain}")


def _modes(images: DomainImages, count: int, name: str) -> Counter[str]:
    def problem_or_mode(index: int) -> tuple[str, str]:
        try:
            header = _header(images, index)
            images.view.require_room(*images.size_of(header))
        except ImageError as error:
            return str(error), ""
        except DataError as error:
            return f"{images.images[index]}: {error}", ""
        return "", header.mode

    chosen = np.unique(np.linspace(0, len(images) - 1, min(count, len(images))).round().astype(np.int64))
    found = in_threads(problem_or_mode, chosen.tolist())
    bar = tqdm(found, f"headers of {name}", len(chosen), unit="img", delay=2, leave=False, disable=None)
    results = list(bar)
    if broken := [problem for problem, _ in results if problem]:
        listed = "".join(f"\n  {reason}" for reason in broken[:_LISTED])
        more = f"\n  and {len(broken) - _LISTED} more" if len(broken) > _LISTED else ""
        raise DataError(
            f"{len(broken)} of the {len(chosen)} images of {name} whose headers were read cannot be used:{listed}"
            f"{more}\nFix them, or let training skip them: data.on_error=skip. `cyclegan-data check` checks every pixel"
        )
    return Counter(mode for _, mode in results)


def find_types(splits: Mapping[str, Mapping[str, DomainImages]]) -> None:
    """Store the type of the training images of each domain, also as the type to write translations in.

    Raises:
        DataError: none of the first training images of a domain can be used.
    """
    for domain, training in splits["train"].items():
        training.stored = decoded_type(first_header(training, f"train{domain}").dtype)
        if training.pixel_format.dtype is None:
            pixel_format = replace(training.pixel_format, dtype=training.stored)
            for domains in splits.values():
                if domain in domains:
                    domains[domain].pixel_format = pixel_format


def first_header(images: DomainImages, name: str) -> Header:
    """Return the header of the first image that can be used.

    Raises:
        DataError: none of the first images can be used.
    """
    first = None
    for index in range(min(len(images), MAX_TRIES)):
        try:
            return _header(images, index)
        except ImageError as error:
            first = first or error
    raise DataError(f"none of the first {min(len(images), MAX_TRIES)} images of {name} can be used. The first: {first}")


def _header(images: DomainImages, index: int) -> Header:
    header = images.images.header(index, images.pixel_format)
    require_suitable(header, images.pixel_format, images.images[index], images.max_pixels)
    return header


def decoded_type(dtype: str) -> str:
    """Return the type that `images.decode` makes of a file's type."""
    if dtype in ("uint8", "uint16", "int16"):
        return dtype
    return "uint8" if dtype == "bool" else "float32"
