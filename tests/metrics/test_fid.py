import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric

from cyclegan.metrics.fid import frechet_distance

Array = NDArray[np.float64]


def features(count: int, size: int, seed: int, shift: float = 0.0) -> Tensor:
    """Correlated features of unequal scales."""
    rng = torch.Generator().manual_seed(seed)
    mixing = torch.randn(size, size, generator=rng, dtype=torch.float64)
    return torch.randn(count, size, generator=rng, dtype=torch.float64) @ mixing + shift


def by_eigenvalues(x: Array, y: Array) -> float:
    """Exact for singular covariances: Tr (S1 S2)^½ from the eigenvalues of the small Gram matrix."""
    xc, yc = x - x.mean(0), y - y.mean(0)
    cross = xc @ yc.T / np.sqrt((len(x) - 1) * (len(y) - 1))
    eigenvalues = np.linalg.eigvalsh(cross @ cross.T).clip(0)
    variances = x.var(0, ddof=1).sum() + y.var(0, ddof=1).sum()
    return float(((x.mean(0) - y.mean(0)) ** 2).sum() + variances - 2 * np.sqrt(eigenvalues).sum())


def test_fid_equals_hand_computed_value() -> None:
    x = torch.tensor([[0.0], [2.0]])  # mean 1, unbiased deviation √2
    y = torch.tensor([[2.0], [5.0], [8.0]])  # mean 5, deviation 3
    assert frechet_distance(x, y) == pytest.approx((5 - 1) ** 2 + (3 - 2**0.5) ** 2, rel=1e-12)


def test_fid_equals_torch_fidelity() -> None:
    x, y = features(200, 16, seed=2), features(300, 16, seed=3, shift=0.3)
    theirs = fid_statistics_to_metric(*(fid_features_to_statistics(z) for z in (x, y)), verbose=False)
    assert frechet_distance(x, y) == pytest.approx(theirs["frechet_inception_distance"], rel=1e-6)


@pytest.mark.parametrize(("n", "m"), [(12, 9), (12, 200), (200, 12), (2, 2), (200, 150)])
def test_fid_equals_the_formula_for_any_number_of_images(n: int, m: int) -> None:
    x, y = features(n, 40, seed=4), features(m, 40, seed=5, shift=0.3)
    assert frechet_distance(x, y) == pytest.approx(by_eigenvalues(x.numpy(), y.numpy()), rel=1e-6)


def test_fid_of_equal_sets_is_zero() -> None:
    for seed in range(20):
        x = features(10, 30, seed)
        assert 0 <= frechet_distance(x, x.flip(0)) < 1e-12 * x.square().sum().item()


def test_float32_features_are_computed_in_float64() -> None:
    x, y = features(50, 8, seed=9).float() + 1000, features(50, 8, seed=10).float() + 1000
    assert frechet_distance(x, y) == pytest.approx(frechet_distance(x.double(), y.double()), rel=1e-12)


@pytest.mark.parametrize("shape", [(1, 4), (3, 5), (3,), (3, 4, 1)])
def test_other_shapes_than_sets_of_features_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"needs features \(N, D\) and \(M, D\) .*; these are \(3, 4\)"):
        frechet_distance(torch.zeros(3, 4), torch.zeros(shape))
