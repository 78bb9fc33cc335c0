import logging
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from cyclegan.images import PixelFormat, decode
from cyclegan.images.colour_profile import to_srgb
from tests.images.hand_made import icc_profile


@pytest.mark.parametrize(
    ("gamma", "value", "expected"),
    [
        (1.0, 128, 188),  # 1.055 · (128/255)^(1/2.4) - 0.055 = 0.7368
        (1.0, 26, 91),  # 1.055 · (26/255)^(1/2.4) - 0.055 = 0.3527
        (3.0, 128, 99),  # light is (128/255)³ = 0.1265; 1.055 · 0.1265^(1/2.4) - 0.055 = 0.3905
    ],
)
def test_profile_is_converted_to_srgb(gamma: float, value: int, expected: int) -> None:
    grey = np.full((2, 3, 3), value, np.uint8)
    found = to_srgb(grey, icc_profile(gamma=gamma), "x.png")
    assert np.abs(found.astype(int) - expected).max() <= 1


@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "AVIF"])
def test_profiles_of_other_formats_are_applied(kind: str) -> None:
    """Red and blue of this profile are sRGB's blue and red."""
    file = BytesIO()
    Image.new("RGB", (16, 16), (250, 128, 60)).save(file, kind, quality=100, icc_profile=icc_profile("bgr", 2.2))
    pixels = decode(file.getvalue(), "x").astype(int)
    assert np.abs(pixels - (57, 129, 250)).max() <= 6  # 1.055 · (60/255)^(2.2/2.4) - 0.055 = 0.225


def test_alpha_is_unchanged() -> None:
    file = BytesIO()
    Image.new("RGBA", (1, 1), (128, 0, 255, 7)).save(file, "PNG", icc_profile=icc_profile())
    assert decode(file.getvalue(), "x.png", PixelFormat(channels=4)).tolist() == [[[188, 0, 255, 7]]]


@pytest.mark.parametrize(
    ("profile", "dtype", "words"),
    [(b"no profile", np.uint8, "cannot be used"), (icc_profile(), np.uint16, "is not applied to uint16")],
)
def test_unusable_profile_is_logged_once(
    profile: bytes, dtype: type, words: str, caplog: pytest.LogCaptureFixture
) -> None:
    pixels: NDArray[Any] = np.full((1, 1, 3), 99, dtype)
    with caplog.at_level(logging.WARNING, "cyclegan"):
        for name in ("first.png", "second.png"):
            assert to_srgb(pixels, profile, name) is pixels
    (line,) = caplog.messages
    assert line.startswith("profile   first.png: its ICC profile")
    assert words in line
