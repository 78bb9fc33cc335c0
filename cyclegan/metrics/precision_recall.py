"""Improved precision and recall of two sets of features."""

import math

import torch
from torch import Tensor

from cyclegan.metrics.feature_network import require_sets

_ROWS = 1000  # of the distances in memory at once


def precision_recall(real: Tensor, fake: Tensor, k: int = 3) -> tuple[float, float]:
    """Return improved precision and recall (Kynkäänniemi et al. 2019).

    A set covers a point if one of its own points is at least as near to it as to its k-th nearest neighbour in the set.

    Args:
        real: (N, D), features of images of the target domain.
        fake: (M, D), features of translations.
        k: which nearest neighbour sets the radius.

    Returns:
        precision: the share of `fake` that `real` covers.
        recall: the share of `real` that `fake` covers.
        Both are NaN if a set has k images or fewer.

    Raises:
        UserError: the sets have other shapes, or fewer than 2 images.
    """
    require_sets(real, fake)
    if min(len(real), len(fake)) <= k:
        return math.nan, math.nan
    centre = real.double().mean(0)  # near the origin, products lose the fewest digits
    real, fake = real.double() - centre, fake.double() - centre
    return _share_covered(fake, real, k), _share_covered(real, fake, k)


def _share_covered(points: Tensor, by: Tensor, k: int) -> float:
    # A point is its own nearest neighbour: hence k + 1.
    reach = torch.cat(
        [_squared_distances(rows, by).topk(k + 1, largest=False).values[:, k] for rows in by.split(_ROWS)]
    )
    covered = [(_squared_distances(rows, by) <= reach).any(1) for rows in points.split(_ROWS)]
    return torch.cat(covered).double().mean().item()


def _squared_distances(x: Tensor, y: Tensor) -> Tensor:
    """Return (N, M) of x (N, D) and y (M, D), by a matrix product: ten times faster than pair by pair."""
    lengths = x.square().sum(1)[:, None] + y.square().sum(1)
    squares = lengths - 2 * (x @ y.T)
    # The distance of equal points is rounding error: set to 0, copies of one image stay copies.
    return squares.where(squares > 1e-12 * lengths, 0.0)
