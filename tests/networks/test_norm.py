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


def test_norm_none_is_the_identity() -> None:
    features = torch.randn(2, 4, 3, 3)
    assert norm_layer("none", 4)(features) is features
