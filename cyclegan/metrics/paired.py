"""How near translated images come to answers that are known, as those of the toy set are."""

import math

import torch
from torch import Tensor

from cyclegan.errors import UserError
from cyclegan.images.tensors import to_uint8

WINDOW = 11
"""Pixels across which SSIM compares."""

_SIGMA = 1.5
_LUMINANCE, _CONTRAST = (0.01 * 255) ** 2, (0.03 * 255) ** 2  # C1 and C2 of the paper


def psnr(images: Tensor, answers: Tensor) -> Tensor:
    """Peak signal-to-noise ratio of each image, in dB: more is nearer.

    Of the images as they would be saved: rounded to 8 bits, with a peak of 255.

    Args:
        images: (N, C, H, W) in [-1, 1].
        answers: (N, C, H, W) in [-1, 1].

    Returns:
        float64 (N,); infinite where the images are equal.

    Raises:
        UserError: the shapes differ.
    """
    seen, right = _rounded(images, answers)
    return 10 * torch.log10(255**2 / (seen - right).square().flatten(1).mean(1))


def l1(images: Tensor, answers: Tensor) -> Tensor:
    """Mean absolute difference of each image, in units of images in [-1, 1]: less is nearer, 2 is the most.

    Of the images as they would be saved: rounded to 8 bits.

    Args:
        images: (N, C, H, W) in [-1, 1].
        answers: (N, C, H, W) in [-1, 1].

    Returns:
        float64 (N,).

    Raises:
        UserError: the shapes differ.
    """
    seen, right = _rounded(images, answers)
    return (seen - right).abs().flatten(1).mean(1) / 127.5


def ssim(images: Tensor, answers: Tensor) -> Tensor:
    """Structural similarity of each image (Wang et al. 2004): 1 for equal images, less for others.

    Of the images as they would be saved: rounded to 8 bits. As in the paper: a Gaussian window of 11 × 11 and
    sigma 1.5, K1 = 0.01, K2 = 0.03, and only windows that lie wholly inside the image; the mean over channels.

    Args:
        images: (N, C, H, W) in [-1, 1].
        answers: (N, C, H, W) in [-1, 1].

    Returns:
        float64 (N,); NaN where a side is shorter than the window: such images have no SSIM.

    Raises:
        UserError: the shapes differ.
    """
    seen, right = _rounded(images, answers)
    if min(seen.shape[-2:]) < WINDOW:
        return torch.full(seen.shape[:1], math.nan, dtype=torch.float64, device=seen.device)
    # One image at a time: what it needs then stays in the processor's cache, which more than halves the time.
    similarities = [_similarity(*pair) for pair in zip(seen, right, strict=True)]
    return torch.stack(similarities) if similarities else seen.new_empty(0)


def _rounded(images: Tensor, answers: Tensor) -> tuple[Tensor, Tensor]:
    if images.shape != answers.shape:
        raise UserError(f"images {tuple(images.shape)} and answers {tuple(answers.shape)} must have one shape")
    return to_uint8(images).double(), to_uint8(answers).double()


def _similarity(x: Tensor, y: Tensor) -> Tensor:
    """Mean SSIM of two images (C, H, W) in 0..255."""
    mean_x, mean_y, squares, product = _windowed(torch.stack([x, y, x * x + y * y, x * y]))
    means, product_of_means = mean_x.square() + mean_y.square(), mean_x * mean_y
    luminance = (2 * product_of_means + _LUMINANCE) / (means + _LUMINANCE)
    structure = (2 * (product - product_of_means) + _CONTRAST) / (squares - means + _CONTRAST)
    mean: Tensor = (luminance * structure).mean()
    return mean


def _windowed(planes: Tensor) -> Tensor:
    """Gaussian means (..., H − 10, W − 10) of planes (..., H, W): first along the rows, then along the columns."""
    weights = [math.exp(-(((i - WINDOW // 2) / _SIGMA) ** 2) / 2) for i in range(WINDOW)]
    for axis in (-1, -2):
        length = planes.shape[axis] - WINDOW + 1
        total = torch.zeros_like(planes.narrow(axis, 0, length))
        for i, weight in enumerate(weights):
            total.add_(planes.narrow(axis, i, length), alpha=weight / sum(weights))
        planes = total
    return planes
