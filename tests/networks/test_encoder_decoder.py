import torch
from torch import nn

from cyclegan.networks.encoder_decoder import EncoderDecoder


def test_defaults_build_the_64_pixel_network() -> None:
    """Three convolutions down to 256 channels and three up, kernel 4, stride 2, with a norm after all but the last."""
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
