import pytest
import torch
from torch import Tensor

from cyclegan.image_pool import ImagePool


def numbered(*values: int) -> Tensor:
    """Return 1×1×1 images, each filled with its value."""
    return torch.tensor(values, dtype=torch.float32).reshape(-1, 1, 1, 1)


def test_query_follows_the_rule_for_each_image_of_a_batch() -> None:
    """The first images are stored and returned; a full pool returns a stored image in half of the cases."""
    pool, rng = ImagePool(3, seed=7), torch.Generator().manual_seed(7)
    stored: list[int] = []
    expected = []
    for value in range(40):
        if len(stored) < 3:
            stored.append(value)
            expected.append(value)
        elif torch.rand((), generator=rng) < 0.5:
            expected.append(value)
        else:
            slot = int(torch.randint(3, (), generator=rng))
            expected.append(stored[slot])
            stored[slot] = value
    returned = [image for batch in numbered(*range(40)).split(4) for image in pool.query(batch).flatten().tolist()]
    assert returned == expected
    assert len(pool) == 3


def test_size_zero_returns_its_input_and_gradients_never_pass() -> None:
    images = numbered(1, 2).requires_grad_()
    assert torch.equal(ImagePool(0).query(images), images)
    assert not ImagePool(0).query(images).requires_grad
    assert not ImagePool(5).query(images).requires_grad


def test_pool_stores_copies() -> None:
    pool, image = ImagePool(1, seed=0), numbered(5)
    pool.query(image)
    image.fill_(-1)
    assert {pool.query(numbered(6)).item() for _ in range(20)} <= {5, 6}


def test_pool_continues_from_its_state() -> None:
    one = ImagePool(5, seed=3)
    one.query(numbered(*range(9)))
    other = ImagePool(5, seed=99)
    other.load_state_dict(one.state_dict(), torch.device("cpu"))
    following = numbered(*range(20, 60))
    assert torch.equal(one.query(following), other.query(following))


def test_negative_size_is_refused() -> None:
    with pytest.raises(ValueError, match="pool_size is -1"):
        ImagePool(-1)
