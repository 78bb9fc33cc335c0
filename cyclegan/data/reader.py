"""A domain's images as they are before anything random happens to them."""

import math
from typing import Protocol

import torch
from torch import Tensor

from cyclegan.data.file_list import ImageSource
from cyclegan.data.transforms import Planes, TrainingView, half_of, half_width
from cyclegan.data.worker import reading
from cyclegan.errors import DataError
from cyclegan.images import Header, ImageError, PixelFormat, decode, header_of
from cyclegan.images.tensors import normalise

JPEG = b"\xff\xd8"
"""How a JPEG begins, the only kind of image that may be decoded smaller than it is."""


class Shelf(Protocol):
    """Where images that were prepared once are kept; see shelf.py."""

    def get(self, index: int) -> Planes | None:
        """The image with this index, if it is there."""
        ...

    def put(self, index: int, planes: Planes) -> None:
        """Keeps an image."""
        ...


class Prepared:
    """Images of one domain: read, the wanted half of them, resized.

    Args:
        images: the files.
        pixel_format: the channels to read them with.
        half: "left" or "right" of side-by-side pairs.
        view: says how large they become.
        reducing_gap: a JPEG is decoded smaller than it is, as long as it stays so many times as large as it has to
            become; None: never.
        max_pixels: width × height of the largest that is decoded.
        shelf: keeps what was prepared.
    """

    def __init__(
        self,
        images: ImageSource,
        pixel_format: PixelFormat,
        half: str | None,
        view: TrainingView,
        reducing_gap: float | None,
        max_pixels: int,
        shelf: Shelf | None = None,
    ) -> None:
        self.images = images
        self.pixel_format = pixel_format
        self.half = half
        self.view = view
        self.reducing_gap = reducing_gap
        self.max_pixels = max_pixels
        self.shelf = shelf

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Planes:
        """The image with this index: planes (C, h, w) in the type of its file.

        Raises:
            ImageError: it cannot be read, or is too small for the crop.
        """
        if self.shelf is None:
            return self._make(index)
        planes = self.shelf.get(index)
        # It may have been kept by a run with a smaller crop.
        if planes is None or not self.view.has_room(planes.shape[2], planes.shape[1]):
            planes = self._make(index)
            self.shelf.put(index, planes)
        return planes

    def middle(self, index: int) -> Planes:
        """The middle of an image, without anything random: planes (C, crop_size, crop_size) in the type of its file.

        Raises:
            ImageError: it cannot be read, or is too small for the crop.
        """
        return self.view.middle(self[index])

    def tensor(self, planes: Planes) -> Tensor:
        """Planes of this domain as float32 of the same shape in [-1, 1]."""
        return normalise(torch.from_numpy(planes), self.pixel_format)

    def _make(self, index: int) -> Planes:
        path = self.images[index]
        with reading(path):
            data = self.images.open(index)
            at_least = self._at_least()
            pixels = decode(data, path, self.pixel_format, at_least, self.max_pixels)
            try:
                pixels = half_of(pixels, self.half)
                height, width = pixels.shape[:2]
                if at_least is not None and self.view.resize != "stretch" and data.startswith(JPEG):
                    # What was decoded smaller has sides that were rounded.
                    width, height = self.size_of(header_of(data, path, self.pixel_format))
                return self.view.sized(pixels, width, height)
            except DataError as error:
                raise ImageError(f"{path}: {error}") from None

    def size_of(self, header: Header) -> tuple[int, int]:
        """Width and height of this domain's part of an image.

        Raises:
            DataError: there is nothing to halve.
        """
        return half_width(header.width, self.half), header.height

    def _at_least(self) -> tuple[int, int] | None:
        """Width and height that an image may be decoded at, if it is a JPEG; None: as it is."""
        if self.reducing_gap is None or self.view.load_size is None:
            return None
        side = math.ceil(self.reducing_gap * self.view.load_size)
        return (side if self.half is None else 2 * side), (1 if self.view.resize == "width" else side)
