"""The image pool: what it returns and keeps, image by image."""

import pytest
import torch
from torch import Tensor

from cyclegan.image_pool import ImagePool


def numbered(*values: int) -> Tensor:
    """1×1×1 images that are told apart by their value."""
    return torch.tensor(values, dtype=torch.float32).reshape(-1, 1, 1, 1)


def test_returns_the_new_images_while_it_fills() -> None:
    pool = ImagePool(4)
    assert pool.query(numbered(1, 2, 3)).flatten().tolist() == [1, 2, 3]
    assert len(pool) == 3


def test_fills_up_in_the_middle_of_a_batch() -> None:
    # The rule is per image: the first two of this batch are stored, the others already meet a full pool.
    pool = ImagePool(2, seed=0)
    out = pool.query(numbered(*range(1, 101))).flatten().tolist()
    assert out[:2] == [1, 2]
    assert out[2:] != list(range(3, 101)), "a full pool returns some earlier images"
    assert len(pool) == 2


def test_exchanges_each_image_of_a_batch_by_itself() -> None:
    # Per batch, all of a batch would be old or all new; per image, a batch of 100 holds both.
    pool = ImagePool(50)
    pool.query(numbered(*[0] * 50))
    out = pool.query(numbered(*range(1, 101))).flatten()
    kept = (out == torch.arange(1.0, 101.0)).sum().item()
    assert 20 < kept < 80


def test_full_pool_follows_the_rule_step_by_step() -> None:
    # The rule of RECIPE written out once more, with the same random numbers.
    pool, rng = ImagePool(3, seed=7), torch.Generator().manual_seed(7)
    stored: list[int] = []
    for value in range(40):
        if len(stored) < 3:
            stored.append(value)
            expected = value
        elif torch.rand((), generator=rng) < 0.5:
            expected = value
        else:
            slot = int(torch.randint(3, (), generator=rng))
            expected, stored[slot] = stored[slot], value
        assert pool.query(numbered(value)).item() == expected


def test_returns_half_old_and_half_new_in_the_long_run() -> None:
    pool = ImagePool(50, seed=1)
    pool.query(numbered(*range(50)))
    new = sum(pool.query(numbered(value)).item() == value for value in range(50, 2050))
    assert new / 2000 == pytest.approx(0.5, abs=0.05)  # more than four standard deviations


def test_size_zero_is_off_and_gradients_never_pass() -> None:
    images = numbered(1, 2).requires_grad_()
    assert torch.equal(ImagePool(0).query(images), images)
    assert not ImagePool(0).query(images).requires_grad
    assert not ImagePool(5).query(images).requires_grad


def test_keeps_its_own_copy() -> None:
    pool, image = ImagePool(1, seed=0), numbered(5)
    pool.query(image)
    image.fill_(-1)
    seen = {pool.query(numbered(6)).item() for _ in range(20)}
    assert seen <= {5, 6}


def test_continues_from_its_state() -> None:
    one = ImagePool(5, seed=3)
    one.query(numbered(*range(9)))
    other = ImagePool(5, seed=99)
    other.load_state_dict(one.state_dict(), torch.device("cpu"))
    following = numbered(*range(20, 60))
    assert torch.equal(one.query(following), other.query(following))


def test_negative_size_is_refused() -> None:
    with pytest.raises(ValueError, match="pool_size is -1"):
        ImagePool(-1)
