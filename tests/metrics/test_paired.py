import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from torch import Tensor

from cyclegan.images.tensors import to_uint8
from cyclegan.metrics.paired import l1, psnr, ssim


def test_psnr_and_l1_equal_hand_computed_values() -> None:
    truth = torch.full((3, 3, 2, 2), -1.0)
    images = truth.clone()
    images[0] = 1.0  # wrong by 255 everywhere: 0 dB
    images[1, 0, 0, 0] = 1.0  # one of twelve values wrong
    decibels = torch.tensor([0.0, 10 * math.log10(12), math.inf], dtype=torch.float64)
    torch.testing.assert_close(psnr(images, truth), decibels)
    torch.testing.assert_close(l1(images, truth), torch.tensor([2.0, 2 / 12, 0.0], dtype=torch.float64))


def test_images_are_rounded_to_8_bits() -> None:
    truth = torch.zeros(1, 3, 2, 2)  # 127.5, saved as 128
    equal, different = truth + 0.9 / 127.5, truth + 1.1 / 127.5  # 128.4 and 128.6, saved as 128 and 129
    assert psnr(equal, truth).isinf().all()
    assert psnr(different, truth).item() == pytest.approx(20 * math.log10(255))
    assert l1(equal, truth).item() == 0
    assert l1(different, truth).item() == pytest.approx(1 / 127.5)


def test_ssim_of_flat_images_is_its_luminance_term() -> None:
    images, truth = torch.full((1, 3, 16, 16), -1.0), torch.full((1, 3, 16, 16), 1.0)
    c1 = (0.01 * 255) ** 2
    assert ssim(images, truth).item() == pytest.approx(c1 / (255**2 + c1))


def test_ssim_of_equal_images_is_one_and_of_negatives_negative() -> None:
    noise = random_images(1, 3, 20, 20, seed=0)
    assert ssim(noise, noise).item() == pytest.approx(1, abs=1e-12)
    assert ssim(noise, -noise).item() < -0.5


def random_images(*shape: int, seed: int) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed)) * 2.2 - 1.1


@settings(max_examples=10, deadline=None)
@given(
    count=st.integers(1, 2),
    channels=st.integers(1, 4),
    height=st.integers(11, 40),
    width=st.integers(11, 40),
    strength=st.floats(0.01, 2),
    seed=st.integers(0, 99),
)
def test_psnr_and_ssim_equal_scikit_image(
    count: int, channels: int, height: int, width: int, strength: float, seed: int
) -> None:
    truth = random_images(count, channels, height, width, seed=seed)
    images = truth + strength * random_images(count, channels, height, width, seed=seed + 100)
    saved = list(zip(to_uint8(images).numpy(), to_uint8(truth).numpy(), strict=True))
    expected = [
        structural_similarity(  # type: ignore[no-untyped-call]
            *pair, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=255, channel_axis=0
        )
        for pair in saved
    ]
    np.testing.assert_allclose(ssim(images, truth).numpy(), expected, atol=1e-6, rtol=0)
    with np.errstate(divide="ignore"):  # equal images
        expected = [peak_signal_noise_ratio(*pair, data_range=255) for pair in saved]  # type: ignore[no-untyped-call]
    np.testing.assert_allclose(psnr(images, truth).numpy(), expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize("shape", [(2, 3, 10, 16), (2, 3, 16, 10), (2, 3, 1, 16), (2, 3, 16, 1)])
def test_ssim_of_images_smaller_than_the_window_is_nan(shape: tuple[int, ...]) -> None:
    found = ssim(torch.zeros(shape), torch.zeros(shape))
    assert found.shape == (2,)
    assert found.isnan().all()


@pytest.mark.parametrize("metric", [psnr, ssim, l1])
def test_different_shapes_are_refused(metric: Callable[[Tensor, Tensor], Tensor]) -> None:
    with pytest.raises(ValueError, match=r"\(2, 3, 4, 4\) and ground truth \(1, 3, 4, 4\)"):
        metric(torch.zeros(2, 3, 4, 4), torch.zeros(1, 3, 4, 4))
