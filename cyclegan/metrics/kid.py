"""Kernel distance of two sets of features; with Inception features, KID."""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from cyclegan.metrics.feature_network import require_sets

_ROWS = 1000  # of the kernel's matrix in memory at once


class KernelDistance(NamedTuple):
    """A distance, and approximately its standard error: NaN if it is unknown."""

    value: float
    spread: float


def kernel_distance(x: Tensor, y: Tensor, subsets: int = 100, seed: int = 0) -> KernelDistance:
    """Return the unbiased squared MMD of two sets under the kernel (x·y/D + 1)³ (Bińkowski et al. 2018).

    Computed in float64. The value is that of all images and does not depend on `seed`. The spread is the root mean
    square deviation from it of random halves of both sets, drawn without replacement. It estimates the standard error
    of the value, since a half deviates from its set as much as the set from its distribution. For sets that are nearly
    the same it is too large, by up to about √3, since there the error falls with 1/n and not with 1/√n.

    Args:
        x: (N, D), N at least 2.
        y: (M, D), M at least 2.
        subsets: number of halves.
        seed: of the halves; the global random state is not used.

    Returns:
        the value, which is 0 on average for sets from one distribution and can be negative; and the spread, which is
        NaN if `subsets` is 0, or N or M is below 4.

    Raises:
        UserError: the sets have other shapes.
    """
    require_sets(x, y)
    x, y = x.double(), y.double()
    rng = torch.Generator().manual_seed(seed)
    halved = subsets > 0 and min(len(x), len(y)) >= 4
    distances = _distances(x, y, *(_all_and_halves(len(z), subsets if halved else 0, rng).to(z) for z in (x, y)))
    value, halves = distances[0], distances[1:]
    spread = (halves - value).square().mean().sqrt().item() if halved else math.nan
    return KernelDistance(value.item(), spread)


def _all_and_halves(count: int, halves: int, rng: torch.Generator) -> Tensor:
    """Return masks (1 + halves, count) of 1 and 0; the first row selects all."""
    chosen = torch.zeros(1 + halves, count)
    chosen[0] = 1
    for row in chosen[1:]:
        row[torch.randperm(count, generator=rng)[: count // 2]] = 1
    return chosen


def _distances(x: Tensor, y: Tensor, of_x: Tensor, of_y: Tensor) -> Tensor:
    """Return the distances (S,) of S subsets; `of_x` is a mask (S, N), `of_y` (S, M)."""
    within = [
        (_sums(z, z, of, of) - of @ _kernel(z.square().sum(1), z.shape[1])) / (of.sum(1) * (of.sum(1) - 1))
        for z, of in ((x, of_x), (y, of_y))
    ]
    return within[0] + within[1] - 2 * _sums(x, y, of_x, of_y) / (of_x.sum(1) * of_y.sum(1))


def _sums(x: Tensor, y: Tensor, of_x: Tensor, of_y: Tensor) -> Tensor:
    """Return the kernel summed over all pairs of each subset (S,), computed in bands of its matrix."""
    bands = zip(x.split(_ROWS), of_x.split(_ROWS, dim=1), strict=True)
    parts = [((of @ _kernel(band @ y.T, x.shape[1])) * of_y).sum(1) for band, of in bands]
    return torch.stack(parts).sum(0)


def _kernel(products: Tensor, features: int) -> Tensor:
    return (products / features + 1) ** 3
