import pytest
import torch
from torch import nn

from cyclegan.networks.norm import norm_layer


@pytest.mark.parametrize("mode", ["train", "eval"])
def test_instance_norm_equals_torch(mode: str) -> None:
    features = 3 * torch.randn(2, 5, 7, 6, dtype=torch.float64) + 2
    ours, torchs = norm_layer("instance", 5), nn.InstanceNorm2d(5)
    ours.train(mode == "train")
    torchs.train(mode == "train")
    torch.testing.assert_close(ours(features), torchs(features))


@pytest.mark.parametrize("batch", [1, 3])
def test_instance_norm_keeps_channels_last(batch: int) -> None:
    features = torch.randn(batch, 5, 7, 6, dtype=torch.float64)
    weights = torch.randn_like(features)
    results = []
    for memory_format in (torch.contiguous_format, torch.channels_last):
        given = features.to(memory_format=memory_format).requires_grad_()
        normalised = norm_layer("instance", 5)(given)
        assert normalised.is_contiguous(memory_format=memory_format)
        # (x − mean) / √(variance + 1e-5), over the pixels of each feature map
        mean, variance = given.mean((2, 3), keepdim=True), given.var((2, 3), correction=0, keepdim=True)
        torch.testing.assert_close(normalised, (given - mean) / (variance + 1e-5).sqrt())
        (gradient,) = torch.autograd.grad((normalised * weights).sum(), given, create_graph=True)
        (second,) = torch.autograd.grad(gradient.square().sum(), given)  # as gradient penalties take
        results.append((gradient.detach(), second))
    torch.testing.assert_close(results[0], results[1])


def test_instance_norm_of_bfloat16_is_computed_in_float32() -> None:
    features = (3 * torch.randn(2, 4, 32, 32) + 5).bfloat16().to(memory_format=torch.channels_last)
    exact = nn.functional.instance_norm(features.double())
    rounded = norm_layer("instance", 4)(features)
    torch.testing.assert_close(rounded.double(), exact, rtol=2**-8, atol=1e-5)  # half a step of bfloat16


def test_instance_norm_of_one_pixel_is_zero() -> None:
    pixel = torch.randn(2, 5, 1, 1).to(memory_format=torch.channels_last)
    torch.testing.assert_close(norm_layer("instance", 5)(pixel), torch.zeros_like(pixel), atol=1e-4, rtol=0)


def test_norm_none_is_the_identity() -> None:
    features = torch.randn(2, 4, 3, 3)
    assert norm_layer("none", 4)(features) is features
