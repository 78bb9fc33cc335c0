"""Spectral normalisation of the discriminators' convolutions."""

from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import nn

from cyclegan.networks.batching import together
from cyclegan.networks.init import normal
from cyclegan.networks.patchgan import PatchDiscriminator, PixelDiscriminator
from cyclegan.networks.spectral import trained_weight
from cyclegan.networks.strided import StridedDiscriminator

BUILD: dict[str, Callable[..., nn.Module]] = {
    "patch": partial(PatchDiscriminator, width=4, layers=1),
    "pixel": partial(PixelDiscriminator, width=4),
    "strided": partial(StridedDiscriminator, widths=(4, 8)),
}
every_discriminator = pytest.mark.parametrize("build", BUILD.values(), ids=BUILD)


def convolutions(network: nn.Module) -> list[nn.Conv2d]:
    return [module for module in network.modules() if isinstance(module, nn.Conv2d)]


@every_discriminator
def test_the_largest_singular_value_of_every_convolution_becomes_1(build: Callable[..., nn.Module]) -> None:
    torch.manual_seed(0)
    network = build(norm="none", spectral_norm=True)
    normal(network, std=0.5)
    images = torch.rand(1, 3, 16, 16)
    for _ in range(60):  # each with one power iteration
        network(images)
    network.eval()
    largest = [float(torch.linalg.svdvals(each.weight.detach().flatten(1))[0]) for each in convolutions(network)]
    assert largest == pytest.approx([1.0] * len(largest), abs=0.02)
    for each in convolutions(network):
        trained = trained_weight(each).detach()
        assert trained.std().item() == pytest.approx(0.5, abs=0.2), "the weights before the division are initialised"
        divided = trained / torch.linalg.svdvals(trained.flatten(1))[0]
        torch.testing.assert_close(each.weight.detach(), divided, rtol=0.02, atol=0)


@every_discriminator
def test_in_eval_mode_scores_are_fixed_and_the_same_for_joined_batches(build: Callable[..., nn.Module]) -> None:
    network = build(spectral_norm=True).eval()
    one, other = torch.rand(2, 2, 3, 16, 16)
    expected = network(one), network(other)
    torch.testing.assert_close(together(network, one, other), expected)
    torch.testing.assert_close(network(one), expected[0], rtol=0, atol=0)
    copy = build(spectral_norm=True).eval()
    copy.load_state_dict(network.state_dict())
    torch.testing.assert_close(copy(one), expected[0], rtol=0, atol=0)
