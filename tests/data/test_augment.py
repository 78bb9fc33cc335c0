import math

import numpy as np
import pytest
import torch
from torch import Tensor
from torchvision.transforms.v2 import functional as torchvision_colours

from cyclegan.data.augment import Affine, ColourJitter
from cyclegan.errors import DataError


class Fixed(np.random.Generator):
    """A generator whose uniform() always returns the same values."""

    def __init__(self, *values: float) -> None:
        super().__init__(np.random.PCG64(0))
        self.values = values

    def uniform(self, *_: object, **__: object) -> np.ndarray:  # type: ignore[override]
        return np.array(self.values)


def smooth(height: int = 33, width: int = 41) -> Tensor:
    """One channel of slow waves, which interpolation preserves."""
    y, x = torch.meshgrid(torch.arange(height) / 8.0, torch.arange(width) / 8.0, indexing="ij")
    return (torch.sin(x) * torch.cos(y))[None] * 0.9


WHOLE = (0, 0, 41, 33)


def test_the_middle_of_every_range_is_the_identity() -> None:
    moved = Affine(20, 0.2, 0.2, 10)(smooth(), WHOLE, Fixed(0, 0, 0, 0, 0))
    assert torch.allclose(moved, smooth(), atol=1e-5)


def test_a_shift_is_a_share_of_the_width_and_height() -> None:
    affine = Affine(translate=0.2)
    moved = affine(smooth(30, 40), (0, 0, 40, 30), Fixed(0, 0, 1, 0.5, 0))  # 8 pixels right, 3 down
    assert torch.allclose(moved[:, 3:, 8:], smooth(30, 40)[:, :-3, :-8], atol=1e-4)


def test_a_quarter_turn_is_exact() -> None:
    square = torch.arange(9.0).reshape(1, 3, 3) / 10
    turned = Affine(degrees=90)(square, (0, 0, 3, 3), Fixed(1, 0, 0, 0, 0))
    assert torch.allclose(turned, torch.rot90(square, -1, (1, 2)), atol=1e-5)  # clockwise: y points down


def test_a_zoom_enlarges_about_the_middle() -> None:
    affine = Affine(scale=0.5)
    zoomed = affine(smooth(), WHOLE, Fixed(0, 0, 0, 0, 1))
    assert zoomed[0, 16, 20].item() == pytest.approx(smooth()[0, 16, 20].item(), abs=1e-4)
    # A pixel 4 from the middle moves to 4 · 1.5 = 6 from it.
    assert zoomed[0, 16, 26].item() == pytest.approx(smooth()[0, 16, 24].item(), abs=1e-4)
    assert zoomed[0, 22, 20].item() == pytest.approx(smooth()[0, 20, 20].item(), abs=1e-4)


def test_the_matrix_undoes_rotation_shear_and_scale() -> None:
    """forward = scale · rotation · shear, written out with numpy."""
    affine = Affine(degrees=30, shear=20, scale=0.3)
    inverse, _ = affine.draw(Fixed(0.5, -1, 0, 0, 1))
    turn, slope = math.radians(15), math.tan(math.radians(-20))
    rotation = np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])
    forward = 1.3 * rotation @ np.array([[1, slope], [0, 1]])
    assert np.allclose(np.array(inverse) @ forward, np.eye(2))


def test_the_window_is_cropped_from_the_transformed_image() -> None:
    affine, fixed = Affine(10, 0.1, 0.1, 5), Fixed(0.3, -0.2, 0.9, 0.5, -0.7)
    whole = affine(smooth(), WHOLE, fixed)
    assert torch.allclose(affine(smooth(), (5, 7, 20, 10), fixed), whole[:, 7:17, 5:25], atol=1e-6)


def test_borders_are_reflected_and_not_black() -> None:
    white = torch.ones(3, 8, 8)
    assert Affine(45, 0.3, 0.3, 20)(white, (0, 0, 8, 8), Fixed(1, 1, 1, 1, -1)).min() > 0.999


def test_colour_changes_equal_those_of_torchvision() -> None:
    image = torch.rand(3, 5, 6, generator=torch.Generator().manual_seed(0)) * 2 - 1
    jittered = ColourJitter(0.2, 0.3, 0.4, 0.1)(image, Fixed(0.5, -1, 1, 0.5))
    expected = (image + 1) / 2
    expected = torchvision_colours.adjust_brightness(expected, 1.1)
    expected = torchvision_colours.adjust_contrast(expected, 0.7)
    expected = torchvision_colours.adjust_saturation(expected, 1.4)
    expected = torchvision_colours.adjust_hue(expected, 0.05)
    assert torch.allclose(jittered, expected * 2 - 1, atol=1e-5)


def test_brightness_is_a_factor_on_zero_to_one() -> None:
    grey = torch.zeros(1, 2, 2)  # 0.5 of 0..1
    assert torch.allclose(ColourJitter(brightness=0.2)(grey, Fixed(1, 0, 0, 0)), torch.full((1, 2, 2), 0.2))


@pytest.mark.parametrize("channels", [1, 3])
def test_without_strength_nothing_changes_and_values_stay_in_range(channels: int) -> None:
    image = torch.rand(channels, 4, 4, generator=torch.Generator().manual_seed(1)) * 2 - 1
    assert torch.allclose(ColourJitter()(image, np.random.default_rng(0)), image, atol=1e-6)
    strong = ColourJitter(0.9, 0.9, 0.9, 0.5)(image, np.random.default_rng(0))
    assert strong.abs().max() <= 1
    assert not torch.allclose(strong, image, atol=0.01)


def test_jitter_refuses_other_channel_counts() -> None:
    with pytest.raises(DataError, match=r"not 5 channels: set data\.jitter=null"):
        ColourJitter(0.1)(torch.zeros(5, 2, 2), np.random.default_rng(0))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Affine(degrees=200), r"affine\.degrees is 200; .* to 180"),
        (lambda: Affine(shear=-1), r"affine\.shear is -1"),
        (lambda: Affine(translate=2), r"affine\.translate is 2; it must be from 0 \(off\) to 1"),
        (lambda: Affine(scale=-0.1), r"affine\.scale is -0\.1"),
        (lambda: ColourJitter(contrast=1.5), r"jitter\.contrast is 1\.5"),
        (lambda: ColourJitter(hue=0.6), r"jitter\.hue is 0\.6; .* 0\.5"),
    ],
)
def test_values_out_of_range_are_refused(make: object, words: str) -> None:
    with pytest.raises(DataError, match=words):
        make()  # type: ignore[operator]
