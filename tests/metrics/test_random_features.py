import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from cyclegan.datasets.toy_scenes import draw_scene
from cyclegan.metrics.kid import kernel_distance
from cyclegan.metrics.random_features import RandomFeatures


def scenes(count: int, seed: int, striped: bool) -> Tensor:
    """Draw images of the toy set, uint8 (count, 3, 64, 64)."""
    rng = np.random.default_rng(seed)
    drawn = [np.array(draw_scene(rng, 64, striped).convert("RGB")) for _ in range(count)]
    return torch.from_numpy(np.stack(drawn)).permute(0, 3, 1, 2)


def test_features_are_means_and_deviations_of_three_layers_at_three_scales() -> None:
    network = RandomFeatures()
    image = scenes(2, seed=0, striped=True)
    first, second, third = network.load().parameters()
    one = F.conv2d(image / 127.5 - 1, first).relu()
    two = F.conv2d(F.avg_pool2d(one, 2), second).relu()
    three = F.conv2d(F.avg_pool2d(two, 2), third).relu()
    expected = [pooled for maps in (one, two, three) for pooled in (maps.mean((2, 3)), maps.std((2, 3)))]
    features = network.features(image)
    assert features.shape == (2, 384)
    torch.testing.assert_close(features, torch.cat(expected, 1))
    assert [maps.shape[-1] for maps in (one, two, three)] == [58, 25, 10]


def test_weights_are_reproducible_and_keep_the_scale() -> None:
    first, second, third = RandomFeatures().load().parameters()
    known = [first[0, 0, 0, 0], second[63, 63, 4, 4], third[1, 2, 0, 1]]
    assert [value.item() for value in known] == pytest.approx([-0.13132063, -0.0335023, 0.08225814], rel=1e-5)
    for weight in (first, second, third):
        assert weight.std().item() == pytest.approx((2 / weight[0].numel()) ** 0.5, rel=0.03)


def test_distances_separate_domains() -> None:
    network = RandomFeatures()
    plain, striped, also_striped = (
        network.features(scenes(24, seed, stripes)) for seed, stripes in ((1, False), (2, True), (3, True))
    )
    apart, alike = kernel_distance(plain, striped), kernel_distance(also_striped, striped)
    assert apart.value > 5 * apart.spread
    assert apart.value > 20 * abs(alike.value)


@pytest.mark.parametrize("period", [4, 8])
def test_distances_separate_textures_of_equal_colours(period: int) -> None:
    """The other images have the same pixels in another order."""
    network = RandomFeatures()
    stripes = (torch.arange(64) % period < period // 2).expand(64, 64) * 100 + 78
    rng = torch.Generator().manual_seed(0)
    noise = torch.randint(-20, 20, (16, 3, 64, 64), generator=rng)
    upright = (stripes + noise).to(torch.uint8)
    shuffled = upright.flatten(2)[..., torch.randperm(64 * 64, generator=rng)].view_as(upright)
    lying = upright.transpose(2, 3)
    for other in (shuffled, lying):
        apart = kernel_distance(network.features(upright), network.features(other))
        assert apart.value > 10 * apart.spread


def test_a_seed_defines_the_network() -> None:
    digests = [RandomFeatures(seed).digest() for seed in (0, 0, 1)]
    assert digests[0] == digests[1] != digests[2]
    one, other = (next(RandomFeatures(seed).load().parameters()) for seed in (0, 1))
    assert not torch.equal(one, other)
    assert RandomFeatures(size=96).digest() != digests[0]


@pytest.mark.parametrize("side", [1, 16, 100])
def test_images_of_any_size_have_features(side: int) -> None:
    image = torch.full((1, 3, side, side), 200, dtype=torch.uint8)
    same = torch.full((1, 3, 64, 64), 200, dtype=torch.uint8)
    network = RandomFeatures(size=64)
    torch.testing.assert_close(network.features(image), network.features(same), atol=1e-5, rtol=1e-5)


def test_a_size_below_32_is_refused() -> None:
    with pytest.raises(ValueError, match="size is 31; it must be 32 or more"):
        RandomFeatures(size=31)
