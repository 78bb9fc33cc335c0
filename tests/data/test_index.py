from pathlib import Path

import pytest

from cyclegan.data.index import DataError, find_pictures


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def test_finds_pictures_in_nested_folders_in_a_fixed_order(tmp_path: Path) -> None:
    touch(tmp_path, "trainA/b.PNG", "trainA/a.jpg", "trainA/day/2.jpeg", "trainA/day/10.JPG", "trainA/c.webp")
    touch(tmp_path, "trainB/other.jpg", "testA/other.jpg")
    found = [Path(path).relative_to(tmp_path / "trainA").as_posix() for path in find_pictures(tmp_path, "train", "A")]
    assert found == ["a.jpg", "b.PNG", "c.webp", "day/10.JPG", "day/2.jpeg"]


def test_passes_over_hidden_files_and_what_is_no_picture(tmp_path: Path) -> None:
    touch(
        tmp_path,
        "trainA/a.jpg",
        "trainA/._a.jpg",
        "trainA/.cache/b.jpg",
        "trainA/Thumbs.db",
        "trainA/notes",
        "trainA/.png",
    )
    assert find_pictures(str(tmp_path), "train", "A") == [str(tmp_path / "trainA" / "a.jpg")]


def test_says_what_is_in_a_folder_without_pictures(tmp_path: Path) -> None:
    touch(tmp_path, "trainA/a.txt", "trainA/b.TXT", "trainA/labels.csv", "trainA/.hidden.jpg", "trainB/.keep")
    with pytest.raises(
        DataError, match=r"no picture in .*trainA: 4 files.*\.txt ×2, .*Put the pictures of train A there"
    ):
        find_pictures(tmp_path, "train", "A")
    with pytest.raises(DataError, match=r"1 file, none of them a picture: hidden ×1"):
        find_pictures(tmp_path, "train", "B")
    (tmp_path / "testA").mkdir()
    with pytest.raises(DataError, match=r"testA: the folder is empty"):
        find_pictures(tmp_path, "test", "A")


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
        find_pictures(tmp_path, "train", "A")
    assert remedy in str(caught.value).replace(str(tmp_path), "ROOT")


def test_says_when_the_root_is_missing_or_a_file(tmp_path: Path) -> None:
    touch(tmp_path, "archive.zip")
    with pytest.raises(DataError, match=r"nowhere does not exist; pass the folder"):
        find_pictures(tmp_path / "nowhere", "train", "A")
    with pytest.raises(DataError, match=r"archive\.zip is a file; pass the folder"):
        find_pictures(tmp_path / "archive.zip", "train", "A")
