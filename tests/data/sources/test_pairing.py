from hypothesis import given
from hypothesis import strategies as st

from cyclegan.data.file_list import Files
from cyclegan.data.sources.pairing import paired_names


def test_names_agree_but_for_the_ending() -> None:
    a = Files("/data/testA", ["1.png", "x/1.png", "x/2.PNG", "x/y.1.png", "only_a.png"])
    b = Files("/data/testB", ["only_b.jpg", "x/2.jpg", "x/y.1.jpg", "x/y.2.jpg", "1.jpg", "y/1.jpg"])
    assert paired_names(a, b) == [(0, 4), (2, 1), (3, 2)]


def test_names_that_a_domain_has_twice_are_left_out() -> None:
    twice = Files("/data/testA", ["1.png", "1.jpg", "2.png", "x/1.png", "1.tif"])
    once = Files("/data/testB", ["1.png", "2.png", "x/1.jpg"])
    assert paired_names(twice, once) == [(2, 1), (3, 2)]
    assert paired_names(once, twice) == [(1, 2), (2, 3)]
    assert paired_names(twice, twice) == [(2, 2), (3, 3)]


@given(st.permutations(range(20)), st.permutations(range(20)))
def test_a_pair_is_found_wherever_it_stands(order_a: list[int], order_b: list[int]) -> None:
    a, b = Files("/a", (f"{i}.png" for i in order_a)), Files("/b", (f"{i}.jpg" for i in order_b))
    pairs = paired_names(a, b)
    assert [i for i, _ in pairs] == list(range(20))
    assert all(order_a[i] == order_b[j] for i, j in pairs)
