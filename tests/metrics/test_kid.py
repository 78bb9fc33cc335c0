import itertools
import math
from unittest import mock

import pytest
import torch
from torch import Tensor
from torchmetrics.image.kid import poly_mmd

from cyclegan.metrics import kid
from cyclegan.metrics.kid import kernel_distance


def features(count: int, seed: int, shift: float = 0.0, size: int = 6) -> Tensor:
    rng = torch.Generator().manual_seed(seed)
    return torch.randn(count, size, generator=rng, dtype=torch.float64) + shift


def by_loops(x: Tensor, y: Tensor) -> float:
    def k(a: list[float], b: list[float]) -> float:
        return float((sum(p * q for p, q in zip(a, b, strict=True)) / len(a) + 1) ** 3)

    xs, ys = x.tolist(), y.tolist()
    within = [
        sum(k(z[i], z[j]) for i, j in itertools.permutations(range(len(z)), 2)) / (len(z) * (len(z) - 1))
        for z in (xs, ys)
    ]
    between = sum(k(a, b) for a in xs for b in ys) / (len(xs) * len(ys))
    return sum(within) - 2 * between


def test_kid_equals_hand_computed_value() -> None:
    x, y = torch.tensor([[0.0], [1.0]]), torch.tensor([[1.0], [2.0]])
    # k(0,1) = 1; k(1,2) = 27; across: k(0,1) + k(0,2) + k(1,1) + k(1,2) = 1 + 1 + 8 + 27
    assert kernel_distance(x, y).value == pytest.approx(1 + 27 - 2 * 37 / 4)


@pytest.mark.parametrize(("n", "m"), [(2, 2), (3, 7), (20, 11)])
def test_kid_equals_the_formula_in_loops(n: int, m: int) -> None:
    x, y = features(n, seed=0), features(m, seed=1, shift=0.5)
    assert kernel_distance(x, y).value == pytest.approx(by_loops(x, y), rel=1e-6)


def test_kid_equals_torchmetrics() -> None:
    x, y = features(30, seed=2), features(30, seed=3, shift=0.5)
    assert kernel_distance(x, y).value == pytest.approx(poly_mmd(x, y).item(), rel=1e-6)


def test_kid_does_not_depend_on_the_block_size() -> None:
    x, y = features(30, seed=2), features(17, seed=3, shift=0.5)
    expected = kernel_distance(x, y)
    with mock.patch.object(kid, "_ROWS", 7):
        assert kernel_distance(x, y) == pytest.approx(expected, rel=1e-9)


def test_float32_features_are_computed_in_float64() -> None:
    x, y = features(30, seed=2).float() + 10, features(30, seed=3).float() + 10
    assert kernel_distance(x, y) == pytest.approx(kernel_distance(x.double(), y.double()), rel=1e-12)


def test_spread_is_the_deviation_over_random_halves() -> None:
    """Of 5 and 4 images there are 10 and 6 halves: a large sample has the spread of all 60 pairs."""
    x, y = features(5, seed=4), features(4, seed=5, shift=1)
    value, spread = kernel_distance(x, y, subsets=4_000)
    pairs = itertools.product(itertools.combinations(range(5), 2), itertools.combinations(range(4), 2))
    distances = torch.tensor([by_loops(x[list(some)], y[list(others)]) for some, others in pairs])
    assert distances.mean().item() == pytest.approx(value, rel=1e-5)  # the mean over halves is the KID of all images
    assert spread == pytest.approx(distances.std(correction=0).item(), rel=0.03)


@pytest.mark.parametrize(("shift", "low", "high"), [(1.0, 0.85, 1.25), (0.0, 1.5, 2.0)])
def test_spread_estimates_the_standard_error(shift: float, low: float, high: float) -> None:
    drawn = [
        kernel_distance(features(40, seed=2 * i, shift=shift), features(40, seed=2 * i + 1), subsets=50)
        for i in range(200)
    ]
    values, spreads = torch.tensor(drawn).T
    assert low < (spreads.square().mean().sqrt() / values.std()).item() < high


@pytest.mark.parametrize(("n", "m", "subsets"), [(3, 40, 100), (40, 3, 100), (40, 40, 0)])
def test_spread_of_small_sets_is_nan(n: int, m: int, subsets: int) -> None:
    for seed in range(20):
        x, y = features(n, seed), features(m, seed=seed + 100)
        value, spread = kernel_distance(x, y, subsets=subsets)
        assert value == pytest.approx(by_loops(x, y))
        assert math.isnan(spread)
