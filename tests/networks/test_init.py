import math
from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import nn

from cyclegan.networks.init import as_built, kaiming, normal, orthogonal, truncated, xavier


def two_convolutions() -> tuple[nn.Sequential, nn.Conv2d, nn.ConvTranspose2d]:
    """Return convolutions with fans 64 · 3² (in) and 32 · 3² (out); the transposed weight has the axes swapped."""
    conv, transposed = nn.Conv2d(64, 32, 3), nn.ConvTranspose2d(32, 64, 3)
    return nn.Sequential(conv, transposed), conv, transposed


FAN_IN, FAN_OUT = 64 * 9, 32 * 9


@pytest.mark.parametrize(
    ("init", "std"),
    [
        (normal, 0.02),
        (partial(normal, std=0.1), 0.1),
        (xavier, 0.02 * math.sqrt(2 / (FAN_IN + FAN_OUT))),
        (partial(xavier, gain=1.0), math.sqrt(2 / (FAN_IN + FAN_OUT))),
        (kaiming, math.sqrt(2 / FAN_IN)),
    ],
    ids=["normal", "normal_wider", "xavier", "xavier_wider", "kaiming"],
)
def test_standard_deviation_of_the_weights(init: Callable[[nn.Module], None], std: float) -> None:
    torch.manual_seed(0)
    network, conv, transposed = two_convolutions()
    init(network)
    for weight in (conv.weight, transposed.weight):  # 18 432 draws: the spread is known to 0.5 %
        assert weight.std().item() == pytest.approx(std, rel=0.03)
        assert abs(weight.mean().item()) < 0.04 * std
        assert weight.abs().max() > 3 * std  # normal, not uniform
    assert not conv.bias.any()  # type: ignore[union-attr]
    assert not transposed.bias.any()  # type: ignore[union-attr]


@pytest.mark.parametrize("gain", [0.02, 1.0])
def test_filters_are_orthogonal(gain: float) -> None:
    """32 filters of 576 numbers, W Wᵀ = gain² · I."""
    network, conv, _ = two_convolutions()
    orthogonal(network, gain=gain)
    filters = conv.weight.flatten(start_dim=1)
    torch.testing.assert_close(filters @ filters.T, gain**2 * torch.eye(32), atol=1e-5 * gain**2, rtol=0)


@pytest.mark.parametrize("init", [normal, xavier, kaiming, orthogonal])
def test_batch_norm_starts_near_one(init: Callable[[nn.Module], None]) -> None:
    torch.manual_seed(0)
    norm = nn.BatchNorm2d(4000)
    nn.init.constant_(norm.bias, 7)
    init(nn.Sequential(norm))
    assert norm.weight.mean().item() == pytest.approx(1, abs=0.002)
    assert norm.weight.std().item() == pytest.approx(0.02, rel=0.05)
    assert not norm.bias.any()


def test_linear_layers_are_filled_too() -> None:
    torch.manual_seed(0)
    layer = nn.Linear(200, 100)
    xavier(nn.Sequential(layer))
    assert layer.weight.std().item() == pytest.approx(0.02 * math.sqrt(2 / (200 + 100)), rel=0.03)
    assert not layer.bias.any()


def test_as_built_keeps_the_weights_of_the_layers() -> None:
    network, conv, _ = two_convolutions()
    before = conv.weight.clone()
    as_built(network)
    assert torch.equal(conv.weight, before)
    assert before.std().item() == pytest.approx(math.sqrt(1 / (3 * FAN_IN)), rel=0.03)


def test_truncated_draws_no_weight_of_a_convolution_beyond_two_standard_deviations() -> None:
    torch.manual_seed(0)
    network, conv, transposed = two_convolutions()
    linear = nn.Linear(400, 50)
    truncated(nn.Sequential(network, linear))
    assert conv.weight.abs().max() <= 0.04
    assert conv.weight.std().item() == pytest.approx(
        0.02 * 0.8796, rel=0.03
    )  # of a normal cut at 2: 1 − 4 φ(2) / .9545
    for whole in (transposed.weight, linear.weight):
        assert whole.std().item() == pytest.approx(0.02, rel=0.03)
        assert whole.abs().max() > 0.06
    assert not linear.bias.any()
