from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cyclegan.data.file_list import Files, find_files
from cyclegan.data.selection import (
    Fingerprint,
    choose_by_hash,
    fingerprint,
    limit,
    paired_names,
    require_same_files,
    train_val_split,
)
from cyclegan.errors import DataError

names = st.lists(st.text("abc/é\udce9", min_size=1, max_size=12), min_size=2, max_size=60, unique=True)


DOMAINS = ("A", "B")


def chosen(given_names: list[str], count: int) -> set[str]:
    return {given_names[i] for i in choose_by_hash(Files("/data", given_names), count)}


def test_the_choice_is_the_same_on_every_machine_and_in_every_version() -> None:
    """Otherwise a resumed run would train with images that it validates on."""
    assert choose_by_hash(Files("/data", (f"{i}.png" for i in range(20))), 4).tolist() == [1, 15, 16, 19]


@settings(max_examples=25)
@given(names, st.data())
def test_the_choice_depends_on_no_order_and_an_added_image_replaces_at_most_one(
    given_names: list[str], data: st.DataObject
) -> None:
    count = data.draw(st.integers(0, len(given_names)))
    found = chosen(given_names, count)
    assert len(found) == count
    assert chosen(data.draw(st.permutations(given_names)), count) == found
    after = chosen([*given_names, "new"], count)
    assert len(found - after) <= 1
    assert after - found <= {"new"}


@settings(max_examples=25)
@given(names, st.floats(0.001, 0.999), st.integers(1, 80))
def test_splits_and_limits_keep_the_order(given_names: list[str], share: float, count: int) -> None:
    files = Files("/data", given_names)
    train, val = train_val_split(files, share)
    assert len(val) == min(max(round(share * len(given_names)), 1), len(given_names) - 1)
    in_val, kept = set(val.names()), set(limit(files, count).names())
    assert list(val.names()) == [name for name in given_names if name in in_val]
    assert list(train.names()) == [name for name in given_names if name not in in_val]
    assert list(limit(files, count).names()) == [name for name in given_names if name in kept]
    assert kept == chosen(given_names, count)


def test_one_image_cannot_be_split() -> None:
    with pytest.raises(DataError, match=r"1 image of trainA cannot be split"):
        train_val_split(Files("/data/trainA", ["a"]), 0.5)


def test_pairs_have_the_same_name_without_extension() -> None:
    a = Files("/data/testA", ["1.png", "x/1.png", "x/2.PNG", "x/y.1.png", "only_a.png"])
    b = Files("/data/testB", ["only_b.jpg", "x/2.jpg", "x/y.1.jpg", "x/y.2.jpg", "1.jpg", "y/1.jpg"])
    assert paired_names(a, b, DOMAINS) == [(0, 4), (2, 1), (3, 2)]


def test_an_ending_with_the_domains_name_is_not_part_of_a_name() -> None:
    a = Files("/data/trainA", ["1_A.jpg", "2_B.jpg", "x/3_A.jpg"])
    b = Files("/data/trainB", ["1_B.jpg", "2_B.jpg", "x/3.jpg"])
    assert paired_names(a, b, DOMAINS) == [(0, 0), (2, 2)]


def test_names_that_a_domain_has_twice_are_not_paired() -> None:
    twice = Files("/data/testA", ["1.png", "1.jpg", "2.png", "x/1.png", "1.tif"])
    once = Files("/data/testB", ["1.png", "2.png", "x/1.jpg"])
    assert paired_names(twice, once, DOMAINS) == [(2, 1), (3, 2)]
    assert paired_names(once, twice, DOMAINS) == [(1, 2), (2, 3)]
    assert paired_names(twice, twice, DOMAINS) == [(2, 2), (3, 3)]


def test_the_fingerprint_depends_on_the_names_in_their_order_and_not_on_the_place() -> None:
    listed = fingerprint(Files("/here/trainA", ["1.png", "sub/2.png"]))
    assert fingerprint(Files("else/where/trainA", ["1.png", "sub/2.png"])) == listed
    assert fingerprint(Files("/here", ["trainA/1.png", "trainA/sub/2.png"], label="")) == listed
    assert fingerprint(Files("/here/trainA", ["sub/2.png", "1.png"])) != listed


def test_a_folder_has_the_fingerprint_that_checkpoints_of_version_0_1_hold(tmp_path: Path) -> None:
    (tmp_path / "trainA" / "sub").mkdir(parents=True)
    images = ["sub/2.png", "1.png", "é.jpg", "caf\udce9.png", "a b.tif", "\U0001f600.png", "\uffee.png"]
    for name in (*images, ".hidden.png", "notes.txt"):
        (tmp_path / "trainA" / name).touch()
    golden = "dd6cf9b66723cc55e0c0bbb9edb0fc3ef7a0488550ca6f5a47c00ad59910a105"
    assert fingerprint(find_files(tmp_path / "trainA")) == {"count": 7, "digest": golden}
    assert fingerprint(find_files(tmp_path / "trainA" / "**" / "*")) == {"count": 7, "digest": golden}
    (tmp_path / "trainA").rename(tmp_path / "elsewhere")
    (tmp_path / "trainA").symlink_to("elsewhere")
    assert fingerprint(find_files(tmp_path / "trainA")) == {"count": 7, "digest": golden}


def test_a_list_that_moves_with_its_images_keeps_its_fingerprint(tmp_path: Path) -> None:
    def of(place: str, text: str) -> Fingerprint:
        for name in ("A/1.png", "B/1.png", "list.txt"):
            (tmp_path / place / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / place / name).write_text(text.replace("HERE", str(tmp_path / place)))
        return fingerprint(find_files(tmp_path / place / "list.txt"))

    assert of("here", "A/1.png\nA/2.png") == of("there", "A/1.png\nA/2.png") != of("here", "B/1.png\nB/2.png")
    assert of("here", "HERE/A/1.png") == of("there", "HERE/A/1.png")


def test_changed_training_images_are_an_error_with_the_domain_and_the_remedy() -> None:
    a: Fingerprint = {"count": 1067, "digest": "a"}
    b: Fingerprint = {"count": 1334, "digest": "b"}
    require_same_files({"A": a, "B": b}, {"B": b, "A": a})
    with pytest.raises(DataError, match=r"domain B .* were 1334, there are 1333, with .*\. Restore .*init_from="):
        require_same_files({"A": a, "B": b}, {"A": a, "B": {"count": 1333, "digest": "c"}})
    with pytest.raises(DataError, match=r"there are 1334, with other names or in another order"):
        require_same_files({"A": a, "B": b}, {"A": a, "B": {"count": 1334, "digest": "c"}})
    with pytest.raises(DataError, match=r"domain B .*: there were 1334, there are 0"):
        require_same_files({"A": a, "B": b}, {"A": a})
