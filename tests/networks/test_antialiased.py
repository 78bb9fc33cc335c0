"""The networks of CUT: their published layers, blurs by hand, and features at layers."""

import re

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from cyclegan.errors import UserError
from cyclegan.networks.antialiased import AntialiasedPatchDiscriminator, AntialiasedResnetGenerator, BlurDown, BlurUp
from cyclegan.networks.patch_sampler import PatchSampler


def parameter_count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def layers_with(network: nn.Module, part: str) -> list[str]:
    return [key.removesuffix(f".{part}") for key in network.state_dict() if key.endswith(f".{part}")]


def test_parameter_counts_match_the_authors_code() -> None:
    with torch.device("meta"):
        assert parameter_count(AntialiasedResnetGenerator()) == 11_378_179
        assert parameter_count(AntialiasedPatchDiscriminator()) == 2_764_737
        assert parameter_count(PatchSampler([3, 128, 256, 256, 256])) == 560_384


def test_layers_have_their_published_names() -> None:
    gen, disc = AntialiasedResnetGenerator(width=2), AntialiasedPatchDiscriminator(width=2)
    blocks = [f"model.{block}.conv_block.{layer}" for block in range(12, 21) for layer in (1, 5)]
    first, last = [f"model.{layer}" for layer in (1, 4, 8)], [f"model.{layer}" for layer in (22, 26, 30)]
    assert layers_with(gen, "weight") == layers_with(gen, "bias") == [*first, *blocks, *last]
    assert layers_with(gen, "filt") == [f"model.{layer}" for layer in (7, 11, 21, 25)]
    assert layers_with(disc, "weight") == layers_with(disc, "bias") == [f"model.{n}" for n in (0, 3, 7, 11, 14)]
    assert layers_with(disc, "filt") == [f"model.{layer}" for layer in (2, 6, 10)]
    sampler = PatchSampler([3, 4])
    assert layers_with(sampler, "weight") == [f"mlp_{n}.{layer}" for n in range(2) for layer in (0, 2)]


@pytest.mark.parametrize("size", [(6, 8), (5, 7)])
def test_blur_down_is_a_weighted_mean_of_three_by_three_pixels(size: tuple[int, int]) -> None:
    features = torch.randn(2, 3, *size, dtype=torch.float64)
    down = BlurDown(3).double()
    padded = F.pad(features, (1, 1, 1, 1), mode="reflect")
    blurred = padded[..., :-2] + 2 * padded[..., 1:-1] + padded[..., 2:]
    blurred = blurred[..., :-2, :] + 2 * blurred[..., 1:-1, :] + blurred[..., 2:, :]
    torch.testing.assert_close(down(features), blurred[..., ::2, ::2] / 16)
    assert down.filt.shape == (3, 1, 3, 3)


def test_blur_up_is_bilinear_interpolation() -> None:
    features = torch.randn(2, 3, 5, 7, dtype=torch.float64)
    up = BlurUp(3).double()
    expected = F.interpolate(features, scale_factor=2, mode="bilinear", align_corners=False)
    torch.testing.assert_close(up(features), expected, atol=1e-14, rtol=0)
    torch.testing.assert_close(up.filt[2, 0, 1], torch.tensor([3, 9, 9, 3], dtype=torch.float64) / 16)
    assert up.filt.shape == (3, 1, 4, 4)


def test_the_generator_keeps_the_size_and_the_discriminator_gives_30_by_30_scores_at_256() -> None:
    images = torch.randn(1, 3, 16, 24)
    assert AntialiasedResnetGenerator(width=2, out_channels=1)(images).shape == (1, 1, 16, 24)
    assert AntialiasedPatchDiscriminator(width=2)(torch.zeros(1, 3, 256, 256)).shape == (1, 1, 30, 30)


@pytest.mark.parametrize(
    ("blocks", "taps"), [(9, (0, 4, 8, 12, 16)), (6, (0, 4, 8, 12, 16)), (3, (0, 4, 8, 12, 14)), (1, (0, 4, 8, 12))]
)
def test_features_are_outputs_of_layers_and_no_later_layer_is_computed(blocks: int, taps: tuple[int, ...]) -> None:
    """Also after the whole pass, whose activations work in place: none of them changes the features."""
    network = AntialiasedResnetGenerator(width=2, blocks=blocks)
    assert network.taps == taps
    images = torch.randn(2, 3, 16, 16)
    outputs: dict[int, torch.Tensor] = {}
    for number, layer in enumerate(network.model):
        layer.register_forward_hook(lambda _, __, output, number=number: outputs.update({number: output.clone()}))
    features = network.features(images, taps)
    assert list(outputs) == list(range(taps[-1] + 1))
    assert len(features) == len(taps)
    assert all(torch.equal(found, outputs[tap]) for found, tap in zip(features, taps, strict=True))
    assert torch.equal(features[0], F.pad(images, (3, 3, 3, 3), mode="reflect"))
    convolution = network.model[4]
    assert torch.equal(features[1], convolution(network.model[:4](images))), "before its norm"


@pytest.mark.parametrize("taps", [[0, 24], [-1], []])
def test_layers_that_do_not_exist_are_refused(taps: list[int]) -> None:
    network = AntialiasedResnetGenerator(width=2, blocks=1)
    with pytest.raises(UserError, match=re.escape(f"taps are {taps}; they are numbers of layers, from 0 to 23")):
        network.features(torch.zeros(1, 3, 8, 8), taps)


# ------------------------------------------------------------------------------------ the feature network


def test_embeddings_are_of_the_same_positions_in_every_image_and_have_norm_one() -> None:
    torch.manual_seed(0)
    sampler = PatchSampler([3, 5], width=4, patches=6).double()
    features = [torch.randn(2, 3, 4, 5, dtype=torch.float64), torch.randn(2, 5, 2, 2, dtype=torch.float64)]
    positions = sampler.positions(features)
    assert [len(set(each.tolist())) for each in positions] == [6, 4], "distinct; of a small map, all"
    for embeddings, each, chosen, mlp in zip(
        sampler(features, positions), features, positions, sampler.children(), strict=True
    ):
        assert embeddings.shape == (2, len(chosen), 4)
        for image in range(2):
            for row, place in enumerate(chosen.tolist()):
                y, x = divmod(place, each.shape[3])
                embedded = mlp(each[image, :, y, x])
                torch.testing.assert_close(embeddings[image, row], embedded / (embedded.square().sum().sqrt() + 1e-7))


def test_positions_are_drawn_anew_from_the_whole_map() -> None:
    torch.manual_seed(0)
    sampler = PatchSampler([1], patches=8)
    drawn = torch.stack([sampler.positions([torch.zeros(1, 1, 4, 4)])[0] for _ in range(200)])
    assert drawn.flatten().unique().tolist() == list(range(16))
    assert torch.bincount(drawn.flatten()).min() > 60, "100 each on average, with a deviation of 7"
