from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import nn

from cyclegan.networks.encoder_decoder import EncoderDecoder
from cyclegan.networks.resnet import ResnetGenerator
from cyclegan.networks.unet import UnetGenerator

GENERATORS: dict[str, Callable[..., nn.Module]] = {
    "resnet": partial(ResnetGenerator, width=3, blocks=1),
    "resnet_dropout": partial(ResnetGenerator, width=3, blocks=1, dropout=0.5),
    "resnet_resize": partial(ResnetGenerator, width=3, blocks=1, upsampling="resize"),
    "unet_2": partial(UnetGenerator, width=2, downs=2),
    "unet_6": partial(UnetGenerator, width=2, downs=6),
    "encoder_decoder_1": partial(EncoderDecoder, widths=[3]),
    "encoder_decoder_4": partial(EncoderDecoder, widths=(2, 3, 4, 5)),
}


@pytest.mark.parametrize("norm", ["instance", "batch", "none"])
@pytest.mark.parametrize("build", GENERATORS.values(), ids=GENERATORS)
@pytest.mark.parametrize(("in_channels", "out_channels"), [(3, 3), (1, 3), (3, 1)])
def test_output_has_input_size_and_range_minus_one_to_one(
    build: Callable[..., nn.Module], norm: str, in_channels: int, out_channels: int
) -> None:
    network = build(in_channels, out_channels, norm=norm)
    side = int(network.minimum_size)  # type: ignore[arg-type]
    translated = network(100 * torch.randn(2, in_channels, side, 2 * side))
    assert translated.shape == (2, out_channels, side, 2 * side)
    assert translated.abs().max() <= 1
    translated.mean().backward()
    assert all(parameter.grad is not None for parameter in network.parameters())
