from pathlib import Path

import pytest

from cyclegan.data.file_list import Files
from cyclegan.data.sources.index import find, locate, require_folder
from cyclegan.errors import DataError


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def test_a_folder_s_images_come_in_a_fixed_order(tmp_path: Path) -> None:
    touch(tmp_path, "trainA/b.PNG", "trainA/a.jpg", "trainA/day/2.jpeg", "trainA/day/10.JPG", "trainA/c.webp")
    touch(tmp_path, "trainB/other.jpg", "testA/other.jpg")
    expected = ["a.jpg", "b.PNG", "c.webp", "day/10.JPG", "day/2.jpeg"]
    files = find(tmp_path / "trainA")
    assert list(files.names()) == expected
    assert list(files) == [str(tmp_path / "trainA" / name) for name in expected]
    assert (files.base, files.label) == (tmp_path / "trainA", "trainA")


def test_a_folder_counts_what_it_passes_over(tmp_path: Path) -> None:
    touch(tmp_path, "a.jpg", "._a.jpg", ".cache/b.jpg", "Thumbs.db", "notes", "day/notes", ".png")
    files = find(str(tmp_path))
    assert list(files) == [str(tmp_path / "a.jpg")]
    assert files.passed_over == {"hidden": 2, ".db": 1, "without ending": 2}


def test_a_source_may_be_here_or_below_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path, "set/horses/a.jpg", "set/horses/b.png")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path / "set" / "horses")
    assert find("~/set/horses").base == tmp_path / "set" / "horses"
    assert list(find("~/set/*/?.jpg")) == [str(tmp_path / "set/horses/a.jpg")]
    assert list(find(".")) == list(find("*")) == ["a.jpg", "b.png"]
    assert find(".").label == find("*").label == "horses"


def test_a_pattern_takes_what_fits(tmp_path: Path) -> None:
    touch(tmp_path, "set/x/left/1.png", "set/y/left/1.png", "set/y/right/1.png", "set/y/left/1.txt", "set/y/left/2.jpg")
    files = find(tmp_path / "set/*/left/1.*")
    assert list(files.names()) == ["x/left/1.png", "y/left/1.png"]
    assert (files.base, files.label) == (tmp_path / "set", "set")
    assert files.passed_over == {".txt": 1}, "of what fits; 2.jpg was not asked for"
    deep = find(tmp_path / "set" / "**" / "*.png")
    assert list(deep.names()) == ["x/left/1.png", "y/left/1.png", "y/right/1.png"]


def test_a_folder_whose_name_looks_like_a_pattern_is_a_folder(tmp_path: Path) -> None:
    touch(tmp_path, "set [1]/a.jpg", "set [1]/b/c.png", "set 1/other.jpg")
    assert list(find(tmp_path / "set [1]").names()) == ["a.jpg", "b/c.png"]
    files = find(tmp_path / "set [1]" / "*.jpg")
    assert list(files.names()) == ["a.jpg"]
    assert files.base == tmp_path / "set [1]"


def test_a_text_file_is_a_list(tmp_path: Path) -> None:
    touch(tmp_path, "images/a.jpg", "images/b.jpg")
    (tmp_path / "train.TXT").write_text("images/b.jpg\nimages/a.jpg\n")
    assert list(find(tmp_path / "train.TXT")) == [str(tmp_path / "images/b.jpg"), str(tmp_path / "images/a.jpg")]


def test_says_what_a_file_is_that_is_no_source(tmp_path: Path) -> None:
    touch(tmp_path, "one.JPG", "table.csv")
    with pytest.raises(DataError, match=r"one\.JPG is a single image; give the folder that holds it, or a list"):
        find(tmp_path / "one.JPG")
    with pytest.raises(DataError, match=r"table\.csv is neither a folder nor a list of images; a list ends in \.txt"):
        find(tmp_path / "table.csv")


def test_says_what_is_in_a_folder_without_images(tmp_path: Path) -> None:
    touch(tmp_path, "trainA/a.txt", "trainA/b.TXT", "trainA/labels.csv", "trainA/.hidden.jpg", "trainB/.keep")
    with pytest.raises(DataError, match=r"no image in .*trainA: 4 files.*\.txt ×2, .*names end in .*\.jpg, "):
        find(tmp_path / "trainA")
    with pytest.raises(DataError, match=r"1 file, none of them an image: hidden ×1\. Put images there"):
        find(tmp_path / "trainB")
    (tmp_path / "testA").mkdir()
    with pytest.raises(DataError, match=r"testA: the folder is empty\. Put"):
        find(tmp_path / "testA")


def test_says_what_is_wrong_with_a_pattern(tmp_path: Path) -> None:
    touch(tmp_path, "set/x/1.png", "set/x/1.txt", "set/y/2.png")
    with pytest.raises(DataError, match=r"no image fits .*/set/\?: no file does\. .*end it in /\*\* for all"):
        find(tmp_path / "set" / "?")
    with pytest.raises(DataError, match=r"no image fits .*: 1 file, none of them an image: \.txt ×1"):
        find(tmp_path / "set" / "*" / "*.txt")
    with pytest.raises(DataError, match=r"no image fits .*: .*/set holds the folders x, y and no z$"):
        find(tmp_path / "set" / "z" / "*.png")


def test_names_what_is_meant_by_a_source_that_is_not_there(tmp_path: Path) -> None:
    touch(tmp_path, "horse2zebra/trainA/1.jpg", "maps/trainA/1.jpg", "train.txt")
    with pytest.raises(DataError) as caught:
        find(tmp_path / "hores2zebra/trainA")
    assert str(caught.value).replace(str(tmp_path), "ROOT") == (
        "there is no ROOT/hores2zebra/trainA: ROOT holds the folders horse2zebra, maps and no hores2zebra; "
        "is ROOT/horse2zebra meant?"
    )
    with pytest.raises(DataError, match=r"and no trian\.txt; is .*/train\.txt meant\?"):
        find(tmp_path / "trian.txt")
    with pytest.raises(DataError, match=r"horse2zebra holds the folders trainA and no xyz$"):
        find(tmp_path / "horse2zebra/xyz")


def test_locates_the_folder_of_a_split_and_domain(tmp_path: Path) -> None:
    touch(tmp_path, "trainA/a.jpg", "valA/a.jpg", "train/a.jpg", "testA")
    assert locate(tmp_path, "train", "A") == require_folder(str(tmp_path), "train", "A") == tmp_path / "trainA"
    assert locate(tmp_path, "val", "A") == tmp_path / "valA"
    assert locate(tmp_path, "train", "") == tmp_path / "train"
    assert locate(tmp_path, "test", "A") is None, "it is a file"
    assert locate(tmp_path, "train", "B") is None


@pytest.mark.parametrize(
    ("there", "remedy"),
    [
        ("elsewhere/x.jpg", "ROOT holds the folders elsewhere; pass the folder that holds trainA and trainB"),
        ("horse2zebra/trainA/x.jpg", "trainA is in ROOT/horse2zebra; use data.root=ROOT/horse2zebra"),
        ("A/x.jpg", "if A is meant: mv ROOT/A ROOT/trainA"),
        ("TrainA/x.jpg", "if TrainA is meant: mv ROOT/TrainA ROOT/trainA"),
        ("train_A/x.jpg", "if train_A is meant: mv ROOT/train_A ROOT/trainA"),
        ("train/A/x.jpg", "if train/A is meant: mv ROOT/train/A ROOT/trainA"),
        ("x.jpg", "ROOT holds no folders; pass the folder"),
    ],
)
def test_works_out_the_remedy_for_a_missing_folder(tmp_path: Path, there: str, remedy: str) -> None:
    touch(tmp_path, there)
    with pytest.raises(DataError, match=r"there is no folder .*trainA: ") as caught:
        require_folder(tmp_path, "train", "A")
    assert remedy in str(caught.value).replace(str(tmp_path), "ROOT")


def test_says_when_the_root_is_missing_or_a_file(tmp_path: Path) -> None:
    touch(tmp_path, "archive.zip")
    with pytest.raises(DataError, match=r"nowhere does not exist; pass the folder"):
        require_folder(tmp_path / "nowhere", "train", "A")
    with pytest.raises(DataError, match=r"archive\.zip is a file; pass the folder"):
        require_folder(tmp_path / "archive.zip", "train", "A")


def test_what_is_found_are_files(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"abc")
    (tmp_path / "list.txt").write_text("a.png")
    for source in (tmp_path, tmp_path / "list.txt", tmp_path / "?.png"):
        files = find(source)
        assert isinstance(files, Files)
        assert files.open(0) == b"abc"
