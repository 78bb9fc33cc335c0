import re

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from cyclegan.data.index import DataError
from cyclegan.data.transforms import TrainingView, evaluation_view, random_crop, random_flip, resize
from cyclegan.images import to_tensor


def numbered(height: int, width: int) -> Image.Image:
    """A picture in which every pixel tells its row (red) and column (green)."""
    rows, columns = np.mgrid[:height, :width].astype(np.uint8)
    return Image.fromarray(np.stack([rows, columns, np.zeros_like(rows)], axis=-1))


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_resize_is_bicubic_on_8_bits_and_does_not_keep_proportions() -> None:
    edge = Image.new("RGB", (4, 8))
    edge.paste((200, 200, 200), (2, 0, 4, 8))
    enlarged = resize(edge, 8)
    assert enlarged.size == (8, 8)
    # Doubled, two columns of 0 beside two of 200. Bicubic (a = -0.5) weighs four neighbours, those that lie half
    # a quarter pixel away: at distances 1.25, 0.25, 0.75, 1.75 by -0.0703125, 0.8671875, 0.2265625, -0.0234375.
    # Only bicubic rings: 200·(1 + 0.0703125) = 214.0625 just inside the edge, clipped below 0 just outside.
    assert np.asarray(enlarged)[3, 3:6, 0].tolist() == [41, 159, 214]
    assert evaluation_view(edge, 8).equal(to_tensor(enlarged))


def test_resize_leaves_a_picture_of_that_size_as_it_is() -> None:
    picture = numbered(6, 6)
    assert resize(picture, 6) is picture


@given(st.integers(0, 10**6), st.integers(1, 5), st.integers(1, 7))
def test_a_crop_is_a_part_of_the_picture(seed: int, size: int, width: int) -> None:
    picture = numbered(5, max(width, size))
    crop = np.asarray(random_crop(picture, size, rng(seed)))
    top, left = int(crop[0, 0, 0]), int(crop[0, 0, 1])
    assert np.array_equal(crop, np.asarray(picture)[top : top + size, left : left + size])


def test_crops_reach_every_place_equally_often() -> None:
    generator = rng()
    corners = [np.asarray(random_crop(numbered(4, 5), 3, generator))[0, 0, :2].tolist() for _ in range(1200)]
    counts = [corners.count([top, left]) for top in range(2) for left in range(3)]
    assert sum(counts) == 1200
    assert min(counts) > 150  # 200 expected, with a deviation of 13


def test_flips_every_other_time() -> None:
    generator = rng()
    picture, mirrored = numbered(1, 2), [[[0, 1, 0], [0, 0, 0]]]
    flips = [np.asarray(random_flip(picture, generator)).tolist() == mirrored for _ in range(1000)]
    assert 440 < sum(flips) < 560


def test_the_training_view_is_resize_crop_flip_and_scale() -> None:
    picture = numbered(9, 7)
    views = [TrainingView(load_size=6, crop_size=4, flip=True)(picture, rng(seed)) for seed in range(8)]
    resized = to_tensor(resize(picture, 6))
    parts = [resized[:, y : y + 4, x : x + 4] for y in range(3) for x in range(3)]
    for view in views:
        assert view.shape == (3, 4, 4)
        assert any(view.equal(part) or view.equal(part.flip(2)) for part in parts)
    assert len({view.numpy().tobytes() for view in views}) > 4


def test_without_flip_the_crops_are_the_same_and_none_is_mirrored() -> None:
    picture = numbered(6, 6)
    for seed in range(8):
        plain = TrainingView(6, 4, flip=False)(picture, rng(seed))
        flipped = TrainingView(6, 4, flip=True)(picture, rng(seed))
        assert plain[1, 0, 0] < plain[1, 0, 1], "columns run from left to right"
        assert flipped.equal(plain) or flipped.equal(plain.flip(2))


def test_load_size_may_equal_crop_size() -> None:
    picture = numbered(4, 4)
    assert TrainingView(4, 4, flip=False)(picture, rng()).equal(to_tensor(picture))


def test_the_ends_of_the_range_are_reached() -> None:
    white = TrainingView(None, 2, flip=False)(Image.new("RGB", (2, 2), "white"), rng())
    assert white.equal(torch.ones(3, 2, 2))


def test_a_crop_that_cannot_fit_is_refused_before_training() -> None:
    with pytest.raises(DataError, match=r"crop_size 256 .* load_size 128: set data\.load_size=256 or more"):
        TrainingView(load_size=128, crop_size=256, flip=True)


def test_a_picture_too_small_for_the_crop_is_refused_with_the_remedy() -> None:
    remedy = re.escape("5×3, too small for a crop of 4×4: set data.crop_size=3 or less, or data.load_size=4 or more")
    with pytest.raises(DataError, match=remedy):
        TrainingView(load_size=None, crop_size=4, flip=True)(numbered(3, 5), rng())
