import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cyclegan.data.selection import fingerprint
from cyclegan.data.sources.list_file import read_list
from cyclegan.errors import DataError


def write_list(folder: Path, text: str | bytes, *there: str) -> Path:
    """A list, and the files that are there."""
    for name in there:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    folder.mkdir(exist_ok=True)
    path = folder / "list.txt"
    path.write_bytes(text if isinstance(text, bytes) else os.fsencode(text))
    return path


def test_paths_are_relative_to_the_list_and_keep_its_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir("/")
    files = read_list(write_list(tmp_path, "b/1.png\na/2.png\nb/0.png\n", "b/1.png"))
    assert list(files.names()) == ["b/1.png", "a/2.png", "b/0.png"]
    assert list(files) == [f"{tmp_path}/{name}" for name in files.names()]
    assert (files.base, files.label) == (tmp_path, "")


@pytest.mark.parametrize(
    "text",
    [
        b"a.png\nb c.png\n#1.png\n",
        b"a.png\nb c.png\n./#1.png",
        b"\xef\xbb\xbfa.png\r\nb c.png\r\n./#1.png\r\n",
        b"# what this is\n\na.png\n   \n\t# a remark\nb c.png\n./#1.png\n\n",
        b"./a.png\n.//b c.png\n././#1.png\n",
    ],
)
def test_remarks_and_the_ways_to_write_lines_do_not_matter(tmp_path: Path, text: bytes) -> None:
    expected = ["a.png", "b c.png", "#1.png"]
    if b"\n#1" in text:
        expected.remove("#1.png")
    assert list(read_list(write_list(tmp_path, text, "a.png")).names()) == expected


def test_spaces_and_names_that_are_no_utf8_are_taken_as_they_are(tmp_path: Path) -> None:
    listed = [" a.png", "b.png ", "caf\udce9.png", "\U0001f600.png", ".hidden.png", "no ending"]
    assert list(read_list(write_list(tmp_path, "\n".join(listed), "b.png ")).names()) == listed


def test_the_base_is_the_folder_of_all_and_the_label_is_how_the_list_calls_it(tmp_path: Path) -> None:
    relative = read_list(write_list(tmp_path / "lists", "../set/A/x/1.png\n../set/A/2.png\n", "../set/A/2.png"))
    assert (relative.base, relative.label) == (tmp_path / "lists/../set/A", "../set/A")
    assert list(relative.names()) == ["x/1.png", "2.png"]
    absolute = read_list(write_list(tmp_path / "lists", f"{tmp_path}/set/A/x/1.png\n{tmp_path}/set/A/2.png\n"))
    assert (absolute.base, absolute.label) == (tmp_path / "set/A", "A")
    assert list(absolute.names()) == ["x/1.png", "2.png"]
    assert list(absolute) == [f"{tmp_path}/set/A/x/1.png", f"{tmp_path}/set/A/2.png"]
    alike = read_list(write_list(tmp_path, "part_10.png\npart_11.png\n", "part_10.png"))
    assert list(alike.names()) == ["part_10.png", "part_11.png"], "only whole folders are common"
    one = read_list(write_list(tmp_path, "set/A/2.png\n"))
    assert (one.base, list(one.names())) == (tmp_path / "set/A", ["2.png"])


def test_absolute_and_relative_paths_may_be_mixed(tmp_path: Path) -> None:
    files = read_list(write_list(tmp_path, f"A/1.png\n{tmp_path}/B/2.png\n", "A/1.png"))
    assert list(files) == [f"{tmp_path}/A/1.png", f"{tmp_path}/B/2.png"]
    assert (files.base, files.label) == (tmp_path, tmp_path.name)
    with pytest.raises(DataError, match=r"lists .*/A/1\.png twice, in lines 1 and 2"):
        read_list(write_list(tmp_path, f"A/1.png\n{tmp_path}/A/1.png\n"))


def test_no_path_comes_twice(tmp_path: Path) -> None:
    listed = [f"{i}.png" for i in range(5000)]
    listed[4321] = "./17.png"
    text = "# a remark\n" + "\n".join(listed)
    with pytest.raises(
        DataError, match=r"list\.txt lists .*/17\.png twice, in lines 19 and 4323; take one of them out"
    ):
        read_list(write_list(tmp_path, text))
    with pytest.raises(DataError, match=r"lists .*/a\.png twice, in lines 1 and 3"):
        read_list(write_list(tmp_path, "a.png\nb.png\na.png\nb.png\n"))


def test_of_many_only_eight_are_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listed = "\n".join(f"{i}.png" for i in range(1000))
    assert len(read_list(write_list(tmp_path, listed, "875.png"))) == 1000, "one of the eight is there"
    looked_for = []
    monkeypatch.setattr(Path, "exists", lambda path: looked_for.append(path.name))
    with pytest.raises(
        DataError, match=r"lists '.*/0\.png', and it is not there, .*relative to the folder of the list"
    ):
        read_list(tmp_path / "list.txt")
    assert sorted(looked_for) == sorted(f"{i}.png" for i in range(0, 1000, 125))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"", r"lists no image: write one path a line"),
        (b"\n# only a remark\n", r"lists no image"),
        ("a.png\n".encode("utf-16"), r"is no text in UTF-8 \(.* holds a zero.*\): save the list as UTF-8"),
    ],
)
def test_says_what_is_wrong_with_a_list(tmp_path: Path, text: bytes, words: str) -> None:
    with pytest.raises(DataError, match=rf"list\.txt {words}"):
        read_list(write_list(tmp_path, text))


def test_says_that_a_list_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "list.txt").mkdir()
    with pytest.raises(DataError, match=r"list\.txt cannot be read \(Is a directory\)"):
        read_list(tmp_path / "list.txt")


def test_a_list_that_is_moved_with_its_images_keeps_its_fingerprint(tmp_path: Path) -> None:
    relative = [read_list(write_list(tmp_path / place, "A/1.png\nA/2.png", "A/1.png")) for place in ("here", "there")]
    assert fingerprint(relative[0]) == fingerprint(relative[1])
    written = [read_list(write_list(tmp_path / x, f"{tmp_path}/{x}/A/1.png", "A/1.png")) for x in ("here", "there")]
    assert fingerprint(written[0]) == fingerprint(written[1])
    other = read_list(write_list(tmp_path / "here", "B/1.png\nB/2.png", "B/1.png"))
    assert fingerprint(other) != fingerprint(relative[0]), "the same names in another folder are other images"


words = st.text("ab #./\u00e9", min_size=1, max_size=6).filter(lambda text: text.strip()[:1] not in ("", "#", "/", "."))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(words, min_size=1, unique=True))
def test_what_is_listed_is_what_is_found(tmp_path: Path, listed: list[str]) -> None:
    path = write_list(tmp_path, "\n".join(listed))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "exists", lambda _: True)
        files = read_list(path)
    assert [os.path.relpath(path, tmp_path) for path in files] == [os.path.normpath(name) for name in listed]
    assert [f"{files.label}/{name}".removeprefix("/") for name in files.names()] == listed
