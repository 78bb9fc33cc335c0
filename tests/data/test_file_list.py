import os
import pickle
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cyclegan.data.file_list import Files
from cyclegan.data.source import Divisible
from cyclegan.images import ImageError

# All that a file can be called: any bytes but zero and "/", as Python shows them.
parts = st.binary(min_size=1, max_size=8).map(lambda b: os.fsdecode(b.replace(b"\0", b" ").replace(b"/", b"\n")))
written = st.lists(st.one_of(parts, st.sampled_from(["é 1.png", "a\nb.jpg", "\U0001f600.tif", " .png"])), max_size=3)
names = written.map(lambda found: "/".join(["x", *found]))


@given(st.lists(names))
def test_every_name_comes_back(given_names: list[str]) -> None:
    files = Files("/data/trainA", given_names)
    for each in (files, pickle.loads(pickle.dumps(files))):
        assert list(each.names()) == given_names
        assert list(each) == [f"/data/trainA/{name}" for name in given_names]
        assert [each[i] for i in range(len(each))] == list(each)
        assert len(each) == len(given_names)
        assert (each.base, each.label) == (Path("/data/trainA"), "trainA")


@given(st.lists(names, min_size=1), st.data())
def test_a_subset_is_the_names_at_its_indices(given_names: list[str], data: st.DataObject) -> None:
    indices = data.draw(st.lists(st.integers(0, len(given_names) - 1)))
    passed_over = Counter({".txt": 2})
    files = Files("/data/a", given_names, "b", passed_over)
    some = files.subset(np.array(indices, np.int64))
    assert list(some.names()) == [given_names[i] for i in indices]
    assert (some.base, some.label, some.passed_over) == (Path("/data/a"), "b", passed_over)
    assert list(files.names()) == given_names, "the whole stays as it is"


def test_more_names_than_are_taken_at_once() -> None:
    many = [f"{i:x}/{'y' * (i % 7)}.png" for i in range(10_000)]
    files = Files("/data", many)
    assert list(files.names()) == many
    assert [files[i] for i in (4095, 4096, 8191, 8192, -1)] == [
        f"/data/{many[i]}" for i in (4095, 4096, 8191, 8192, -1)
    ]
    assert list(files.subset(np.arange(9999, -1, -1)).names()) == many[::-1]


def test_it_reads_like_a_list() -> None:
    files = Files("set", ["a.png", "b.png", "c.png"])
    assert list(files[:2]) == ["set/a.png", "set/b.png"]
    assert list(files[::-1]) == ["set/c.png", "set/b.png", "set/a.png"]
    assert files[-3] == "set/a.png"
    assert "set/b.png" in files
    assert files.index("set/c.png") == 2
    assert repr(files) == "<3 images below set>"
    for index in (3, -4):
        with pytest.raises(IndexError, match=rf"{index} is none of the 3 images below set"):
            files[index]
    with pytest.raises(IndexError):
        files.subset(np.array([0, 3]))


def test_a_path_begins_as_its_base_does() -> None:
    for base, expected in ((".", "a.png"), ("/", "/a.png"), ("x/", "x/a.png"), ("../x", "../x/a.png")):
        assert list(Files(base, ["a.png"])) == [expected]
        assert Files(base, ["a.png"])[0] == expected


def test_it_takes_little_more_than_the_letters() -> None:
    """A pickle holds what the object holds: of each name its letters, a zero, and the 4 bytes of where it begins."""
    letters = 40
    count = 5_000
    files = Files("/data", [f"{i:0{letters}d}" for i in range(count)])
    assert count * (letters + 5) <= len(pickle.dumps(files)) < count * (letters + 5) + 1_000


def test_names_without_a_label_of_their_own_are_known_by_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert Files(".", []).label == tmp_path.name
    assert Files("/", []).label == ""
    assert Files("/data/trainA", [], label="").label == ""


def test_no_name_holds_a_zero() -> None:
    with pytest.raises(ValueError, match=r"'b\\x00c' holds a zero"):
        Files("/data", ["a", "b\0c"])


def test_opens_a_file_whole(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "caf\udce9\n.png").write_bytes(b"\x89PNG")
    files = Files(tmp_path, ["x/caf\udce9\n.png", "x/gone.png", "x"])
    assert files.open(0) == b"\x89PNG"
    with pytest.raises(ImageError, match=r"x/gone\.png: cannot be read \(No such file or directory\): put it back, or"):
        files.open(1)
    with pytest.raises(ImageError, match=r"x: is a folder, not a file; remove it"):
        files.open(2)


@pytest.mark.parametrize("count", [0, 1, 7, 1000])
def test_the_order_is_numpy_s_permutation(count: int) -> None:
    order = Files("/data", map(str, range(count))).order(np.random.default_rng([3, 1, 4]))
    assert order.dtype == np.int32
    assert order.tolist() == np.random.default_rng([3, 1, 4]).permutation(count).tolist()


def test_it_offers_what_a_source_has_to() -> None:
    images: Divisible = Files("/data", ["a.png"])  # for mypy to see
    assert list(images.names()) == ["a.png"]
