import pytest
import torch
from torch import nn

from cyclegan.networks.norm import Norm
from cyclegan.networks.patchgan import PatchDiscriminator, PixelDiscriminator
from cyclegan.networks.resnet import ResnetGenerator
from cyclegan.networks.strided import StridedDiscriminator


def parameter_count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def test_parameter_counts_are_the_papers() -> None:
    with torch.device("meta"):
        assert parameter_count(PatchDiscriminator()) == 2_764_737
        assert parameter_count(PixelDiscriminator()) == 8_705
        assert 2 * parameter_count(ResnetGenerator()) + 2 * parameter_count(PatchDiscriminator()) == 28_285_832


@pytest.mark.parametrize(
    ("network", "names"),
    [
        (PatchDiscriminator(width=1), ["model.0", "model.2", "model.5", "model.8", "model.11"]),
        (PixelDiscriminator(width=1), ["net.0", "net.2", "net.5"]),
        (StridedDiscriminator(widths=(1, 1, 1, 1)), ["model.0", "model.2", "model.5", "model.8", "model.12"]),
    ],
    ids=["patch", "pixel", "strided"],
)
def test_layer_names(network: nn.Module, names: list[str]) -> None:
    assert list(network.state_dict()) == [f"{name}.{part}" for name in names for part in ("weight", "bias")]


@pytest.mark.parametrize(
    ("network", "biased"),
    [
        (PatchDiscriminator(width=1, norm="batch"), ["model.0", "model.11"]),
        (PixelDiscriminator(width=1, norm="batch"), ["net.0"]),
        (StridedDiscriminator(widths=(1, 1, 1, 1), norm="batch"), ["model.0", "model.12"]),
    ],
    ids=["patch", "pixel", "strided"],
)
def test_biases_with_batch_norm(network: nn.Module, biased: list[str]) -> None:
    found = [name for name, m in network.named_modules() if isinstance(m, nn.Conv2d) and m.bias is not None]
    assert found == biased


def test_patchgan_gives_30_by_30_scores_at_256() -> None:
    assert PatchDiscriminator(width=2)(torch.zeros(1, 3, 256, 256)).shape == (1, 1, 30, 30)


@pytest.mark.parametrize(("layers", "patch"), [(1, 16), (2, 34), (3, 70), (4, 142)])
def test_the_patch_of_a_score_is_what_moves_it(layers: int, patch: int) -> None:
    """A score in the middle has a gradient on exactly patch × patch pixels. (A norm would see the whole image.)"""
    network = PatchDiscriminator(width=1, layers=layers, norm="none").double()
    image = torch.randn(1, 3, 256, 256, dtype=torch.float64, requires_grad=True)
    scores = network(image)
    middle = scores.shape[-1] // 2
    (gradient,) = torch.autograd.grad(scores[0, 0, middle, middle], image)
    touched = gradient[0].abs().amax(dim=0) > 0
    rows, columns = int(touched.any(dim=1).sum()), int(touched.any(dim=0).sum())
    assert (rows, columns, int(touched.sum())) == (patch, patch, patch**2)


def test_a_pixel_is_judged_by_itself() -> None:
    image = torch.randn(1, 3, 8, 8, requires_grad=True)
    scores = PixelDiscriminator(width=4, norm="none")(image)
    assert scores.shape == (1, 1, 8, 8)
    (gradient,) = torch.autograd.grad(scores[0, 0, 2, 5], image)
    assert gradient[0].abs().amax(dim=0).nonzero().tolist() == [[2, 5]]


@pytest.mark.parametrize(
    ("layers", "channels"),
    [
        (1, [3, 4, 8, 1]),
        (3, [3, 4, 8, 16, 32, 1]),
        (5, [3, 4, 8, 16, 32, 32, 32, 1]),
    ],
)
def test_channels_double_as_far_as_eight_times(layers: int, channels: list[int]) -> None:
    network = PatchDiscriminator(width=4, layers=layers)
    convolutions = [m for m in network.modules() if isinstance(m, nn.Conv2d)]
    assert [c.in_channels for c in convolutions] == channels[:-1]
    assert [c.out_channels for c in convolutions] == channels[1:]
    assert [c.stride[0] for c in convolutions] == [2] * layers + [1, 1]


def test_scores_are_unbounded_logits() -> None:
    network = PatchDiscriminator(width=2, norm="none")
    images = torch.randn(1, 3, 32, 32)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(50)
        scores = network(images)
    assert scores.abs().max() > 1


def test_pytorch_gan_variant_gives_16_by_16_scores_at_256() -> None:
    """Four stride-2 convolutions, then zero-pad (1, 0, 1, 0) and a convolution that pads 1 itself."""
    network = StridedDiscriminator(widths=(2, 3, 4, 5))
    images = torch.randn(1, 3, 256, 256)
    features = network.model[:-2](images)
    weights = network.state_dict()
    head = torch.conv2d(
        nn.ZeroPad2d((1, 0, 1, 0))(features), weights["model.12.weight"], weights["model.12.bias"], padding=1
    )
    assert head.shape == (1, 1, 16, 16)
    torch.testing.assert_close(network(images), head)


def test_64_variant_gives_one_score_an_image() -> None:
    network = StridedDiscriminator(widths=[32, 64, 128, 256], norm="batch", head_padding=[0, 0, 0, 0])
    assert network.minimum_size == 64
    assert network(torch.randn(2, 3, 64, 64)).shape == (2, 1, 1, 1)


def test_strided_layers_are_those_of_dcgan() -> None:
    layers = list(StridedDiscriminator(widths=(1, 2, 3), norm="batch").model)
    assert [type(layer).__name__ for layer in layers] == [
        *["Conv2d", "LeakyReLU"],
        *["Conv2d", "BatchNorm2d", "LeakyReLU"] * 2,
        *["ZeroPad2d", "Conv2d"],
    ]
    assert [layer.negative_slope for layer in layers if isinstance(layer, nn.LeakyReLU)] == [0.2] * 3


@pytest.mark.parametrize("norm", ["instance", "batch", "none"])
@pytest.mark.parametrize("in_channels", [1, 3])
def test_every_norm_and_number_of_channels(norm: Norm, in_channels: int) -> None:
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
