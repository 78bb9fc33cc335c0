"""CIE Lab colours of sRGB images, in the scale of networks: L / 50 - 1, a / 110 and b / 110.

White is D65 of the 2° observer; matrix, white and thresholds are those of skimage's `rgb2lab` and `lab2rgb`, which
pix2pix's authors colorize with. Sums are written out, as matrix products have fewer bits under autocast and with TF32.
"""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

Output = Literal["image", "ab"]
"""What a generator returns: images, or the colours a / 110 and b / 110 of images whose lightness is its input."""

Matrix = Sequence[Sequence[float]]

_XYZ_OF_RGB = ((0.412453, 0.357580, 0.180423), (0.212671, 0.715160, 0.072169), (0.019334, 0.119193, 0.950227))
_RGB_OF_XYZ = torch.tensor(_XYZ_OF_RGB, dtype=torch.float64).inverse().tolist()
_WHITE = (0.95047, 1.0, 1.08883)


def rgb_to_lab(images: Tensor) -> Tensor:
    """Convert sRGB (..., 3, H, W) in [-1, 1] to (L / 50 - 1, a / 110, b / 110), of the same shape."""
    values = (images + 1) / 2
    linear = torch.where(values > 0.04045, ((values + 0.055) / 1.055) ** 2.4, values / 12.92)
    xyz = (plane / white for plane, white in zip(_mixed(linear.unbind(-3), _XYZ_OF_RGB), _WHITE, strict=True))
    x, y, z = (torch.where(each > 0.008856, each ** (1 / 3), 7.787 * each + 16 / 116) for each in xyz)
    return torch.stack([(116 * y - 16) / 50 - 1, 500 / 110 * (x - y), 200 / 110 * (y - z)], dim=-3)


def lab_to_rgb(images: Tensor) -> Tensor:
    """Convert (L / 50 - 1, a / 110, b / 110) of shape (..., 3, H, W) to sRGB in [-1, 1], clipped to its gamut."""
    lightness, a, b = images.unbind(-3)
    y = ((lightness + 1) * 50 + 16) / 116
    roots = (y + a * 110 / 500, y, (y - b * 110 / 200).clamp(min=0))
    xyz = [
        white * torch.where(root > 0.2068966, root**3, (root - 16 / 116) / 7.787)
        for root, white in zip(roots, _WHITE, strict=True)
    ]
    linear = torch.stack(_mixed(xyz, _RGB_OF_XYZ), dim=-3).clamp(0, 1)
    return torch.where(linear > 0.0031308, 1.055 * linear ** (1 / 2.4) - 0.055, 12.92 * linear) * 2 - 1


def coloured(lightness: Tensor, colours: Tensor) -> Tensor:
    """Return sRGB (N, 3, H, W) in [-1, 1] of L / 50 - 1 (N, 1, H, W), and of a / 110 and b / 110 (N, 2, H, W)."""
    return lab_to_rgb(torch.cat([lightness, colours], dim=1))


def _mixed(planes: Sequence[Tensor], matrix: Matrix) -> list[Tensor]:
    first, second, third = planes
    return [row[0] * first + row[1] * second + row[2] * third for row in matrix]
