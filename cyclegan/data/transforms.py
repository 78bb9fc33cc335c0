"""From a picture to the tensor that the networks see: functions of (image, rng)."""

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageOps
from torch import Tensor

from cyclegan.data.index import DataError
from cyclegan.images import to_tensor


def resize(image: Image.Image, size: int) -> Image.Image:
    """Bicubic, to size × size, whatever the picture's proportions, as the authors do."""
    return image if image.size == (size, size) else image.resize((size, size), Image.Resampling.BICUBIC)


def random_crop(image: Image.Image, size: int, rng: np.random.Generator) -> Image.Image:
    """A square of size × size, every place equally likely.

    Raises:
        DataError: the picture is smaller than that.
    """
    if min(image.size) < size:
        raise DataError(
            f"the picture is {image.width}×{image.height}, too small for a crop of {size}×{size}: "
            f"set data.crop_size={min(image.size)} or less, or data.load_size={size} or more to enlarge pictures first"
        )
    left = int(rng.integers(image.width - size + 1))
    top = int(rng.integers(image.height - size + 1))
    return image.crop((left, top, left + size, top + size))


def random_flip(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Left and right exchanged, every other time."""
    return ImageOps.mirror(image) if rng.random() < 0.5 else image


@dataclass(frozen=True)
class TrainingView:
    """The recipe's augmentation: resize, random crop, horizontal flip, to [-1, 1].

    Args:
        load_size: pictures are resized to this square first; None leaves them as they are.
        crop_size: height and width of what comes out.
        flip: whether to flip every other picture.

    Raises:
        DataError: `crop_size` is larger than `load_size`.
    """

    load_size: int | None
    crop_size: int
    flip: bool

    def __post_init__(self) -> None:
        if self.load_size is not None and self.crop_size > self.load_size:
            raise DataError(
                f"crop_size {self.crop_size} does not fit into load_size {self.load_size}: "
                f"set data.load_size={self.crop_size} or more, or data.crop_size={self.load_size} or less"
            )

    def __call__(self, image: Image.Image, rng: np.random.Generator) -> Tensor:
        """An RGB picture as (3, crop_size, crop_size) in [-1, 1]."""
        if self.load_size is not None:
            image = resize(image, self.load_size)
        image = random_crop(image, self.crop_size, rng)
        if self.flip:
            image = random_flip(image, rng)
        return to_tensor(image)


def evaluation_view(image: Image.Image, crop_size: int) -> Tensor:
    """The whole RGB picture, nothing random: (3, crop_size, crop_size) in [-1, 1]."""
    return to_tensor(resize(image, crop_size))
