import pytest
import torch
from torch import Tensor, nn

from cyclegan.networks.norm import Norm
from cyclegan.networks.unet import SkipBlock, UnetGenerator


@pytest.mark.parametrize(("downs", "count"), [(8, 54_413_955), (7, 41_828_995)])
def test_parameter_count_is_that_of_pix2pix(downs: int, count: int) -> None:
    with torch.device("meta"):
        network = UnetGenerator(downs=downs, norm="batch")
    assert sum(parameter.numel() for parameter in network.parameters()) == count  # 54.41 M, 41.83 M


# Convolutions of the published 256 × 256 weights from the outermost level inwards, then the way up.
CONVOLUTIONS = [
    "model.model.0",
    "model.model.1.model.1",
    "model.model.1.model.3.model.1",
    "model.model.1.model.3.model.3.model.1",
    "model.model.1.model.3.model.3.model.3.model.1",
    "model.model.1.model.3.model.3.model.3.model.3.model.1",
    "model.model.1.model.3.model.3.model.3.model.3.model.3.model.1",
    "model.model.1.model.3.model.3.model.3.model.3.model.3.model.3.model.1",
    "model.model.1.model.3.model.3.model.3.model.3.model.3.model.3.model.3",
    "model.model.1.model.3.model.3.model.3.model.3.model.3.model.5",
    "model.model.1.model.3.model.3.model.3.model.3.model.5",
    "model.model.1.model.3.model.3.model.3.model.5",
    "model.model.1.model.3.model.3.model.5",
    "model.model.1.model.3.model.5",
    "model.model.1.model.5",
    "model.model.3",
]


def test_layers_are_named_as_in_the_published_weights() -> None:
    weights = UnetGenerator(width=1).state_dict()
    assert set(weights) == {f"{name}.{part}" for name in CONVOLUTIONS for part in ("weight", "bias")}


def test_with_batch_norm_only_the_last_convolution_has_a_bias() -> None:
    network = UnetGenerator(width=1, norm="batch")
    convolutions = {n: m for n, m in network.named_modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d)}
    assert set(convolutions) == set(CONVOLUTIONS)
    assert [name for name, module in convolutions.items() if module.bias is not None] == ["model.model.3"]
    norms = [name for name, module in network.named_modules() if isinstance(module, nn.BatchNorm2d)]
    # Six on the way down and seven up: not on the first, not on the innermost pixel, not on the last.
    assert len(norms) == 13
    assert norms[0] == "model.model.1.model.2"
    assert norms[-1] == "model.model.1.model.6"


def test_dropout_only_in_the_middle_blocks_of_512_channels() -> None:
    with torch.device("meta"):
        network = UnetGenerator(downs=8)
    dropouts = [name for name, module in network.named_modules() if isinstance(module, nn.Dropout)]
    # Levels 5, 6 and 7 of 8, counted from outside: 512 channels on both sides, and not the innermost.
    assert sorted(dropouts, key=len) == [
        "model.model.1.model.3.model.3.model.3.model.7",
        "model.model.1.model.3.model.3.model.3.model.3.model.7",
        "model.model.1.model.3.model.3.model.3.model.3.model.3.model.7",
    ]
    modules = dict(network.named_modules())
    for name in dropouts:
        upward = modules[name.removesuffix("7") + "5"]
        assert isinstance(upward, nn.ConvTranspose2d)
        assert (upward.in_channels, upward.out_channels) == (2 * 512, 512)


def test_dropout_of_zero_leaves_no_layer() -> None:
    assert not any(isinstance(m, nn.Dropout) for m in UnetGenerator(width=1, dropout=0.0).modules())


@pytest.mark.parametrize("downs", [2, 4, 5])
def test_shallow_networks_have_no_middle_to_drop(downs: int) -> None:
    assert not any(isinstance(m, nn.Dropout) for m in UnetGenerator(width=1, downs=downs).modules())


def test_the_skip_carries_the_activated_input() -> None:
    features = torch.randn(1, 2, 4, 4)
    expected = torch.where(features > 0, features, 0.2 * features)
    carried, _ = SkipBlock(2, 3, "instance")(features.clone()).split(2, dim=1)
    torch.testing.assert_close(carried, expected)


def test_the_layers_are_those_of_the_recipe() -> None:
    """A network of three levels as a written-out formula on its own weights."""
    network = UnetGenerator(width=2, downs=3).double()
    images = torch.rand(2, 3, 16, 8, dtype=torch.float64) * 2 - 1
    weights = network.state_dict()
    norm, relu = torch.nn.functional.instance_norm, torch.relu

    def down(x: Tensor, key: str) -> Tensor:
        return torch.conv2d(x, weights[f"{key}.weight"], weights[f"{key}.bias"], 2, 1)

    def up(x: Tensor, key: str) -> Tensor:
        return torch.conv_transpose2d(x, weights[f"{key}.weight"], weights[f"{key}.bias"], 2, 1)

    def leaky(x: Tensor) -> Tensor:
        return torch.where(x > 0, x, 0.2 * x)

    skip_1 = leaky(down(images, "model.model.0"))
    skip_2 = leaky(norm(down(skip_1, "model.model.1.model.1")))
    innermost = down(skip_2, "model.model.1.model.3.model.1")
    up_2 = norm(up(relu(innermost), "model.model.1.model.3.model.3"))
    up_1 = norm(up(relu(torch.cat([skip_2, up_2], dim=1)), "model.model.1.model.5"))
    expected = torch.tanh(up(relu(torch.cat([skip_1, up_1], dim=1)), "model.model.3"))
    torch.testing.assert_close(network(images), expected)


@pytest.mark.parametrize("norm", ["instance", "batch", "none"])
@pytest.mark.parametrize("downs", [2, 3, 6])
@pytest.mark.parametrize(("in_channels", "out_channels"), [(3, 3), (1, 3), (3, 1)])
def test_shape_and_range(norm: Norm, downs: int, in_channels: int, out_channels: int) -> None:
    network = UnetGenerator(in_channels, out_channels, width=2, downs=downs, norm=norm)
    side = 2**downs
    translated = network(100 * torch.randn(2, in_channels, side, 2 * side))
    assert translated.shape == (2, out_channels, side, 2 * side)
    assert translated.abs().max() <= 1
    translated.mean().backward()
    assert all(parameter.grad is not None for parameter in network.parameters())
