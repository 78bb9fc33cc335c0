"""Diagnostic metrics of translations: they show typical failures and need no ground truth.

Images are (N, C, H, W) in [-1, 1], with any number of channels; metrics of single images are float32 (N,). Originals of
another number or size raise a UserError.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from cyclegan.errors import UserError
from cyclegan.images.tensors import to_uint8

LUMA = (0.299, 0.587, 0.114)  # of red, green and blue, as in ITU-R BT.601
STEP = 2 / 255  # between two values of 8 bits, in images in [-1, 1]
SIDE = 8  # of thumbnails: layout and colours, no texture
MOST_COMPARED = 512  # rows of each kind in `variety`: its cost grows with their square


def change(images: Tensor, originals: Tensor) -> Tensor:
    """Return the mean absolute difference from each original, in [0, 2]; of luminance if the channels differ."""
    _require_pairs(images, originals)
    if images.shape[1] != originals.shape[1]:
        images, originals = luminance(images), luminance(originals)
    return (images.float() - originals.float()).abs().flatten(1).mean(1)


def luminance_correlation(images: Tensor, originals: Tensor) -> Tensor:
    """Return Pearson's correlation of each image's luminance with its original's, in [-1, 1]; a negative has −1.

    0 if the standard deviation of either is below half a step of 8 bits.
    """
    _require_pairs(images, originals)
    one, other = luminance(images).flatten(1), luminance(originals).flatten(1)
    one, other = one - one.mean(1, keepdim=True), other - other.mean(1, keepdim=True)
    spreads = one.square().mean(1).sqrt(), other.square().mean(1).sqrt()
    flat = torch.minimum(*spreads) < STEP / 2
    correlation = (one * other).mean(1) / (spreads[0] * spreads[1]).masked_fill(flat, 1)
    return correlation.masked_fill(flat, 0).clamp(-1, 1)


def thumbnails(images: Tensor) -> Tensor:
    """Return the area averages of 8 × 8 cells of each image, of any size: float32 (N, 64 · C), for `variety`."""
    return F.adaptive_avg_pool2d(images.float(), SIDE).flatten(1)


def variety(fakes: Tensor, reals: Tensor) -> float:
    """Return how much translations differ among themselves, relative to real images of the same domain.

    The mean Euclidean distance of two different rows of `fakes`, divided by that of `reals`: 1 if translations differ
    as much as real images, 0 if all are equal. Duplicates among the real images count once. Duplicates among the
    translations count, as they are a sign of mode collapse: k different outputs give about 1 − 1/k.

    Args:
        fakes: thumbnails (N, D); of more than 512, 512 are taken at even steps.
        reals: thumbnails (M, D), likewise.

    Returns:
        NaN if there are fewer than two different real images or two translations.
    """
    fakes = _evenly(fakes)
    reals = _evenly(torch.unique(reals, dim=0))
    if len(fakes) < 2 or len(reals) < 2:
        return float("nan")
    return float(torch.pdist(fakes.double()).mean() / torch.pdist(reals.double()).mean())


def _evenly(rows: Tensor) -> Tensor:
    if len(rows) <= MOST_COMPARED:
        return rows
    return rows[torch.arange(MOST_COMPARED, device=rows.device) * len(rows) // MOST_COMPARED]


def checkerboard(images: Tensor) -> Tensor:
    """Return by how much each image's spectrum peaks at the frequencies of upsampling artefacts, in dB.

    A transposed convolution of stride 2 adds a pattern of period 2, and the one before it one of period 4
    (Odena et al. 2016, doi:10.23915/distill.00003). In the power spectrum of the differences of neighbouring
    pixels, along rows and along columns, each is compared with the geometric mean of the frequencies beside it, up to
    half-way to the other. Images are rounded to 8 bits first. The result is the mean over rows and columns, and the
    larger of the two periods.

    Real images have such peaks too, from the 8 × 8 blocks of JPEG: subtract theirs.

    0 for images with a side below 9 pixels.
    """
    if min(images.shape[-2:]) < 9:
        return torch.zeros(len(images), device=images.device)
    pixels = to_uint8(images).float() / 127.5
    ways = [_peaks(pixels.diff(dim=dim).transpose(dim, -1)) for dim in (-1, -2)]
    return ((ways[0] + ways[1]) / 2).amax(1)


def _peaks(signals: Tensor) -> Tensor:
    """Return the peaks (N, 2) in dB of signals (N, C, rows, length) at the periods 4 and 2 along the last axis."""
    length = signals.shape[-1] // 4 * 4  # so that both periods fit
    spectrum = torch.fft.rfft(signals[..., :length], norm="ortho").abs().square().mean(dim=(1, 2))
    decibels = 10 * torch.log10(spectrum + STEP**2 / 12)  # the power of rounding errors, so that flat images have 0
    quarter, half, reach = length // 4, length // 2, max(1, length // 8)
    beside = torch.cat([decibels[:, quarter - reach : quarter], decibels[:, quarter + 1 : quarter + reach + 1]], dim=1)
    below = decibels[:, half - reach : half]  # there are none above
    return torch.stack([decibels[:, quarter] - beside.mean(1), decibels[:, half] - below.mean(1)], dim=1)


def luminance(images: Tensor) -> Tensor:
    """Return the luminance (N, 1, H, W) in float32: of RGB for three channels, else the mean over channels."""
    if images.shape[1] != len(LUMA):
        return images.float().mean(1, keepdim=True)
    weights = torch.tensor(LUMA, device=images.device).view(1, -1, 1, 1)
    return (images.float() * weights).sum(1, keepdim=True)


def _require_pairs(images: Tensor, originals: Tensor) -> None:
    if len(images) != len(originals) or images.shape[-2:] != originals.shape[-2:]:
        raise UserError(
            f"images {tuple(images.shape)} and originals {tuple(originals.shape)} must have one number and size"
        )
