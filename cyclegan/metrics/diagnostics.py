"""Metrics in which the known ways of a translator to fail show, without an answer to compare with.

Images are (N, C, H, W) in [-1, 1], with any number of channels.
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
    """Mean absolute difference of each image and its original; of their luminance where the channels differ.

    Returns:
        float32 (N,) in [0, 2].

    Raises:
        UserError: numbers or sizes differ.
    """
    require_pairs(images, originals)
    if images.shape[1] != originals.shape[1]:
        images, originals = luminance(images), luminance(originals)
    return (images.float() - originals.float()).abs().flatten(1).mean(1)


def luminance_correlation(images: Tensor, originals: Tensor) -> Tensor:
    """Pearson's correlation of each image's luminance with its original's, over the pixels: −1 is a negative.

    Where either varies by less than half a step of 8 bits, there is nothing to follow or nothing that follows: 0.

    Returns:
        float32 (N,) in [-1, 1].

    Raises:
        UserError: numbers or sizes differ.
    """
    require_pairs(images, originals)
    one, other = luminance(images).flatten(1), luminance(originals).flatten(1)
    one, other = one - one.mean(1, keepdim=True), other - other.mean(1, keepdim=True)
    spreads = one.square().mean(1).sqrt(), other.square().mean(1).sqrt()
    flat = torch.minimum(*spreads) < STEP / 2
    correlation = (one * other).mean(1) / (spreads[0] * spreads[1]).masked_fill(flat, 1)
    return correlation.masked_fill(flat, 0).clamp(-1, 1)


def thumbnails(images: Tensor) -> Tensor:
    """Each image as 8 × 8 area averages, whatever its size.

    Returns:
        float32 (N, 64 · C), for `variety`.
    """
    return F.adaptive_avg_pool2d(images.float(), SIDE).flatten(1)


def variety(fakes: Tensor, reals: Tensor) -> float:
    """How much translated images differ among themselves, relative to real ones of the same domain.

    The mean Euclidean distance of two different rows of `fakes`, over that of `reals`. Images that come more
    than once among the real ones count once. Translated ones that come out equal count, since that is the
    symptom: k images in place of many give about 1 − 1/k.

    Args:
        fakes: (N, D) thumbnails; of more than 512, so many are taken at even steps.
        reals: (M, D), likewise.

    Returns:
        1: as much as real ones; 0: all alike. NaN where two images of either kind are not to be had.
    """
    fakes = evenly(fakes)
    reals = evenly(torch.unique(reals, dim=0))
    if len(fakes) < 2 or len(reals) < 2:
        return float("nan")
    return float(mean_distance(fakes) / mean_distance(reals))


def mean_distance(rows: Tensor) -> Tensor:
    """The mean Euclidean distance of two different rows of (N, D), in float64."""
    return torch.pdist(rows.double()).mean()


def evenly(rows: Tensor) -> Tensor:
    """At most 512 of the rows, at even steps."""
    if len(rows) <= MOST_COMPARED:
        return rows
    return rows[torch.arange(MOST_COMPARED, device=rows.device) * len(rows) // MOST_COMPARED]


def checkerboard(images: Tensor) -> Tensor:
    """By how much each image's spectrum stands out at the frequencies that upsampling leaves behind, in dB.

    A transposed convolution of stride 2 adds a pattern of period 2, and the one before it one of period 4
    (Odena et al. 2016, doi:10.23915/distill.00003). In the power spectrum of the differences of neighbouring
    pixels, along rows and along columns, either is compared with the geometric mean of the frequencies beside it,
    as far as half-way to the other. Of the images as they would be saved, rounded to 8 bits. The mean of both
    ways, and of the periods the one that stands out more.

    Real images have some of it too, from JPEG's blocks of 8 × 8: subtract it.

    Returns:
        float32 (N,) in dB; 0 of images of less than 9 pixels, in which nothing lies beside those frequencies.
    """
    if min(images.shape[-2:]) < 9:
        return torch.zeros(len(images), device=images.device)
    pixels = to_uint8(images).float() / 127.5
    ways = [peaks(pixels.diff(dim=dim).transpose(dim, -1)) for dim in (-1, -2)]
    return ((ways[0] + ways[1]) / 2).amax(1)


def peaks(signals: Tensor) -> Tensor:
    """How far (N, C, rows, length) stands out at the periods of 4 and 2 along the last axis: (N, 2) in dB."""
    length = signals.shape[-1] // 4 * 4  # so that both periods fit in
    spectrum = torch.fft.rfft(signals[..., :length], norm="ortho").abs().square().mean(dim=(1, 2))
    decibels = 10 * torch.log10(spectrum + STEP**2 / 12)  # what rounding adds, so that flat images have 0
    quarter, half, reach = length // 4, length // 2, max(1, length // 8)
    beside = torch.cat([decibels[:, quarter - reach : quarter], decibels[:, quarter + 1 : quarter + reach + 1]], dim=1)
    below = decibels[:, half - reach : half]  # there is nothing above
    return torch.stack([decibels[:, quarter] - beside.mean(1), decibels[:, half] - below.mean(1)], dim=1)


def luminance(images: Tensor) -> Tensor:
    """The luminance (N, 1, H, W) of images, float32: of three channels as of RGB, else the channels' mean."""
    if images.shape[1] != len(LUMA):
        return images.float().mean(1, keepdim=True)
    weights = torch.tensor(LUMA, device=images.device).view(1, -1, 1, 1)
    return (images.float() * weights).sum(1, keepdim=True)


def require_pairs(images: Tensor, originals: Tensor) -> None:
    """Refuses images that cannot be laid over their originals."""
    if len(images) != len(originals) or images.shape[-2:] != originals.shape[-2:]:
        raise UserError(
            f"images {tuple(images.shape)} and originals {tuple(originals.shape)} must be as many and of one size"
        )
