from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cyclegan.data.draw import Aligned, Independent, Item, Order, augmentation_rng
from cyclegan.data.file_list import Files
from cyclegan.errors import DataError

seeds = st.integers(0, 2**32 - 1)
counts = st.integers(1, 40)


def order(count: int, seed: int = 0, domain: str = "A") -> Order:
    return Order(seed, domain, Files("trainA", [f"{i}.png" for i in range(count)]))


@settings(max_examples=25)
@given(seeds, counts, st.integers(0, 5))
def test_every_file_is_used_equally_often(seed: int, count: int, cycles: int) -> None:
    indices = order(count, seed)
    used = Counter(indices[t] for t in range(cycles * count))
    assert used == dict.fromkeys(range(count) if cycles else (), cycles)


@settings(max_examples=25)
@given(seeds, counts, st.lists(st.integers(0, 10**9), min_size=1, max_size=5))
def test_the_order_is_a_function_of_seed_domain_and_position(seed: int, count: int, positions: list[int]) -> None:
    """Also when positions are requested in another order: every worker requests other positions."""
    used = order(count, seed)
    assert [used[t] for t in positions] == [order(count, seed)[t] for t in positions]
    assert [used[t] for t in reversed(positions)] == [order(count, seed)[t] for t in reversed(positions)]
    one, other = augmentation_rng(seed, "A", positions[0]), augmentation_rng(seed, "A", positions[0])
    assert one.random(4).tolist() == other.random(4).tolist()


def test_the_order_equals_that_of_earlier_versions() -> None:
    """A run of an earlier version resumes with the next images."""
    assert [order(7, seed=3)[t] for t in range(14)] == [4, 2, 1, 3, 6, 5, 0, 6, 1, 2, 5, 4, 3, 0]


def test_cycles_domains_and_seeds_have_orders_of_their_own() -> None:
    orders = {
        tuple(order(50, seed, domain)[cycle * 50 + i] for i in range(50))
        for seed in (0, 1)
        for domain in "AB"
        for cycle in (0, 1)
    }
    assert len(orders) == 8


def test_two_permutations_are_kept_at_most() -> None:
    indices = order(5)
    for position in range(40):
        indices[position]
    assert sorted(indices._permutations) == [6, 7]


def test_random_numbers_differ_between_seeds_domains_and_positions() -> None:
    # Keys are padded with zeros inside numpy, so that [0, A] and [0, A, 0] would be one stream.
    streams = {
        augmentation_rng(seed, domain, position).random()
        for seed in (0, 1)
        for domain in "AB"
        for position in range(50)
    }
    assert len(streams) == 200


# ---------------------------------------------------------------------------------------------- independent and aligned


def files(label: str, *names: str) -> Files:
    return Files(label, names)


def test_independent_domains_have_orders_and_augmentations_of_their_own() -> None:
    domains = {domain: files(f"train{domain}", *(f"{i}.png" for i in range(6))) for domain in "AB"}
    draw = Independent(domains, seed=3)
    for position in range(12):
        items = draw(position)
        assert [(item.domain, item.group) for item in items] == [("A", "A"), ("B", "B")]
        assert [item.number for item in items] == [order(6, 3, domain)[position] for domain in "AB"]
    assert draw.following([Item("A", 5, "A")]) == [Item("A", 0, "A")]


def test_aligned_domains_are_paired_by_name_in_one_order() -> None:
    """The files of B have other extensions and another order."""
    domains = {"A": files("trainA", "a.png", "b.png", "c.png"), "B": files("trainB", "c.jpg", "a.jpg", "b.png")}
    draw = Aligned(domains, seed=3)
    used = []
    for position in range(6):
        items = draw(position)
        assert [item.domain for item in items] == ["A", "B"]
        assert len({item.group for item in items}) == 1
        a, b = (domains[item.domain][item.number] for item in items)
        assert a.split("/")[-1][0] == b.split("/")[-1][0]
        used.append(items[0].number)
    assert sorted(used) == [0, 0, 1, 1, 2, 2]
    assert [item.number for item in draw.following([Item("A", 2, "aligned"), Item("B", 0, "aligned")])] == [0, 1]


def test_halves_of_one_file_are_aligned_whatever_their_names() -> None:
    both = files("train", "1.jpg", "1.png")
    assert [item.number for item in Aligned({"A": both, "B": both}, 0)(0)] in ([0, 0], [1, 1])


def test_an_image_without_a_partner_is_refused_by_name() -> None:
    domains = {"A": files("trainA", "a.png", "b.png", "c.png"), "B": files("trainB", "b.png", "d.png")}
    words = (
        r"3 have none or several: trainA/a\.png, trainA/c\.png, trainB/d\.png\. Domain A has 3 images, domain B 2\. "
        r"Give partners the same name, or set data\.draw=independent"
    )
    with pytest.raises(DataError, match=words):
        Aligned(domains, 0)
