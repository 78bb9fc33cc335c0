import inspect
import os
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import pytest

from cyclegan.data.sources.glob_pattern import GlobPattern
from cyclegan.data.sources.walk import walk
from cyclegan.errors import DataError
from cyclegan.images import IMAGE_SUFFIXES


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def test_every_image_s_ending_counts_in_any_case(tmp_path: Path) -> None:
    assert {".jfif", ".jpe", ".avif", ".jp2"} < IMAGE_SUFFIXES, "as browsers and phones save them"
    names = sorted(f"1{ending}" for suffix in IMAGE_SUFFIXES for ending in (suffix, suffix.upper()))
    touch(tmp_path, *names, "1.PNGs", "1.jpg.part", "png")
    found = walk(tmp_path)
    assert found.names == names
    assert found.passed_over == {".pngs": 1, ".part": 1, "without ending": 1}


def test_names_need_not_be_readable(tmp_path: Path) -> None:
    names = ["\udce9/caf\udce9.png", "a b/ 1.png", "a\nb.png", "é.png", "\U0001f600.png", "\uffee.png"]
    touch(tmp_path, *names)
    assert walk(tmp_path).names == sorted(names)


def test_links_are_followed_to_files_and_folders(tmp_path: Path) -> None:
    touch(tmp_path, "set/a.png", "elsewhere/b.png", "elsewhere/deep/c.png", "d.png")
    (tmp_path / "set" / "d.png").symlink_to("../d.png")
    (tmp_path / "set" / "more").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "link").symlink_to("set")
    for base in (tmp_path / "set", tmp_path / "link"):
        found = walk(base)
        assert found.names == ["a.png", "d.png", "more/b.png", "more/deep/c.png"]
        assert found.passed_over == Counter()


def test_links_that_lead_nowhere_are_counted(tmp_path: Path) -> None:
    touch(tmp_path, "a.png")
    (tmp_path / "gone.png").symlink_to("nowhere.png")
    (tmp_path / "itself.png").symlink_to("itself.png")
    (tmp_path / "gone.txt").symlink_to("nowhere.txt")
    os.mkfifo(tmp_path / "pipe.png")
    found = walk(tmp_path)
    assert found.names == ["a.png"]
    assert found.passed_over == {"dangling link": 2, ".txt": 1, "device or pipe": 1}


@pytest.mark.parametrize("target", [".", "..", "../..", "../inner", "../../set"])
def test_a_link_upwards_makes_no_circle_and_lets_nothing_in(tmp_path: Path, target: str) -> None:
    """`..` would bring in the other domain's folder, too."""
    touch(tmp_path, "set/inner/a.png", "set/b.png", "other/c.png")
    (tmp_path / "set" / "inner" / "up").symlink_to(target)
    found = walk(tmp_path / "set")
    assert found.names == ["b.png", "inner/a.png"]
    assert found.passed_over == {"folder that is read anyway": 1}


def test_two_links_to_each_other_s_folders_make_no_circle(tmp_path: Path) -> None:
    """Without protection, 2 to the power of 40 ways lead through them until the system gives up."""
    touch(tmp_path, "set/x/1.png", "set/y/2.png")
    (tmp_path / "set" / "x" / "to_y").symlink_to("../y")
    (tmp_path / "set" / "y" / "to_x").symlink_to("../x")
    found = walk(tmp_path / "set")
    assert found.names == ["x/1.png", "y/2.png"]
    assert found.passed_over == {"folder that is read anyway": 2}


def test_a_folder_reached_twice_has_its_own_name_or_that_of_the_first_link(tmp_path: Path) -> None:
    touch(tmp_path, "set/real/1.png", "elsewhere/2.png")
    (tmp_path / "set" / "a_link").symlink_to("real")
    for name in ("c", "b", "d"):
        (tmp_path / "set" / name).symlink_to("../elsewhere")
    found = walk(tmp_path / "set")
    assert found.names == ["b/2.png", "real/1.png"]
    assert found.passed_over == {"folder that is read anyway": 3}


def test_the_order_of_the_disk_s_entries_does_not_matter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path, "set/x/1.png", "set/y/z/2.png", "set/3.png", "elsewhere/in/4.png", "elsewhere/5.png")
    (tmp_path / "set" / "y" / "link").symlink_to("../../elsewhere/in")
    (tmp_path / "set" / "link").symlink_to("../elsewhere")
    forwards = walk(tmp_path / "set")
    scandir = os.scandir

    class Backwards:
        def __init__(self, path: str) -> None:
            with scandir(path) as entries:
                self.entries = sorted(entries, key=lambda entry: entry.name, reverse=True)

        def __enter__(self) -> Iterator[os.DirEntry[str]]:
            return iter(self.entries)

        def __exit__(self, *_: object) -> None: ...

    monkeypatch.setattr(os, "scandir", Backwards)
    assert walk(tmp_path / "set") == forwards
    assert forwards.names == ["3.png", "link/5.png", "link/in/4.png", "x/1.png", "y/z/2.png"]


def test_folders_may_lie_deeper_than_python_calls_itself(tmp_path: Path) -> None:
    name = "d/" * 120 + "a.png"
    touch(tmp_path, name)
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(len(inspect.stack()) + 60)
    try:
        found = walk(tmp_path)
    finally:
        sys.setrecursionlimit(limit)
    assert found.names == [name]


def test_only_links_and_folders_are_looked_at_one_by_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A look at each of a million files takes minutes on a network's disk; what `scandir` says by itself is free."""
    touch(tmp_path, *(f"{folder}/{i}.png" for folder in "xyz" for i in range(20)))
    (tmp_path / "link.png").symlink_to("x/1.png")
    looks = Counter[str]()
    look, scandir = os.stat, os.scandir

    def counted(path: str, **kwargs: bool) -> os.stat_result:
        looks["folder"] += 1
        return look(path, **kwargs)

    class Entry:
        def __init__(self, entry: os.DirEntry[str]) -> None:
            self.name, self.is_file, self.is_dir, self.is_symlink = (
                entry.name,
                entry.is_file,
                entry.is_dir,
                entry.is_symlink,
            )
            self.entry = entry

        def stat(self) -> os.stat_result:
            looks["entry"] += 1
            return self.entry.stat()

    monkeypatch.setattr(os, "stat", counted)
    monkeypatch.setattr(os, "scandir", lambda path: nullcontext([Entry(entry) for entry in scandir(path)]))
    assert len(walk(tmp_path).names) == 61
    assert looks == {"folder": 4, "entry": 1}, "the base and its three folders; the link"


def test_a_pattern_enters_no_folder_in_vain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path, "x/left/1.png", "x/right/1.png", "y/left/deeper/1.png")
    entered = []
    scandir = os.scandir

    def noted(path: str) -> object:
        entered.append(path.removeprefix(f"{tmp_path}/"))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", noted)
    assert walk(tmp_path, GlobPattern("*", "left", "*.png")).names == ["x/left/1.png"]
    assert sorted(entered) == ["", "x/", "x/left/", "y/", "y/left/"]


def test_a_pattern_goes_through_links_that_it_names(tmp_path: Path) -> None:
    touch(tmp_path, "b/1.png", "a/keep")
    (tmp_path / "a" / "good").symlink_to("../b")
    assert walk(tmp_path, GlobPattern("*", "good", "*.png")).names == ["a/good/1.png"], "b itself was entered before"
    assert walk(tmp_path, GlobPattern("**", "*.png")).names == ["b/1.png"]


def test_an_image_that_fits_in_two_ways_counts_once(tmp_path: Path) -> None:
    touch(tmp_path, "a1/ab/1.png")
    (tmp_path / "a1" / "xb").symlink_to("ab")
    assert walk(tmp_path, GlobPattern("**", "a*", "*b", "*.png")).names == ["a1/ab/1.png"]


def test_says_which_folder_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path, "a.png", "locked/b.png")
    scandir = os.scandir

    def refuse(path: str) -> object:
        if path.endswith("locked/"):
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(
        DataError, match=r"the folder .*/locked/ cannot be read \(Permission denied\): make it readable"
    ):
        walk(tmp_path)
