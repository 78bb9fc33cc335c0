from hashlib import blake2b

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cyclegan.data.file_list import Files
from cyclegan.data.sources.portion import limit, portion, split_off
from cyclegan.errors import DataError

names = st.lists(st.text("abc/é\udce9", min_size=1, max_size=12), min_size=2, max_size=60, unique=True)


def chosen(given_names: list[str], count: int) -> set[str]:
    return {given_names[i] for i in portion(Files("/data", given_names), count)}


def test_the_names_with_the_smallest_digests_are_chosen() -> None:
    given_names = ["x/1.png", "x/2.png", "y/é.png", "y/caf\udce9.png", "3.tif"]
    encoded = [b"x/1.png", b"x/2.png", b"y/\xc3\xa9.png", b"y/caf\xe9.png", b"3.tif"]
    digests = [blake2b(name, digest_size=8).digest() for name in encoded]
    for count in range(6):
        expected = sorted(sorted(range(5), key=digests.__getitem__)[:count])
        assert portion(Files("/data", given_names), count).tolist() == expected


def test_the_choice_is_the_same_on_every_machine_and_in_every_version() -> None:
    """Otherwise images that a run validates on would be among those that it goes on to train with."""
    assert portion(Files("/data", (f"{i}.png" for i in range(20))), 4).tolist() == [1, 15, 16, 19]


@given(names, st.data())
def test_the_choice_has_the_size_asked_for_and_does_not_depend_on_the_order(
    given_names: list[str], data: st.DataObject
) -> None:
    count = data.draw(st.integers(0, len(given_names)))
    found = chosen(given_names, count)
    assert len(found) == count
    assert chosen(data.draw(st.permutations(given_names)), count) == found


@given(names, st.data())
def test_an_image_that_is_added_takes_the_place_of_one_at_most(given_names: list[str], data: st.DataObject) -> None:
    count = data.draw(st.integers(0, len(given_names)))
    before, after = chosen(given_names, count), chosen([*given_names, "new"], count)
    assert len(before - after) <= 1
    assert after - before <= {"new"}


def test_the_choice_is_spread_evenly() -> None:
    """Each of ten folders gives about a tenth of 1000; five standard deviations of the binomial distribution are 46."""
    many = [f"{folder}/{i}.png" for folder in range(10) for i in range(1000)]
    counts = np.bincount(portion(Files("/data", many), 1000) // 1000, minlength=10)
    assert counts.sum() == 1000
    assert (abs(counts - 100) < 46).all()


@given(names, st.floats(0.001, 0.999))
def test_a_share_is_split_off_and_both_keep_the_order(given_names: list[str], share: float) -> None:
    train, val = split_off(Files("/data", given_names), share)
    assert len(val) == min(max(round(share * len(given_names)), 1), len(given_names) - 1)
    in_val = set(val.names())
    assert list(val.names()) == [name for name in given_names if name in in_val]
    assert list(train.names()) == [name for name in given_names if name not in in_val]


def test_domains_with_the_same_names_are_split_alike() -> None:
    a, b = (split_off(Files(f"/data/train{domain}", map(str, range(50))), 0.2)[1] for domain in "AB")
    assert list(a.names()) == list(b.names())
    assert len(a) == 10


@given(names, st.integers(1, 80))
def test_a_limit_keeps_the_order(given_names: list[str], count: int) -> None:
    files = Files("/data", given_names)
    some = limit(files, count)
    assert len(some) == min(count, len(given_names))
    assert (some is files) == (count >= len(files)), "of a million, no copy is made in vain"
    kept = set(some.names())
    assert list(some.names()) == [name for name in given_names if name in kept]
    assert kept == chosen(given_names, count)


def test_says_what_cannot_be_split_or_limited() -> None:
    for share in (0.0, 1.0, -0.1, 10.0, float("nan")):
        with pytest.raises(DataError, match=rf"{share} of the images cannot be set aside .* between 0 and 1"):
            split_off(Files("/data", ["a", "b"]), share)
    with pytest.raises(DataError, match=r"1 image of trainA cannot be split"):
        split_off(Files("/data/trainA", ["a"]), 0.5)
    with pytest.raises(DataError, match=r"0 is no number of images"):
        limit(Files("/data", ["a"]), 0)
