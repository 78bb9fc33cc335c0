import pytest
import torch
from torch import Tensor, nn

from cyclegan.networks.unet import UnetGenerator


@pytest.mark.parametrize(("downs", "count"), [(8, 54_413_955), (7, 41_828_995)])
def test_parameter_count_matches_pix2pix(downs: int, count: int) -> None:
    with torch.device("meta"):
        network = UnetGenerator(downs=downs, norm="batch")
    assert sum(parameter.numel() for parameter in network.parameters()) == count  # 54.41 M, 41.83 M


# Convolutions of the published 256 × 256 weights from the outermost level inwards, then back up.
LEVELS = ["model.model.1" + ".model.3" * depth for depth in range(7)]
CONVOLUTIONS = [
    "model.model.0",
    *(f"{level}.model.1" for level in LEVELS),
    f"{LEVELS[-1]}.model.3",
    *(f"{level}.model.5" for level in reversed(LEVELS[:-1])),
    "model.model.3",
]


def test_layers_have_the_names_of_the_published_weights() -> None:
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
    # Levels 5, 6 and 7 of 8, counted from outside: 512 channels inside and outside, and not the innermost.
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


@pytest.mark.parametrize(("downs", "dropout"), [(8, 0.0), (2, 0.5), (5, 0.5)])
def test_shallow_networks_and_dropout_zero_have_no_dropout_layer(downs: int, dropout: float) -> None:
    network = UnetGenerator(width=1, downs=downs, dropout=dropout)
    assert not any(isinstance(m, nn.Dropout) for m in network.modules())


def test_output_equals_the_written_out_formula() -> None:
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
