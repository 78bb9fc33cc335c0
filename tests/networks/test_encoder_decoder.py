import pytest
import torch
from torch import nn

from cyclegan.networks.encoder_decoder import EncoderDecoder
from cyclegan.networks.norm import Norm


def test_the_defaults_are_the_64_recipe() -> None:
    """Three convolutions down to 256 channels, three up, kernel 4 and stride 2 all; a norm after all but the last."""
    with torch.device("meta"):
        layers = list(EncoderDecoder().model)
    assert [type(layer).__name__ for layer in layers] == [
        *["Conv2d", "BatchNorm2d", "LeakyReLU"] * 3,
        *["ConvTranspose2d", "BatchNorm2d", "ReLU"] * 2,
        *["ConvTranspose2d", "Tanh"],
    ]
    convolutions = [layer for layer in layers if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d)]
    channels = [(c.in_channels, c.out_channels) for c in convolutions]
    assert channels == [(3, 64), (64, 128), (128, 256), (256, 128), (128, 64), (64, 3)]
    assert all((c.kernel_size, c.stride, c.padding) == ((4, 4), (2, 2), (1, 1)) for c in convolutions)
    assert [layer.negative_slope for layer in layers if isinstance(layer, nn.LeakyReLU)] == [0.2] * 3
    assert [c.bias is not None for c in convolutions] == [False] * 5 + [True]


@pytest.mark.parametrize("norm", ["instance", "batch", "none"])
@pytest.mark.parametrize("widths", [[3], [3, 5], (2, 3, 4, 5)])
@pytest.mark.parametrize(("in_channels", "out_channels"), [(3, 3), (1, 3), (3, 1)])
def test_shape_and_range(norm: Norm, widths: list[int], in_channels: int, out_channels: int) -> None:
    network = EncoderDecoder(in_channels, out_channels, widths, norm)
    side = network.minimum_size
    translated = network(100 * torch.randn(2, in_channels, side, 2 * side))
    assert translated.shape == (2, out_channels, side, 2 * side)
    assert translated.abs().max() <= 1
    translated.mean().backward()
    assert all(parameter.grad is not None for parameter in network.parameters())
