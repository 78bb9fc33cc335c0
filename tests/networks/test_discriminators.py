from collections.abc import Callable
from functools import partial
from itertools import pairwise

import pytest
import torch
from torch import nn

from cyclegan.networks.norm import Norm
from cyclegan.networks.patchgan import PatchDiscriminator, PixelDiscriminator
from cyclegan.networks.strided import StridedDiscriminator


def parameter_count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def test_parameter_counts_match_the_paper() -> None:
    with torch.device("meta"):
        assert parameter_count(PatchDiscriminator()) == 2_764_737
        assert parameter_count(PixelDiscriminator()) == 8_705


LAYERS: dict[str, tuple[Callable[..., nn.Module], list[str]]] = {
    "patch": (partial(PatchDiscriminator, width=1), ["model.0", "model.2", "model.5", "model.8", "model.11"]),
    "pixel": (partial(PixelDiscriminator, width=1), ["net.0", "net.2", "net.5"]),
    "strided": (
        partial(StridedDiscriminator, widths=(1, 1, 1, 1)),
        ["model.0", "model.2", "model.5", "model.8", "model.12"],
    ),
}


@pytest.mark.parametrize("name", LAYERS)
def test_layers_have_their_published_names_and_no_bias_before_batch_norm(name: str) -> None:
    build, layers = LAYERS[name]
    assert list(build().state_dict()) == [f"{layer}.{part}" for layer in layers for part in ("weight", "bias")]
    convolutions = {key: m for key, m in build(norm="batch").named_modules() if isinstance(m, nn.Conv2d)}
    without_norm = [layers[0]] if name == "pixel" else [layers[0], layers[-1]]
    assert [key for key, m in convolutions.items() if m.bias is not None] == without_norm


def test_patchgan_gives_30_by_30_scores_at_256() -> None:
    assert PatchDiscriminator(width=2)(torch.zeros(1, 3, 256, 256)).shape == (1, 1, 30, 30)


@pytest.mark.parametrize(("layers", "patch"), [(1, 16), (2, 34), (3, 70), (4, 142)])
def test_receptive_field_of_a_score(layers: int, patch: int) -> None:
    """A score in the middle has a gradient on exactly patch × patch pixels. (A norm would depend on all pixels.)"""
    network = PatchDiscriminator(width=1, layers=layers, norm="none").double()
    image = torch.randn(1, 3, 256, 256, dtype=torch.float64, requires_grad=True)
    scores = network(image)
    middle = scores.shape[-1] // 2
    (gradient,) = torch.autograd.grad(scores[0, 0, middle, middle], image)
    touched = gradient[0].abs().amax(dim=0) > 0
    rows, columns = int(touched.any(dim=1).sum()), int(touched.any(dim=0).sum())
    assert (rows, columns, int(touched.sum())) == (patch, patch, patch**2)


def test_a_pixel_score_depends_only_on_its_pixel() -> None:
    image = torch.randn(1, 3, 8, 8, requires_grad=True)
    scores = PixelDiscriminator(width=4, norm="none")(image)
    assert scores.shape == (1, 1, 8, 8)
    (gradient,) = torch.autograd.grad(scores[0, 0, 2, 5], image)
    assert gradient[0].abs().amax(dim=0).nonzero().tolist() == [[2, 5]]


def test_channels_double_up_to_eight_times_the_width() -> None:
    network = PatchDiscriminator(width=4, layers=5)
    convolutions = [m for m in network.modules() if isinstance(m, nn.Conv2d)]
    channels = [3, 4, 8, 16, 32, 32, 32, 1]
    assert [(c.in_channels, c.out_channels) for c in convolutions] == list(pairwise(channels))
    assert [c.stride[0] for c in convolutions] == [2, 2, 2, 2, 2, 1, 1]
    assert isinstance(network.model[-1], nn.Conv2d)  # scores are logits: no sigmoid


def test_pytorch_gan_variant_gives_16_by_16_scores_at_256() -> None:
    """After four stride-2 convolutions: zero padding (1, 0, 1, 0), then a convolution with a padding of 1."""
    network = StridedDiscriminator(widths=(2, 3, 4, 5))
    images = torch.randn(1, 3, 256, 256)
    features = network.model[:-2](images)
    weights = network.state_dict()
    head = torch.conv2d(
        nn.ZeroPad2d((1, 0, 1, 0))(features), weights["model.12.weight"], weights["model.12.bias"], padding=1
    )
    assert head.shape == (1, 1, 16, 16)
    torch.testing.assert_close(network(images), head)


def test_64_pixel_variant_gives_one_score_per_image() -> None:
    network = StridedDiscriminator(widths=[32, 64, 128, 256], norm="batch", head_padding=[0, 0, 0, 0])
    assert network.minimum_size == 64
    assert network(torch.randn(2, 3, 64, 64)).shape == (2, 1, 1, 1)


def test_strided_layers_match_dcgan() -> None:
    layers = list(StridedDiscriminator(widths=(1, 2, 3), norm="batch").model)
    assert [type(layer).__name__ for layer in layers] == [
        *["Conv2d", "LeakyReLU"],
        *["Conv2d", "BatchNorm2d", "LeakyReLU"] * 2,
        *["ZeroPad2d", "Conv2d"],
    ]
    assert [layer.negative_slope for layer in layers if isinstance(layer, nn.LeakyReLU)] == [0.2] * 3


@pytest.mark.parametrize("norm", ["instance", "batch", "none"])
@pytest.mark.parametrize("in_channels", [1, 3])
def test_scores_have_one_channel_and_every_parameter_a_gradient(norm: Norm, in_channels: int) -> None:
    networks = (
        PatchDiscriminator(in_channels, width=2, layers=2, norm=norm),
        PixelDiscriminator(in_channels, width=2, norm=norm),
        StridedDiscriminator(in_channels, widths=[2, 3], norm=norm),
    )
    for network in networks:
        scores = network(torch.randn(2, in_channels, 24, 32))
        assert scores.shape[:2] == (2, 1)
        scores.mean().backward()
        assert all(parameter.grad is not None for parameter in network.parameters())
