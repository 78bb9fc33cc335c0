"""DiscoGAN's networks: layers, names and counts of the authors' code, and their image range."""

from collections.abc import Callable
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from cyclegan.networks.discogan import DiscoDiscriminator, DiscoGenerator


@pytest.mark.parametrize(
    ("build", "count"),
    [
        (DiscoGenerator, 5_513_856),
        (partial(DiscoGenerator, bottleneck=100), 7_153_480),
        (DiscoDiscriminator, 2_765_568),
    ],
)
def test_parameter_count_matches_the_authors(build: Callable[[], nn.Module], count: int) -> None:
    with torch.device("meta"):
        assert sum(parameter.numel() for parameter in build().parameters()) == count


def test_layers_have_the_authors_names_and_no_biases() -> None:
    gen, disc = DiscoGenerator(width=1), DiscoDiscriminator(width=1)
    convolutions, norms = [0, 2, 5, 8, 11, 14, 17, 20], [3, 6, 9, 12, 15, 18]
    names = [f"main.{index}.weight" for index in convolutions] + [
        f"main.{index}.{part}" for index in norms for part in ("weight", "bias")
    ]
    assert {name for name, _ in gen.named_parameters()} == set(names)
    assert {name for name, _ in disc.named_parameters()} == {
        *(f"conv{layer}.weight" for layer in range(1, 6)),
        *(f"bn{layer}.{part}" for layer in (2, 3, 4) for part in ("weight", "bias")),
    }


def test_a_bottleneck_has_one_pixel_and_gives_images_of_the_same_size() -> None:
    gen = DiscoGenerator(width=2, bottleneck=5)
    assert gen.main[:12](torch.rand(2, 3, 64, 64)).shape == (2, 5, 1, 1)
    assert gen(torch.rand(2, 3, 64, 64)).shape == (2, 3, 64, 64)
    with pytest.raises(ValueError, match="at least 64"):
        gen(torch.rand(2, 3, 48, 48))


def test_the_authors_layers_see_and_give_images_between_0_and_1() -> None:
    """Also that the discriminator returns logits: the authors end it with a sigmoid."""
    gen, disc = DiscoGenerator(width=2).double(), DiscoDiscriminator(width=2).double()
    images = torch.rand(2, 3, 64, 64, dtype=torch.float64)
    assert isinstance(gen.main[-1], nn.Sigmoid)
    torch.testing.assert_close((gen(2 * images - 1) + 1) / 2, gen.main(images))

    x, features = images, []
    for layer in (1, 2, 3, 4):
        x = F.conv2d(x, disc.get_parameter(f"conv{layer}.weight"), stride=2, padding=1)
        if layer > 1:
            x = F.batch_norm(x, None, None, training=True)
        x = F.leaky_relu(x, 0.2)
        features.append(x)
    scores, found = disc.scores_and_features(2 * images - 1)
    assert scores.shape == (2, 1, 1, 1)
    torch.testing.assert_close(scores, F.conv2d(x, disc.conv5.weight))
    torch.testing.assert_close(disc(2 * images - 1), scores)
    assert [map_.shape[1:] for map_ in found] == [(4, 16, 16), (8, 8, 8), (16, 4, 4)]
    torch.testing.assert_close(found, features[1:])
