import os
import pickle
from collections import Counter
from pathlib import Path
from threading import Barrier

import numpy as np
import pytest

from cyclegan.data.file_list import Files, ImageSource, files_below, find_files, read_list
from cyclegan.data.threads import in_threads
from cyclegan.errors import DataError
from cyclegan.images import IMAGE_SUFFIXES
from tests.data.image_folders import touch

ODD_NAMES = ["\udce9/caf\udce9.png", " .png", "a b/ 1.png", "a\nb.png", "é.png", "\U0001f600.png", "\uffee.png"]


def names_of(source: str | Path) -> list[str]:
    return list(find_files(source).names())


def test_files_keep_unusual_names() -> None:
    files = Files("/data/trainA", ODD_NAMES)
    source: ImageSource = files  # for mypy
    for each in (files, pickle.loads(pickle.dumps(source))):
        assert list(each.names()) == ODD_NAMES
        assert list(each) == [each[i] for i in range(len(each))] == [f"/data/trainA/{name}" for name in ODD_NAMES]
        assert (each.base, each.label) == (Path("/data/trainA"), "trainA")
    assert files[-1] == "/data/trainA/\uffee.png"
    with pytest.raises(IndexError):
        files[len(files)]


def test_paths_start_with_the_base_as_it_was_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for base, expected in ((".", "a.png"), ("/", "/a.png"), ("x/", "x/a.png"), ("../x", "../x/a.png")):
        assert list(Files(base, ["a.png"])) == [Files(base, ["a.png"])[0]] == [expected]
    monkeypatch.chdir(tmp_path)
    assert [Files(".", []).label, Files("/", []).label, Files("/a", [], label="b").label] == [tmp_path.name, "", "b"]


def test_a_subset_has_the_files_at_its_indices() -> None:
    files = Files("/data/a", ["1.png", "2.png", "3.png"], "b", Counter({".txt": 2}))
    subset = files.subset(np.array([2, 0, 2]))
    assert list(subset.names()) == ["3.png", "1.png", "3.png"]
    assert (subset.base, subset.label, subset.skipped) == (Path("/data/a"), "b", {".txt": 2})
    assert len(files) == 3


def test_a_file_with_an_odd_name_is_opened(tmp_path: Path) -> None:
    (tmp_path / "caf\udce9\n.png").write_bytes(b"\x89PNG")
    assert Files(tmp_path, ["caf\udce9\n.png"]).open(0) == b"\x89PNG"


def test_stamps_change_with_a_file_and_not_with_its_place(tmp_path: Path) -> None:
    touch(tmp_path, "here/a.png")
    os.utime(tmp_path / "here/a.png", ns=(1, 1))
    stamps = [list(Files(tmp_path / place, ["a.png"], "set").stamps()) for place in ("here", "gone")]
    (tmp_path / "here").rename(tmp_path / "there")
    assert list(Files(tmp_path / "there", ["a.png"], "set").stamps()) == stamps[0] != stamps[1]
    os.utime(tmp_path / "there/a.png", ns=(2, 2))
    assert list(Files(tmp_path / "there", ["a.png"], "set").stamps()) != stamps[0]


def test_the_order_is_a_numpy_permutation() -> None:
    order = Files("/data", map(str, range(1000))).order(np.random.default_rng([3, 1, 4]))
    assert order.dtype == np.int32
    assert order.tolist() == np.random.default_rng([3, 1, 4]).permutation(1000).tolist()


def test_threads_return_results_in_order_and_run_at_the_same_time() -> None:
    assert list(in_threads(lambda number: number * number, range(1000))) == [n * n for n in range(1000)]
    assert list(in_threads(str, [])) == []
    both = Barrier(2)
    assert len(list(in_threads(lambda _: both.wait(timeout=30), range(64)))) == 64


def test_a_folder_is_listed_in_the_order_of_the_names(tmp_path: Path) -> None:
    names = ["a.jpg", "b.PNG", "c.webp", "day-1/x.tif", "day/10.JPG", "day/2.jpeg", "day/deep/1.gif", *ODD_NAMES]
    touch(tmp_path / "trainA", *names)
    files = find_files(tmp_path / "trainA")
    assert list(files.names()) == sorted(names)
    assert (files.base, files.label) == (tmp_path / "trainA", "trainA")


def test_a_folder_takes_every_image_extension_and_counts_the_rest(tmp_path: Path) -> None:
    assert {".jfif", ".jpe", ".avif", ".jp2"} < IMAGE_SUFFIXES, "as browsers and phones save them"
    names = sorted(f"1{extension}" for suffix in IMAGE_SUFFIXES for extension in (suffix, suffix.upper()))
    touch(tmp_path, *names, "1.jpg.part", "png", "._a.jpg", ".png", ".cache/b.jpg", "day/Thumbs.db")
    files = find_files(tmp_path)
    assert list(files.names()) == names
    assert files.skipped == {".part": 1, "no extension": 1, "hidden": 2, ".db": 1}


def test_a_broken_link_is_listed_so_that_reading_reports_it(tmp_path: Path) -> None:
    (tmp_path / "gone.png").symlink_to("nowhere.png")
    for source in (tmp_path, tmp_path / "*.png"):
        assert names_of(source) == ["gone.png"]


def test_links_are_followed_to_files_and_folders(tmp_path: Path) -> None:
    touch(tmp_path, "set/a.png", "elsewhere/b.png", "elsewhere/deep/c.png", "d.png")
    (tmp_path / "set/d.png").symlink_to("../d.png")
    (tmp_path / "set/more").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "link").symlink_to("set")
    for base in (tmp_path / "set", tmp_path / "link"):
        for source in (base, base / "**" / "*.png"):
            assert names_of(source) == ["a.png", "d.png", "more/b.png", "more/deep/c.png"]


@pytest.mark.parametrize("target", [".", "..", "../..", "../../set"])
@pytest.mark.parametrize("pattern", ["", "**/*.png"])
def test_a_link_to_a_parent_folder_adds_no_images(tmp_path: Path, target: str, pattern: str) -> None:
    """`..` would add the folder of the other domain."""
    touch(tmp_path, "set/inner/a.png", "set/b.png", "other/c.png")
    (tmp_path / "set/inner/up").symlink_to(target)
    (tmp_path / "set/inner/up2").symlink_to(target)
    assert names_of(tmp_path / "set" / pattern) == ["b.png", "inner/a.png"]


def test_a_folder_that_can_be_reached_in_several_ways_is_listed_once(tmp_path: Path) -> None:
    touch(tmp_path, "set/real/1.png", "set/x/3.png", "elsewhere/2.png")
    (tmp_path / "set/a_link").symlink_to("real")
    (tmp_path / "set/x/to_real").symlink_to("../real")
    for name in ("c", "b", "d"):
        (tmp_path / "set" / name).symlink_to("../elsewhere")
    files = find_files(tmp_path / "set")
    assert list(files.names()) == ["b/2.png", "real/1.png", "x/3.png"]
    assert files.skipped == {"folder listed before": 4}


def test_an_unreadable_folder_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path, "a.png", "locked/b.png")
    scandir = os.scandir

    def refuse(path: str) -> object:
        if path.endswith("locked"):
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(DataError, match=r"/locked cannot be read \(Permission denied\): make it readable"):
        files_below(tmp_path)


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("*.png", ["a.png"]),
        ("x/**", ["x/1.png", "x/2.jpg", "x/left/1.png"]),
        ("**/*.jpg", ["b.jpg", "x/2.jpg"]),
        ("**/left/*", ["x/left/1.png", "y/left/1.png"]),
        ("*/left/[0-1].p?g", ["x/left/1.png", "y/left/1.png"]),
        ("[!x]/**/*.png", ["y/left/1.png"]),
        ("set [1]/*.png", ["set [1]/c.png"]),  # a folder that exists is no pattern
    ],
)
def test_a_pattern_takes_the_files_that_match(tmp_path: Path, pattern: str, expected: list[str]) -> None:
    touch(tmp_path, "a.png", "b.jpg", "x/1.png", "x/2.jpg", "x/left/1.png", "x/left/1.txt", "y/left/1.png")
    touch(tmp_path, "set [1]/c.png", ".hidden/a.png", "x/.a.png")
    assert list(find_files(tmp_path / pattern)) == [f"{tmp_path}/{name}" for name in expected]


def test_a_source_may_be_relative_or_below_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path, "set/horses/a.jpg", "set/horses/b.png")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path / "set/horses")
    assert list(find_files("~/set/*/?.jpg")) == [str(tmp_path / "set/horses/a.jpg")]
    assert list(find_files(".")) == list(find_files("*")) == ["a.jpg", "b.png"]
    assert find_files(".").label == find_files("*").label == "horses"


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("one.JPG", r"one\.JPG is a file; give a folder, or a list: a \.txt file"),
        ("trainA", r"no image in .*trainA \(found: \.txt ×2, \.csv ×1\); images have the extensions .*\.jpg"),
        ("empt?", r"patterns match files, not folders, and no image matches .*/empt\? \(found: no file\)"),
        ("*/*.txt", r"no image matches .* \(found: \.txt ×1\)"),
        ("**/x/**/*", r"has \*\* more than once; use a list file"),
        ("trainB/1.jpg", r"there is no .*/trainB/1\.jpg; .* has: empty, one\.JPG, trainA$"),
    ],
)
def test_a_source_without_images_is_an_error_with_what_was_found(tmp_path: Path, source: str, words: str) -> None:
    touch(tmp_path, "one.JPG", "trainA/a.txt", "trainA/b.TXT", "trainA/labels.csv")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=words):
        find_files(tmp_path / source)


def write_list(folder: Path, text: str | bytes, *existing: str) -> Path:
    touch(folder, "list.TXT", *existing)
    (folder / "list.TXT").write_bytes(text if isinstance(text, bytes) else os.fsencode(text))
    return folder / "list.TXT"


def test_a_list_keeps_its_order_and_its_paths_are_relative_to_it(tmp_path: Path) -> None:
    listed = ["b/1.png", "a/2.png", " a.png", "b.png ", "caf\udce9.png", ".hidden.png", "no extension"]
    files = find_files(write_list(tmp_path, "\n".join(listed), "b/1.png"))
    assert list(files.names()) == listed
    assert list(files) == [f"{tmp_path}/{name}" for name in listed]
    assert (files.base, files.label) == (tmp_path, "")


@pytest.mark.parametrize(
    "text",
    [
        b"\xef\xbb\xbfa.png\r\nb c.png\r\n./#2.png\r\n",
        b"# comment\n\na.png\n   \n\t# comment\n.//b c.png\n././#2.png\n\n",
    ],
)
def test_a_list_skips_comments_and_blank_lines(tmp_path: Path, text: bytes) -> None:
    assert list(read_list(write_list(tmp_path, text, "a.png")).names()) == ["a.png", "b c.png", "#2.png"]


@pytest.mark.parametrize(
    ("text", "base", "label", "names"),
    [
        ("../set/A/x/1.png\n../set/A/2.png", "lists/../set/A", "../set/A", ["x/1.png", "2.png"]),
        ("ROOT/set/A/x/1.png\nROOT/set/A/2.png", "set/A", "A", ["x/1.png", "2.png"]),
        ("../set/A/2.png\nROOT/set/B/1.png", "", None, ["lists/../set/A/2.png", "set/B/1.png"]),
        ("2.png\n20.png", "lists", "", ["2.png", "20.png"]),
    ],
)
def test_the_base_of_a_list_is_the_common_folder(
    tmp_path: Path, text: str, base: str, label: str | None, names: list[str]
) -> None:
    touch(tmp_path, "set/A/2.png", "lists/2.png")
    files = read_list(write_list(tmp_path / "lists", text.replace("ROOT", str(tmp_path))))
    expected = tmp_path.name if label is None else label
    assert (files.base, files.label, list(files.names())) == (tmp_path / base, expected, names)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"\n# only a comment\n", r"lists no image: write one path a line"),
        ("a.png\n".encode("utf-16"), r"lists .* does not exist, .* lists are UTF-8 text"),
        (b"a.png\nb.png\n./a.png\n", r"lists a\.png 2 times; keep one"),
        (b"x.png\ny.png\n", r"lists '.*/x\.png', which does not exist, .* absolute or relative to /"),
    ],
)
def test_an_unusable_list_is_refused(tmp_path: Path, text: bytes, words: str) -> None:
    with pytest.raises(DataError, match=rf"list\.TXT {words}"):
        read_list(write_list(tmp_path, text, "a.png"))
