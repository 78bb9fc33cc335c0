"""Fréchet distance of two sets of features; with Inception features, FID."""

import math

import torch
from torch import Tensor

from cyclegan.metrics.feature_network import require_sets


def frechet_distance(x: Tensor, y: Tensor) -> float:
    """Return the Fréchet distance, from 0, of two Gaussians fitted to two sets of features (Heusel et al. 2017).

    |m1 − m2|² + Tr S1 + Tr S2 − 2 Tr (S1 S2)^½, in float64, with unbiased covariances. Also exact for fewer
    images than features, where the covariances are singular: with S = RᵀR, Tr (S1 S2)^½ is the sum of the singular
    values of R1 R2ᵀ, and no matrix root is needed.

    The estimate falls as images are added, so compare values of equal numbers of images only.

    Args:
        x: (N, D), N at least 2.
        y: (M, D), M at least 2.

    Raises:
        UserError: the sets have other shapes.
    """
    require_sets(x, y)
    x, y = x.double(), y.double()
    root_x, root_y = _root(x), _root(y)
    common = torch.linalg.svdvals(root_x @ root_y.T).sum()
    means = (x.mean(0) - y.mean(0)).square().sum()
    variances = root_x.square().sum() + root_y.square().sum()
    return max(0.0, float(means + variances - 2 * common))  # rounding can leave equal sets a hair below


def _root(x: Tensor) -> Tensor:
    """Return R (min(N, D), D) with RᵀR the covariance of x (N, D)."""
    root = (x - x.mean(0)) / math.sqrt(len(x) - 1)
    return torch.linalg.qr(root, mode="r").R if len(x) > x.shape[1] else root
