"""Augmentations for small data sets, which the paper does not use; off by default."""

import math
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from cyclegan.errors import DataError


def _require(name: str, value: float, largest: float) -> None:
    if not 0 <= value <= largest:
        raise DataError(f"{name} is {value}; it must be from 0 (off) to {largest}")


@dataclass(frozen=True)
class Affine:
    """Random rotation, shift, scaling and shear about the image's centre, with reflection at the borders.

    Args:
        degrees: the rotation is drawn from -degrees to degrees.
        translate: the shift, in each direction, from -translate to translate of the image's width and height.
        scale: the factor, from 1 - scale to 1 + scale.
        shear: the angle of vertical lines, from -shear to shear degrees.

    Raises:
        DataError: a value is out of its range.
    """

    degrees: float = 0.0
    translate: float = 0.0
    scale: float = 0.0
    shear: float = 0.0

    def __post_init__(self) -> None:
        for name, largest in (("degrees", 180), ("translate", 1), ("scale", 1), ("shear", 60)):
            _require(f"affine.{name}", getattr(self, name), largest)

    def __call__(self, image: Tensor, window: tuple[int, int, int, int], rng: np.random.Generator) -> Tensor:
        """Transform an image and crop a window out of it, in one bicubic interpolation.

        Args:
            image: (C, H, W) in [-1, 1].
            window: left, top, width and height of the crop, in pixels of the transformed image.
            rng: draws the parameters.

        Returns:
            (C, height, width) in [-1, 1].
        """
        inverse, shift = self.draw(rng)
        _, rows, columns = image.shape
        left, top, width, height = window
        # Pixel centres of the window, in pixels from the image's middle.
        x = torch.arange(left, left + width, dtype=torch.float64) + 0.5 - columns / 2 - shift[0] * columns
        y = torch.arange(top, top + height, dtype=torch.float64) + 0.5 - rows / 2 - shift[1] * rows
        source_x = inverse[0][0] * x[None, :] + inverse[0][1] * y[:, None]
        source_y = inverse[1][0] * x[None, :] + inverse[1][1] * y[:, None]
        where = torch.stack([source_x * 2 / columns, source_y * 2 / rows], dim=-1).float()  # height, width, 2
        moved = F.grid_sample(image[None], where[None], "bicubic", padding_mode="reflection", align_corners=False)
        return moved[0].clamp_(-1, 1)

    def draw(self, rng: np.random.Generator) -> tuple[list[list[float]], tuple[float, float]]:
        """Return the 2×2 matrix from output to input coordinates, and the shift in widths and heights."""
        angle, lean, x, y, zoom = rng.uniform(-1, 1, 5)
        turn = math.radians(angle * self.degrees)
        slope = math.tan(math.radians(lean * self.shear))
        factor = 1 + zoom * self.scale
        # forward = factor · rotation · [[1, slope], [0, 1]]; its inverse, written out:
        cos, sin = math.cos(turn) / factor, math.sin(turn) / factor
        inverse = [[cos + slope * sin, sin - slope * cos], [-sin, cos]]
        return inverse, (x * self.translate, y * self.translate)


@dataclass(frozen=True)
class ColourJitter:
    """Random brightness, contrast, saturation and hue of each image, as in torchvision.

    Args:
        brightness: the factor is drawn from 1 - brightness to 1 + brightness.
        contrast: range of the factor of the distance to the image's mean grey.
        saturation: range of the factor of the distance to each pixel's grey.
        hue: range of the rotation, as a share of the colour circle; at most 0.5.

    Raises:
        DataError: a value is out of its range.
    """

    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0
    hue: float = 0.0

    def __post_init__(self) -> None:
        for name, largest in (("brightness", 1), ("contrast", 1), ("saturation", 1), ("hue", 0.5)):
            _require(f"jitter.{name}", getattr(self, name), largest)

    def __call__(self, image: Tensor, rng: np.random.Generator) -> Tensor:
        """Change the colours of a grey or RGB image (C, H, W) in [-1, 1].

        Raises:
            DataError: the image has neither one channel nor three.
        """
        # Importing torchvision takes half a second, and only this needs it.
        from torchvision.transforms.v2 import functional as colours

        if image.shape[0] not in (1, 3):
            raise DataError(
                f"data.jitter changes grey and RGB images, not {image.shape[0]} channels: set data.jitter=null"
            )
        brightness, contrast, saturation, hue = (float(value) for value in rng.uniform(-1, 1, 4))
        image = (image + 1) / 2
        image = colours.adjust_brightness(image, 1 + brightness * self.brightness)
        image = colours.adjust_contrast(image, 1 + contrast * self.contrast)
        image = colours.adjust_saturation(image, 1 + saturation * self.saturation)
        image = colours.adjust_hue(image, hue * self.hue) if self.hue else image
        return image * 2 - 1
