"""Transforms from pixels to training samples: resize, crop, flip, augment."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Self, cast

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from cyclegan.data.augment import Affine
from cyclegan.data.sizes import RESIZES, target_size
from cyclegan.errors import DataError
from cyclegan.images import PixelFormat, Pixels
from cyclegan.images.tensors import as_seen, scale

Planes = NDArray[Any]
"""An image with channels first, (C, H, W), in the type of its file."""


def resized(pixels: Pixels, width: int, height: int) -> Pixels:
    """Resize pixels (H, W, C) to (height, width, C) of the same type: bicubic, with antialiasing.

    torch computes the same as Pillow, several times as fast; single values differ by 1 or 2 of 255.
    """
    if pixels.shape[:2] == (height, width):
        return pixels
    planes = torch.from_numpy(pixels).permute(2, 0, 1)[None]  # channels_last in memory, the fastest layout
    planes = planes if pixels.dtype == np.uint8 else planes.float()
    small = F.interpolate(planes, size=(height, width), mode="bicubic", antialias=True)
    if pixels.dtype not in (np.uint8, np.float32):  # integers: bicubic weights overshoot at edges
        limits = np.iinfo(pixels.dtype.name)
        small = small.round_().clamp_(limits.min, limits.max)
    stored: Any = small[0].permute(1, 2, 0).numpy()
    return cast(Pixels, stored.astype(pixels.dtype, copy=False))


def _mirrored(planes: Tensor) -> Tensor:
    if planes.dtype == torch.uint16:  # not every version of torch can flip it
        return planes.view(torch.int16).flip(-1).view(torch.uint16)
    return planes.flip(-1)


def half_of(pixels: Pixels, half: str | None) -> Pixels:
    """Return the "left" or "right" half of side-by-side images; with an odd width, without the middle column."""
    width = half_width(pixels.shape[1], half)
    return pixels[:, pixels.shape[1] - width :] if half == "right" else pixels[:, :width]


def half_width(width: int, half: str | None) -> int:
    """Return the width of one half of an image; with `half` None, its own width.

    Raises:
        DataError: the image is 1 pixel wide.
    """
    if half is not None and width < 2:
        raise DataError("the image is 1 pixel wide, which cannot be two side by side")
    return width if half is None else width // 2


@dataclass(frozen=True)
class TrainingView:
    """Training's transform of an image: resize, random crop, flip and augmentation.

    Args:
        load_size: images are resized to this first; None keeps their size.
        crop_size: height and width of the crop; None: the whole image, cropped to multiples of `size_multiple`.
        flip: whether to mirror half of the images, chosen at random.
        resize: see `target_size`.
        affine: random affine transform; None: none.
        jitter: random colour changes of an image (C, H, W) in [-1, 1]; None: none.
        size_multiple: see `crop_size`.

    Raises:
        DataError: a size is below 1, `crop_size` is larger than `load_size`, or `resize` is unknown.
    """

    load_size: int | None
    crop_size: int | None
    flip: bool
    resize: str = "stretch"
    affine: Affine | None = None
    jitter: Callable[[Tensor, np.random.Generator], Tensor] | None = None
    size_multiple: int = 4

    def __post_init__(self) -> None:
        for name in ("load_size", "crop_size", "size_multiple"):
            if getattr(self, name) is not None and getattr(self, name) < 1:
                raise DataError(f"{name} is {getattr(self, name)}; it must be at least 1 pixel")
        if self.resize not in RESIZES:
            raise DataError(f"resize is {self.resize!r}; available: {', '.join(RESIZES)}")
        if self.load_size is not None and self.crop_size is not None and self.crop_size > self.load_size:
            raise DataError(
                f"crop_size {self.crop_size} does not fit into load_size {self.load_size}: "
                f"set data.load_size={self.crop_size} or more, or data.crop_size={self.load_size} or less"
            )

    def target_size(self, width: int, height: int) -> tuple[int, int]:
        """Return the width and height of an image after resizing."""
        return target_size(width, height, self.load_size, self.resize)

    @property
    def _least(self) -> int:
        return self.size_multiple if self.crop_size is None else self.crop_size

    def has_room(self, width: int, height: int) -> bool:
        """Return whether the crop fits into a resized image of this size."""
        return min(width, height) >= self._least

    def require_room(self, width: int, height: int) -> None:
        """Raise a DataError if an image of this size is too small for the crop after resizing."""
        wide, high = self.target_size(width, height)
        if self.has_room(wide, high):
            return
        least = self._least
        resizing = "" if (wide, high) == (width, height) else f", resized {wide}×{high}"
        needed = "the networks (data.size_multiple)" if self.crop_size is None else f"a crop of {least}×{least}"
        remedy = f"data.load_size={least} or more"
        if self.crop_size is not None and self.load_size is None:
            remedy += f", or data.crop_size={min(wide, high)} or less"
        elif self.crop_size is not None:  # the width is load_size, which is large enough
            remedy = "data.resize=short_side"
        raise DataError(f"the image is {width}×{height}{resizing}, too small for {needed}: set {remedy}")

    def sized(self, pixels: Pixels, width: int, height: int) -> Planes:
        """Resize pixels (H, W, C) to contiguous planes (C, h, w) of the same type: the part that is not random.

        The width and height are those of the file, which may have been decoded at a smaller size.

        Raises:
            DataError: the image is too small for the crop.
        """
        self.require_room(width, height)
        planes: Planes = np.ascontiguousarray(resized(pixels, *self.target_size(width, height)).transpose(2, 0, 1))
        return planes

    def __call__(self, planes: Planes, rng: np.random.Generator, pixel_format: PixelFormat) -> Tensor:
        """Crop, flip and augment planes at random, to a tensor (C, crop_size, crop_size).

        Integers that are not augmented keep their type; see `scaled`. All else becomes float32 in [-1, 1].
        """
        left, top, width, height = self._window(planes.shape[2], planes.shape[1], rng)
        mirrored = self.flip and rng.random() < 0.5
        # Copies: torch warns of read-only arrays, as a cache returns them.
        if self.affine is None:
            part = torch.from_numpy(planes[:, top : top + height, left : left + width].copy())
            part = _mirrored(part) if mirrored else part
            if self.jitter is None and not part.is_floating_point():
                return part
            image = scale(part, pixel_format)
        else:
            whole = scale(torch.from_numpy(planes.copy()), pixel_format)
            image = self.affine(whole, (left, top, width, height), rng)
            image = image.flip(-1) if mirrored else image
        return as_seen(image if self.jitter is None else self.jitter(image, rng), pixel_format)

    def _window(self, width: int, height: int, rng: np.random.Generator) -> tuple[int, int, int, int]:
        """Return left, top, width and height of the crop; every place is equally likely."""
        if self.crop_size is None:
            return self._middle(width, height)
        left = int(rng.integers(width - self.crop_size + 1))
        top = int(rng.integers(height - self.crop_size + 1))
        return left, top, self.crop_size, self.crop_size

    def middle(self, planes: Planes) -> Planes:
        """Return a copy of the centre crop of resized planes; with crop_size None, of multiples of `size_multiple`."""
        left, top, width, height = self._middle(planes.shape[2], planes.shape[1])
        return planes[:, top : top + height, left : left + width].copy()

    def _middle(self, width: int, height: int) -> tuple[int, int, int, int]:
        wide = self.crop_size or width - width % self.size_multiple
        high = self.crop_size or height - height % self.size_multiple
        return (width - wide) // 2, (height - high) // 2, wide, high

    def at_size(self, size: int) -> Self:
        """Return the view of size × size images: stretched, or with proportions kept and centre-cropped."""
        resize = "stretch" if self.resize == "stretch" else "short_side"
        return replace(self, load_size=size, crop_size=size, resize=resize)
