import re
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from cyclegan.data.augment import Affine
from cyclegan.data.loader import scaled
from cyclegan.data.transforms import TrainingView, half_of, resized
from cyclegan.errors import DataError
from cyclegan.images import RGB, PixelFormat
from cyclegan.images.tensors import to_tensor

Array = NDArray[Any]


def numbered(height: int, width: int) -> Array:
    """An image in which red is the row and green the column of each pixel."""
    rows, columns = np.mgrid[:height, :width].astype(np.uint8)
    return np.stack([rows, columns, np.zeros_like(rows)], axis=-1)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def seen(view: TrainingView, pixels: Array, seed: int = 0, pixel_format: PixelFormat = RGB) -> torch.Tensor:
    """Apply the training view, and scale the image."""
    image = view(view.sized(pixels, pixels.shape[1], pixels.shape[0]), rng(seed), pixel_format)
    return scaled({"A": image}, {"A": pixel_format})["A"]


EDGE = np.repeat([0, 0, 200, 200], 8 * 3).reshape(4, 8, 3).transpose(1, 0, 2)  # 8 rows, two columns dark, two bright
# Doubled, two columns of 0 beside two of 200. Bicubic (a = -0.5) weighs four neighbours, those that lie half
# a quarter pixel away: at distances 1.25, 0.25, 0.75, 1.75 by -0.0703125, 0.8671875, 0.2265625, -0.0234375.
# Only bicubic rings: 0.0703125 of the edge's height beyond it on both sides, and as the fourth neighbour of these
# lies outside the sample, divided by the other three's sum, 1.0234375: 13.7405 of 200.


@pytest.mark.parametrize(
    ("dtype", "scale", "expected"),
    [
        ("uint8", 1, [0, 41, 159, 214]),
        ("uint16", 300, [0, 12187.5, 47812.5, 64122.1]),  # 60000 instead of 200; never through 8 bits
        ("int16", 100, [-1374, 4062.5, 15937.5, 21374]),
        ("float32", 1, [-13.7405, 40.625, 159.375, 213.7405]),
    ],
)
def test_resizing_is_bicubic_in_the_depth_of_the_file(dtype: str, scale: int, expected: list[float]) -> None:
    """0.2265625 - 0.0234375 = 0.203125 of 200 is 40.625, and the rest of it 159.375."""
    enlarged = resized((EDGE * scale).astype(dtype), 8, 8)
    assert enlarged.dtype == dtype
    assert enlarged.shape == (8, 8, 3)
    assert enlarged[3, 2:6, 0].tolist() == pytest.approx(expected, abs=0.51)


@pytest.mark.parametrize(("width", "height"), [(40, 40), (286, 286), (123, 31)])
def test_resizing_equals_pillow_up_to_rounding(width: int, height: int) -> None:
    """The recipe resizes with Pillow: bicubic, and antialiased where images shrink."""
    noise = rng().integers(0, 256, (90, 110, 3), dtype=np.uint8)
    ours = resized(noise, width, height).astype(int)
    # Each direction by itself: newer versions of Pillow begin with the one that is less work, and between the two
    # passes values are rounded and clipped. Of noise, that can be seen.
    across = Image.fromarray(noise).resize((width, 90), Image.Resampling.BICUBIC)
    pillows = np.asarray(across.resize((width, height), Image.Resampling.BICUBIC)).astype(int)
    assert np.abs(ours - pillows).max() <= 2
    assert (ours != pillows).mean() < 0.02


def test_resizing_to_the_present_size_returns_the_image() -> None:
    sample = numbered(6, 5)
    assert resized(sample, 5, 6) is sample


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 7])
def test_channels_are_resized_independently(channels: int) -> None:
    noise = rng().integers(0, 256, (9, 8, channels), dtype=np.uint8)
    together = resized(noise, 5, 6)
    alone = [resized(np.ascontiguousarray(noise[..., i : i + 1]), 5, 6) for i in range(channels)]
    assert np.abs(together.astype(int) - np.concatenate(alone, axis=-1)).max() <= 1


def test_halves_have_one_width_without_a_middle_column() -> None:
    pair = numbered(2, 7)
    assert half_of(pair, "left")[0, :, 1].tolist() == [0, 1, 2]
    assert half_of(pair, "right")[0, :, 1].tolist() == [4, 5, 6]
    assert np.array_equal(half_of(pair, None), pair)


def test_crop_positions_are_uniform() -> None:
    view, sample = TrainingView(None, 3, flip=False), numbered(4, 5)
    corners = [tuple(seen(view, sample, seed)[:2, 0, 0].tolist()) for seed in range(1200)]
    counts = [corners.count(corner) for corner in set(corners)]
    assert len(counts) == 6
    assert min(counts) > 150  # 200 expected, with a deviation of 13


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16])
def test_half_of_the_images_are_flipped(dtype: type) -> None:
    view = TrainingView(None, 2, flip=True)
    sample: Array = numbered(2, 2).astype(dtype)
    mirrored = to_tensor(sample).flip(2)
    assert 440 < sum(seen(view, sample, seed).equal(mirrored) for seed in range(1000)) < 560


def test_the_training_view_is_resize_crop_flip_and_scale() -> None:
    sample = numbered(9, 7)
    views = [seen(TrainingView(load_size=6, crop_size=4, flip=True), sample, seed) for seed in range(8)]
    whole = to_tensor(resized(sample, 6, 6))
    parts = [whole[:, y : y + 4, x : x + 4] for y in range(3) for x in range(3)]
    for view in views:
        assert view.shape == (3, 4, 4)
        assert any(view.equal(part) or view.equal(part.flip(2)) for part in parts)
    assert len({view.numpy().tobytes() for view in views}) > 4


def test_without_flip_the_crops_are_the_same_and_none_is_mirrored() -> None:
    sample = numbered(6, 6)
    for seed in range(8):
        plain = seen(TrainingView(6, 4, flip=False), sample, seed)
        flipped = seen(TrainingView(6, 4, flip=True), sample, seed)
        assert plain[1, 0, 0] < plain[1, 0, 1], "columns run from left to right"
        assert flipped.equal(plain) or flipped.equal(plain.flip(2))


def test_affine_and_jitter_do_not_change_the_crop_and_flip() -> None:
    """So that a run with augmentation is compared with the same run without."""
    sample = rng().integers(0, 256, (9, 9, 3), dtype=np.uint8)
    for seed in range(8):
        plain = seen(TrainingView(None, 5, flip=True), sample, seed)
        still = seen(TrainingView(None, 5, flip=True, affine=Affine(), jitter=lambda image, _: -image), sample, seed)
        assert torch.allclose(still, -plain, atol=1e-5)


def test_the_view_is_a_function_of_the_random_numbers() -> None:
    view = TrainingView(12, 8, flip=True, affine=Affine(20, 0.2, 0.2, 10))
    sample = rng(1).integers(0, 256, (9, 9, 3), dtype=np.uint8)
    assert seen(view, sample, 3).equal(seen(view, sample, 3))
    assert not seen(view, sample, 3).equal(seen(view, sample, 4))


def test_the_view_does_not_change_its_input() -> None:
    view = TrainingView(None, 4, flip=True, affine=Affine(20))
    for dtype in (np.uint8, np.uint16, np.float32):
        planes = numbered(5, 5).transpose(2, 0, 1).astype(dtype).copy()
        before = planes.copy()
        view(planes, rng(), PixelFormat(range=(0, 4)))
        assert np.array_equal(planes, before)


@pytest.mark.parametrize(("value", "expected"), [(0, -1.0), (1000, 0.0), (2000, 1.0), (60000, 1.0)])
def test_the_range_of_a_domain_becomes_minus_one_to_one(value: int, expected: float) -> None:
    pixels = np.full((2, 2, 1), value, np.uint16)
    image = seen(TrainingView(None, 2, flip=False), pixels, pixel_format=PixelFormat(1, range=(0, 2000)))
    assert image.equal(torch.full((1, 2, 2), expected))


def test_whole_images_are_cropped_to_the_size_multiple() -> None:
    view = TrainingView(None, None, flip=False, size_multiple=4)
    assert seen(view, numbered(10, 9)).equal(to_tensor(numbered(10, 9))[:, 1:9, 0:8])
    assert np.array_equal(view.middle(numbered(10, 9).transpose(2, 0, 1)), numbered(10, 9)[1:9, 0:8].transpose(2, 0, 1))


def test_the_centre_crop_of_the_resized_image() -> None:
    planes = numbered(6, 9).transpose(2, 0, 1)
    middle = TrainingView(6, 4, flip=True, resize="short_side").middle(planes)
    assert np.array_equal(middle, planes[:, 1:5, 2:6])
    assert not np.shares_memory(middle, planes)


def test_a_crop_size_above_load_size_is_refused() -> None:
    with pytest.raises(DataError, match=r"crop_size 256 .* load_size 128: set data\.load_size=256 or more"):
        TrainingView(load_size=128, crop_size=256, flip=True)


@pytest.mark.parametrize(
    ("view", "words"),
    [
        (TrainingView(None, 4, True), "too small for a crop of 4×4: set data.load_size=4 or more, or data.crop_size=3"),
        (TrainingView(6, 5, True, "width"), ", resized 6×4, too small for a crop of 5×5: set data.resize=short_side"),
        (TrainingView(None, None, True), "too small for the networks (data.size_multiple): set data.load_size=4"),
    ],
)
def test_an_image_too_small_for_the_crop_is_refused_with_the_remedy(view: TrainingView, words: str) -> None:
    with pytest.raises(DataError, match="the image is 5×3.*" + re.escape(words)):
        seen(view, numbered(3, 5))


def test_an_unknown_resize_is_refused_with_the_available_ones() -> None:
    with pytest.raises(DataError, match="resize is 'fit'; available: stretch, width, short_side"):
        TrainingView(6, 4, True, resize="fit")
