"""Where the images of a cache lie, and by what its file is known."""

import numpy as np
import pytest

from cyclegan.data.cache import Plan
from cyclegan.data.cache.plan import distinct
from cyclegan.errors import DataError


def test_images_of_one_shape_follow_each_other_in_equal_steps() -> None:
    plan = Plan.equal("k", 3, (3, 5, 7), "uint8")
    # A header of 512 bytes, three marks of 8 and up to the next 64: 576. An image of 105 bytes takes 128.
    assert list(plan.offsets) == [576, 704, 832]
    assert plan.size == 960
    assert [plan.shape(i) for i in range(len(plan))] == [(3, 5, 7)] * 3


def test_images_of_many_shapes_lie_as_close() -> None:
    plan = Plan("k", np.array([[1, 2, 3], [3, 5, 7], [1, 1, 1]], np.int32), "uint16")
    assert list(plan.offsets) == [576, 576 + 64, 576 + 64 + 256]  # 12, 210 and 2 bytes
    assert plan.size == 576 + 64 + 256 + 64
    assert plan.shape(1) == (3, 5, 7)


def test_large_images_do_not_overflow() -> None:
    plan = Plan("k", np.array([[3, 40_000, 40_000]] * 2, np.int32), "float32")
    assert plan.offsets[1] - plan.offsets[0] == 3 * 40_000 * 40_000 * 4


def test_a_plan_is_the_same_whichever_way_it_is_said() -> None:
    equal, listed = Plan.equal("k", 4, (3, 5, 7), "uint8"), Plan("k", np.full((4, 3), (3, 5, 7)), "uint8")
    assert equal.header == listed.header
    assert list(equal.offsets) == list(listed.offsets)
    assert equal.size == listed.size


def test_a_header_tells_every_difference() -> None:
    shapes = np.array([[3, 5, 7], [3, 7, 5]])
    plans = [
        Plan("k", shapes, "uint8"),
        Plan("l", shapes, "uint8"),
        Plan("k", shapes[::-1], "uint8"),
        Plan("k", np.concatenate([shapes, shapes]), "uint8"),
        Plan("k", shapes, "uint16"),
    ]
    assert len({plan.header for plan in plans}) == 5
    assert {len(plan.header) for plan in plans} == {512}


@pytest.mark.parametrize("key", ["", "../up", "a b", "a/b", "x" * 129])
def test_a_key_is_part_of_a_file_name(key: str) -> None:
    with pytest.raises(ValueError, match="letters, digits"):
        Plan.equal(key, 1, (3, 5, 7), "uint8")


def test_wrong_shapes_and_types_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\(N, 3\) of 1 and more"):
        Plan("k", np.array([[3, 0, 5]]), "uint8")
    with pytest.raises(ValueError, match=r"\(N, 3\) of 1 and more"):
        Plan("k", np.array([3, 4, 5]), "uint8")
    with pytest.raises(ValueError, match="uint8, uint16, int16, float32, not int64"):
        Plan.equal("k", 1, (3, 5, 7), "int64")


def test_pixels_have_to_be_as_planned() -> None:
    plan = Plan.equal("k", 1, (3, 5, 7), "uint8")
    with pytest.raises(DataError, match=r"is 3×7×5 uint8, and the cache was laid out for 3×5×7 uint8"):
        plan.checked(0, np.zeros((3, 7, 5), np.uint8))
    with pytest.raises(DataError, match=r"is 3×5×7 float32"):
        plan.checked(0, np.zeros((3, 5, 7), np.float32))


def test_two_domains_may_have_one_plan_but_not_one_key_for_two() -> None:
    a, b, other = (Plan.equal(key, count, (3, 5, 7), "uint8") for key, count in (("b", 1), ("a", 1), ("a", 2)))
    assert [plan.key for plan in distinct([a, b, a])] == ["a", "b"]
    with pytest.raises(ValueError, match="two different caches have the key a"):
        distinct([b, other])
