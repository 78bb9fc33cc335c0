"""Metrics of translations against paired ground truth.

Images and ground truth are (N, C, H, W) in [-1, 1] and are rounded to 8 bits first. Metrics are float64 (N,). Images of
another shape than their ground truth raise a UserError.
"""

import math

import torch
from torch import Tensor

from cyclegan.errors import UserError
from cyclegan.images.tensors import to_uint8

WINDOW = 11
"""Width of SSIM's window in pixels."""

_SIGMA = 1.5
_LUMINANCE, _CONTRAST = (0.01 * 255) ** 2, (0.03 * 255) ** 2  # C1 and C2 of the paper


def psnr(images: Tensor, truth: Tensor) -> Tensor:
    """Return the peak signal-to-noise ratio of each image in dB, infinite for equal images; the peak is 255."""
    x, y = _rounded(images, truth)
    return 10 * torch.log10(255**2 / (x - y).square().flatten(1).mean(1))


def l1(images: Tensor, truth: Tensor) -> Tensor:
    """Return the mean absolute difference of each image, in [0, 2]."""
    x, y = _rounded(images, truth)
    return (x - y).abs().flatten(1).mean(1) / 127.5


def ssim(images: Tensor, truth: Tensor) -> Tensor:
    """Return the structural similarity of each image (Wang et al. 2004), at most 1.

    As in the paper: a Gaussian window of 11 × 11 with sigma 1.5, K1 = 0.01, K2 = 0.03, and only windows that lie
    inside the image. The mean over channels; NaN for images with a side shorter than the window.
    """
    x, y = _rounded(images, truth)
    if min(x.shape[-2:]) < WINDOW:
        return torch.full(x.shape[:1], math.nan, dtype=torch.float64, device=x.device)
    # One image at a time stays in the processor's cache, which more than halves the time.
    return torch.stack([_similarity(*pair) for pair in zip(x, y, strict=True)])


def _rounded(images: Tensor, truth: Tensor) -> tuple[Tensor, Tensor]:
    if images.shape != truth.shape:
        raise UserError(f"images {tuple(images.shape)} and ground truth {tuple(truth.shape)} must have one shape")
    return to_uint8(images).double(), to_uint8(truth).double()


def _similarity(x: Tensor, y: Tensor) -> Tensor:
    """Return the mean SSIM of two images (C, H, W) in 0..255."""
    mean_x, mean_y, squares, product = _windowed(torch.stack([x, y, x * x + y * y, x * y]))
    means, product_of_means = mean_x.square() + mean_y.square(), mean_x * mean_y
    luminance = (2 * product_of_means + _LUMINANCE) / (means + _LUMINANCE)
    structure = (2 * (product - product_of_means) + _CONTRAST) / (squares - means + _CONTRAST)
    mean: Tensor = (luminance * structure).mean()
    return mean


def _windowed(planes: Tensor) -> Tensor:
    """Return Gaussian means (..., H − 10, W − 10) of planes (..., H, W), along rows and then along columns."""
    weights = [math.exp(-(((i - WINDOW // 2) / _SIGMA) ** 2) / 2) for i in range(WINDOW)]
    for axis in (-1, -2):
        length = planes.shape[axis] - WINDOW + 1
        total = torch.zeros_like(planes.narrow(axis, 0, length))
        for i, weight in enumerate(weights):
            total.add_(planes.narrow(axis, i, length), alpha=weight / sum(weights))
        planes = total
    return planes
