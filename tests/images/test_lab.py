import pytest
import torch
from torch import Tensor

from cyclegan.images.lab import lab_to_rgb, rgb_to_lab


def image(*colours: tuple[float, ...]) -> Tensor:
    """An image (3, 1, N) in [-1, 1] of these colours of 8 bits."""
    return torch.tensor(colours, dtype=torch.float64).T[:, None] / 127.5 - 1


def lab(images: Tensor) -> list[float]:
    """L, a and b of the first pixel, in the units of CIE."""
    lightness, a, b = rgb_to_lab(images)[:, 0, 0].tolist()
    return [(lightness + 1) * 50, a * 110, b * 110]


@pytest.mark.parametrize(
    ("colour", "expected"),
    [
        ((255, 0, 0), (53.24, 80.09, 67.20)),
        ((0, 255, 0), (87.74, -86.18, 83.18)),
        ((0, 0, 255), (32.30, 79.19, -107.86)),
        ((255, 255, 255), (100, 0, 0)),
        ((119, 119, 119), (50.03, 0, 0)),
        ((0, 0, 0), (0, 0, 0)),
    ],
)
def test_known_colours(colour: tuple[int, ...], expected: tuple[float, ...]) -> None:
    assert lab(image(colour)) == pytest.approx(expected, abs=0.01)


def test_the_formula_of_cie_written_out() -> None:
    """(36, 200, 3) has channels on both sides of the end of sRGB's linear part, 0.04045 · 255 = 10.3."""
    red, green, blue = ((36 / 255 + 0.055) / 1.055) ** 2.4, ((200 / 255 + 0.055) / 1.055) ** 2.4, 3 / 255 / 12.92
    x = (0.412453 * red + 0.357580 * green + 0.180423 * blue) / 0.95047
    y = 0.212671 * red + 0.715160 * green + 0.072169 * blue
    z = (0.019334 * red + 0.119193 * green + 0.950227 * blue) / 1.08883
    root_x, root_y, root_z = x ** (1 / 3), y ** (1 / 3), z ** (1 / 3)
    expected = (116 * root_y - 16, 500 * (root_x - root_y), 200 * (root_y - root_z))
    assert lab(image((36, 200, 3))) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("shape", [(3, 40, 40), (2, 3, 20, 40)])
def test_a_round_trip_keeps_every_value_of_8_bits(shape: tuple[int, ...]) -> None:
    stored = torch.randint(0, 256, shape, generator=torch.Generator().manual_seed(0))
    back = lab_to_rgb(rgb_to_lab(stored / 127.5 - 1))
    assert back.shape == shape
    assert ((back + 1) * 127.5 - stored).abs().max() < 0.01


def test_colours_outside_the_gamut_are_clipped() -> None:
    violet, green = torch.tensor([[0.0, 1, -1], [0.6, -1, 1]])[..., None, None]
    assert lab_to_rgb(violet)[1:].flatten().tolist() == pytest.approx([-1, 1])
    assert lab_to_rgb(green)[[0, 2]].flatten().tolist() == pytest.approx([-1, -1])
