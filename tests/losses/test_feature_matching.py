import pytest
import torch

from cyclegan.losses.feature_matching import feature_matching


def test_maps_are_compared_by_their_means_over_the_batch() -> None:
    """By hand: (2 − 4)² and (1 − 1)² of the first map, whose mean is 2, and (5 − 2)² of the second."""
    real = [torch.tensor([[1.0, 1.0], [3.0, 1.0]]).view(2, 2, 1, 1), torch.tensor([[5.0], [5.0]]).view(2, 1, 1, 1)]
    fake = [torch.tensor([[3.0, 0.0], [5.0, 2.0]]).view(2, 2, 1, 1), torch.tensor([[0.0], [4.0]]).view(2, 1, 1, 1)]
    assert feature_matching(real, fake).item() == pytest.approx(2 + 9)


def test_half_precision_is_widened() -> None:
    """The mean of 1 and 1 + 2⁻⁷, the next number of bfloat16, is none of bfloat16's."""
    real, fake = torch.tensor([[1.0], [1.0 + 2**-7]]).bfloat16(), torch.zeros(2, 1).bfloat16()
    assert feature_matching([real], [fake]).item() == pytest.approx((1 + 2**-8) ** 2, rel=1e-6)


def test_features_of_different_layers_are_refused() -> None:
    with pytest.raises(ValueError, match="zip"):
        feature_matching([torch.zeros(2, 1)], [])
