import pytest
import torch
import torch.nn.functional as F

from cyclegan.metrics.kid import kernel_distance
from cyclegan.metrics.random_features import RandomFeatures


def test_features_are_means_and_deviations_of_three_layers() -> None:
    network = RandomFeatures()
    image = torch.randint(0, 256, (2, 3, 64, 64), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    first, second, third = network.load().parameters()
    one = F.conv2d(image / 127.5 - 1, first).relu()
    two = F.conv2d(F.avg_pool2d(one, 2), second).relu()
    three = F.conv2d(F.avg_pool2d(two, 2), third).relu()
    expected = [pooled for maps in (one, two, three) for pooled in (maps.mean((2, 3)), maps.std((2, 3)))]
    features = network.features(image)
    assert features.shape == (2, 384)
    torch.testing.assert_close(features, torch.cat(expected, 1))
    assert [maps.shape[-1] for maps in (one, two, three)] == [58, 25, 10]


def test_weights_are_reproducible_and_scaled() -> None:
    first, second, third = RandomFeatures().load().parameters()
    known = [first[0, 0, 0, 0], second[63, 63, 4, 4], third[1, 2, 0, 1]]
    assert [value.item() for value in known] == pytest.approx([-0.13132063, -0.0335023, 0.08225814], rel=1e-5)
    for weight in (first, second, third):
        assert weight.std().item() == pytest.approx((2 / weight[0].numel()) ** 0.5, rel=0.03)


@pytest.mark.parametrize("period", [4, 8])
def test_distances_separate_textures_of_equal_colours(period: int) -> None:
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


def test_seed_determines_the_network() -> None:
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


def test_size_below_32_is_refused() -> None:
    with pytest.raises(ValueError, match="size is 31; it must be 32 or more"):
        RandomFeatures(size=31)
