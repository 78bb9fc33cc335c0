import pytest
import torch
from torch import nn

from cyclegan.networks.norm import bias_before, norm_layer


@pytest.mark.parametrize("mode", ["train", "eval"])
def test_instance_norm_is_torchs(mode: str) -> None:
    features = 3 * torch.randn(2, 5, 7, 6, dtype=torch.float64) + 2
    ours, torchs = norm_layer("instance", 5), nn.InstanceNorm2d(5)
    ours.train(mode == "train")
    torchs.train(mode == "train")
    torch.testing.assert_close(ours(features), torchs(features))


def test_instance_norm_by_hand() -> None:
    """Each channel of each image by itself, with the biased variance and 1e-5 under the root."""
    features = torch.randn(2, 3, 4, 5)
    mean = features.mean(dim=(2, 3), keepdim=True)
    variance = (features - mean).square().mean(dim=(2, 3), keepdim=True)
    torch.testing.assert_close(norm_layer("instance", 3)(features), (features - mean) / (variance + 1e-5).sqrt())


def test_instance_norm_has_no_state() -> None:
    assert norm_layer("instance", 4).state_dict() == {}


def test_no_norm_changes_nothing() -> None:
    features = torch.randn(2, 4, 3, 3)
    assert norm_layer("none", 4)(features) is features


def test_only_batch_norm_takes_the_bias_away() -> None:
    assert bias_before("instance")
    assert bias_before("none")
    assert not bias_before("batch")


def test_an_unknown_norm_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match="norm is 'layer'; it must be one of instance, batch, none"):
        norm_layer("layer", 4)  # type: ignore[arg-type]
