"""DualGAN's networks: parameter counts of the authors' code, and TensorFlow's padding."""

import math
from collections.abc import Callable
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from cyclegan.errors import UserError
from cyclegan.networks.dualgan import (
    DualDiscriminator,
    DualGenerator,
    SameConv,
    SameConvTranspose,
    ScaledInstanceNorm,
)


@pytest.mark.parametrize(
    ("build", "count"),
    [
        (DualGenerator, 30_627_907),
        (DualDiscriminator, 3_949_441),
        (partial(DualDiscriminator, image_size=None), 3_921_281),
    ],
)
def test_parameter_count_matches_the_authors(build: Callable[[], nn.Module], count: int) -> None:
    with torch.device("meta"):
        assert sum(parameter.numel() for parameter in build().parameters()) == count


def test_layers_of_the_generator() -> None:
    network = DualGenerator(width=1)
    down = [m for m in network.modules() if isinstance(m, SameConv)]
    up = [m for m in network.modules() if isinstance(m, SameConvTranspose)]
    assert [(m.in_channels, m.out_channels) for m in down] == [(3, 1), (1, 2), (2, 4), (4, 8), *[(8, 8)] * 4]
    assert [(m.in_channels, m.out_channels) for m in up] == [
        (8, 8), *[(16, 8)] * 3, (16, 4), (8, 2), (4, 1), (2, 3),
    ]  # fmt: skip
    assert [m.kernel_size[0] for m in (*down, *up)] == [5, *[3] * 14, 5]
    assert all(m.bias is not None for m in (*down, *up))
    names = set(network.state_dict())
    assert {"first.weight", "downs.6.1.bias", "downs.6.2.weight", "ups.0.1.weight", "last.1.bias"} <= names


@pytest.mark.parametrize("side", [8, 9])
@pytest.mark.parametrize("kernel", [3, 5])
def test_same_padding_is_that_of_tensorflow(kernel: int, side: int) -> None:
    """Along a side: total = (⌈n / 2⌉ − 1) · 2 + k − n, of which ⌊total / 2⌋ come first; the other side has 6 pixels."""
    images = torch.randn(1, 2, side, 6, dtype=torch.float64)
    layer = SameConv(2, 3, kernel).double()
    pads = []
    for n in (6, side):  # F.pad begins with the last dimension
        total = (math.ceil(n / 2) - 1) * 2 + kernel - n
        pads += [total // 2, total - total // 2]
    if side == 8:
        assert pads == ([1, 2, 1, 2] if kernel == 5 else [0, 1, 0, 1])
    expected = F.conv2d(F.pad(images, pads), layer.weight, layer.bias, stride=2)
    assert expected.shape == (1, 3, math.ceil(side / 2), 3)
    torch.testing.assert_close(layer(images), expected)


@pytest.mark.parametrize("kernel", [3, 5])
def test_the_transposed_convolution_is_the_gradient_of_the_convolution(kernel: int) -> None:
    """As TensorFlow defines it: conv2d_transpose is the gradient of conv2d with respect to its input."""
    layer = SameConvTranspose(3, 2, kernel).double()
    features = torch.randn(1, 3, 4, 3, dtype=torch.float64)
    images = torch.zeros(1, 2, 8, 6, dtype=torch.float64, requires_grad=True)
    pad = [1, 2, 1, 2] if kernel == 5 else [0, 1, 0, 1]
    (gradient,) = torch.autograd.grad(F.conv2d(F.pad(images, pad), layer.weight, stride=2), images, features)
    bias = layer.get_parameter("bias")
    torch.testing.assert_close(layer(features), gradient + bias.view(-1, 1, 1))


def test_norm_scales_and_shifts_each_image_by_itself() -> None:
    norm = ScaledInstanceNorm(2).double()
    assert norm.weight.std() > 0, "the scale starts at N(1, 0.02)"
    nn.init.uniform_(norm.bias)
    features = 1e-3 * torch.randn(3, 2, 4, 5, dtype=torch.float64)  # of a variance like epsilon
    expected = F.instance_norm(features, weight=norm.weight.flatten(), bias=norm.bias.flatten(), eps=1e-6)
    torch.testing.assert_close(norm(features), expected)
    assert torch.equal(norm(features[:, :, :1, :1]), norm.bias.expand(3, 2, 1, 1)), "a single pixel becomes its shift"
    assert norm(features.bfloat16()).dtype == torch.bfloat16


def test_the_discriminator_gives_one_score_or_a_map() -> None:
    images = torch.randn(2, 3, 64, 64)
    assert DualDiscriminator(width=1, image_size=64)(images).shape == (2, 1)
    assert DualDiscriminator(width=1, image_size=None)(torch.randn(1, 3, 256, 256)).shape == (1, 1, 4, 4)
    with pytest.raises(UserError, match=r"images of 48 × 48; these are 64 × 64\. Set model\.discriminator\.image_size"):
        DualDiscriminator(width=1, image_size=48)(images)
