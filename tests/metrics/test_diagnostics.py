import math
from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from cyclegan.metrics import diagnostics
from cyclegan.metrics.diagnostics import change, checkerboard, luminance_correlation, thumbnails, variety

BOTH = (change, luminance_correlation)


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def smooth(count: int, channels: int = 3, height: int = 64, width: int = 64) -> Tensor:
    """Blurred noise, whose spectrum falls like that of photographs."""
    images = noise(count, channels, height + 8, width + 8, seed=5)
    for _ in range(4):
        images = nn.functional.avg_pool2d(images, 3, stride=1)
    return 2 * images


def test_change_equals_hand_computed_values() -> None:
    originals = torch.zeros(2, 3, 2, 2)
    images = originals.clone()
    images[1, 0, 0, 0], images[1, 2, 1, 1] = 0.6, -0.6
    torch.testing.assert_close(change(images, originals), torch.tensor([0.0, 1.2 / 12]))


def test_luminance_correlation_equals_numpy() -> None:
    images, originals = noise(4, 3, 9, 7, seed=1), noise(4, 3, 9, 7, seed=2)
    images = images + originals
    weights = np.array([0.299, 0.587, 0.114]).reshape(3, 1, 1)
    expected = [
        np.corrcoef((image * weights).sum(0).ravel(), (original * weights).sum(0).ravel())[0, 1]
        for image, original in zip(images.double().numpy(), originals.double().numpy(), strict=True)
    ]
    np.testing.assert_allclose(luminance_correlation(images, originals).numpy(), expected, rtol=1e-4)


def test_flat_images_have_correlation_zero() -> None:
    flat = torch.full((3, 3, 8, 8), 0.1) + torch.tensor([0.0, 1e-7, 1e-3]).view(3, 1, 1, 1) * noise(3, 3, 8, 8)
    assert luminance_correlation(flat, noise(3, 3, 8, 8, seed=3)).tolist() == [0, 0, 0]
    assert luminance_correlation(noise(3, 3, 8, 8, seed=3), flat).tolist() == [0, 0, 0]
    assert luminance_correlation(flat, flat).tolist() == [0, 0, 0]
    # One step of 8 bits is enough.
    faint = (2 / 255) * noise(1, 1, 8, 8).sign()
    torch.testing.assert_close(luminance_correlation(faint, faint), torch.ones(1))


@pytest.mark.parametrize("metric", BOTH)
def test_images_with_different_channels_are_compared_in_luminance(metric: Callable[[Tensor, Tensor], Tensor]) -> None:
    colour, grey = noise(2, 3, 8, 8, seed=1), noise(2, 1, 8, 8, seed=2)
    luma = 0.299 * colour[:, :1] + 0.587 * colour[:, 1:2] + 0.114 * colour[:, 2:]
    torch.testing.assert_close(metric(colour, grey), metric(luma, grey))
    five = noise(2, 5, 8, 8, seed=3)
    torch.testing.assert_close(metric(five, grey), metric(five.mean(1, keepdim=True), grey))


@pytest.mark.parametrize("metric", BOTH)
def test_images_of_other_count_or_size_are_refused(metric: Callable[[Tensor, Tensor], Tensor]) -> None:
    for other in (noise(2, 3, 8, 9), noise(3, 3, 8, 8), noise(1, 3, 8, 8)):
        with pytest.raises(ValueError, match=r"images \(2, 3, 8, 8\) and originals"):
            metric(noise(2, 3, 8, 8), other)


def test_thumbnails_are_area_averages() -> None:
    images = noise(2, 3, 16, 24)
    by_hand = images.reshape(2, 3, 8, 2, 8, 3).mean(dim=(3, 5)).flatten(1)
    torch.testing.assert_close(thumbnails(images), by_hand)
    for height, width in ((16, 16), (8, 8), (250, 130), (5, 7)):
        assert thumbnails(noise(1, 1, height, width)).shape == (1, 64)


def test_variety_equals_hand_computed_values() -> None:
    reals = torch.tensor([[0.0, 0.0], [3.0, 4.0], [6.0, 8.0]])  # distances 5, 5 and 10
    fakes = torch.tensor([[1.0, 0.0], [1.0, 2.0]])
    assert variety(fakes, reals) == pytest.approx(2 / (20 / 3))
    assert variety(reals + 7, reals) == pytest.approx(1)
    assert variety(fakes[:1].expand(9, 2), reals) == 0


def test_duplicates_among_real_images_count_once() -> None:
    reals = noise(10, 64)
    crowded = torch.cat([reals, reals[:1].expand(100, 64)])
    fakes = 0.3 * noise(10, 64, seed=1)
    assert variety(fakes, crowded) == pytest.approx(variety(fakes, reals))


def test_repeated_outputs_have_low_variety() -> None:
    reals, modes = noise(60, 64), noise(3, 64, seed=1)
    outputs = modes.repeat(40, 1)
    # Two rows differ in two of three cases; pairs of a row with itself do not count.
    assert variety(outputs, reals) == pytest.approx(variety(modes, reals) * (2 / 3) * 120 / 119)


def test_large_sets_are_subsampled_evenly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(diagnostics, "MOST_COMPARED", 4)
    rows = torch.arange(10.0).unsqueeze(1)  # 0, 2, 5, 7 are taken: distances 2, 5, 7, 3, 5, 2
    assert variety(rows, torch.tensor([[0.0], [1.0]])) == pytest.approx(24 / 6)


def test_variety_needs_two_translations_and_two_different_real_images() -> None:
    for fakes, reals in ((noise(1, 64), noise(5, 64)), (noise(5, 64), noise(1, 64).expand(5, 64))):
        assert math.isnan(variety(fakes, reals))


def pattern(period: int, height: int, width: int) -> Tensor:
    """±1 in rows and columns: + − of period 2, + + − − of period 4."""
    signs = torch.tensor([1.0, -1.0]) if period == 2 else torch.tensor([1.0, 1.0, -1.0, -1.0])
    return signs.repeat(height)[:height, None] * signs.repeat(width)[:width]


@pytest.mark.parametrize("period", [2, 4])
@pytest.mark.parametrize("size", [(16, 16), (17, 19), (64, 64), (66, 90), (255, 130)])
@pytest.mark.parametrize("channels", [1, 3])
def test_checkerboard_is_found_at_every_size(period: int, size: tuple[int, int], channels: int) -> None:
    plain = smooth(2, channels, *size)
    found = checkerboard(plain + 0.1 * pattern(period, *size)) - checkerboard(plain)
    assert (checkerboard(plain).abs() < 6).all()
    assert (found > 10).all()


@pytest.mark.parametrize("period", [3, 5, 6, 8, 16])
def test_patterns_of_other_periods_are_ignored(period: int) -> None:
    wave = torch.sin(2 * math.pi * torch.arange(64) / period + 0.4)
    plain = smooth(2)
    assert (checkerboard(plain + 0.1 * (wave + wave[:, None])) - checkerboard(plain) < 3).all()


def test_checkerboard_equals_the_formula() -> None:
    """For one grey 8-bit image; 17 pixels have 16 differences."""
    image = (smooth(1, 1, 17, 17) * 127.5 + 127.5).clamp(0, 255).round() / 127.5 - 1
    found = []
    for values in (image[0, 0].double().numpy(), image[0, 0].double().numpy().T):
        power = (np.abs(np.fft.rfft(np.diff(values, axis=1), axis=1)) ** 2 / 16).mean(0)
        decibels = 10 * np.log10(power + (2 / 255) ** 2 / 12)
        found.append([decibels[4] - decibels[[2, 3, 5, 6]].mean(), decibels[8] - decibels[[6, 7]].mean()])
    assert checkerboard(image).item() == pytest.approx(np.mean(found, axis=0).max(), abs=1e-3)


def test_checkerboard_of_flat_and_tiny_images_is_zero() -> None:
    flat = torch.full((2, 3, 32, 32), 0.3)
    assert checkerboard(flat).tolist() == pytest.approx([0, 0], abs=1e-4)
    faint = flat + 0.1 * (2 / 255) * pattern(2, 32, 32)
    assert checkerboard(faint).tolist() == pytest.approx([0, 0], abs=1e-4)  # a tenth of an 8-bit step
    assert (checkerboard(flat + 2 * (2 / 255) * pattern(2, 32, 32)) > 20).all()
    assert checkerboard(pattern(2, 8, 40).expand(2, 3, 8, 40)).tolist() == [0, 0]
    assert checkerboard(noise(2, 3, 9, 9)).isfinite().all()


def test_checkerboard_separates_transposed_convolutions_from_resizing() -> None:
    torch.manual_seed(0)
    features = smooth(2, 3, 16, 16)
    up = partial(nn.ConvTranspose2d, kernel_size=3, stride=2, padding=1, output_padding=1)
    transposed = nn.Sequential(up(3, 16), nn.ReLU(), up(16, 3))
    resized = nn.Sequential(
        *(nn.Upsample(scale_factor=2), nn.Conv2d(3, 16, 3, padding=1, padding_mode="reflect"), nn.ReLU()),
        *(nn.Upsample(scale_factor=2), nn.Conv2d(16, 3, 3, padding=1, padding_mode="reflect")),
    )
    with torch.no_grad():
        assert (checkerboard(transposed(features)) > 12).all()
        assert (checkerboard(resized(features)) < 6).all()


@pytest.mark.parametrize("half", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_float32(half: torch.dtype) -> None:
    images, originals = smooth(2).to(half), (smooth(2) + 0.1 * noise(2, 3, 64, 64)).to(half)
    for one, other in (
        (change(images, originals), change(images.float(), originals.float())),
        (luminance_correlation(images, originals), luminance_correlation(images.float(), originals.float())),
        (checkerboard(images), checkerboard(images.float())),
        (thumbnails(images), thumbnails(images.float())),
    ):
        assert one.dtype == torch.float32
        assert one.equal(other)
