import re
from pathlib import Path
from typing import Any

import pytest

from cyclegan.data.domains import Domain, find_splits
from cyclegan.errors import DataError, UserError
from cyclegan.images import PixelFormat
from tests.data.image_folders import touch


def test_a_domain_gives_its_pixel_format() -> None:
    domain = Domain(channels=1, dtype="uint16", range=[0, 4095], page=2, convert=["grey", "alpha"])
    assert domain.pixel_format == PixelFormat(1, "uint16", (0.0, 4095.0), 2, ("grey", "alpha"))
    assert Domain().pixel_format == PixelFormat(3, None, None, 0, ())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"channels": 0}, "channels=0: at least 1 is needed"),
        ({"range": [1]}, "range is [1]; give the lowest and the highest value"),
        ({"dtype": "float32"}, "dtype is float32, which has no full range: set the values to write, range=[0, 1]"),
        ({"dtype": "uint8", "range": [-1000, 2000]}, "range is [-1000.0, 2000.0], but uint8 holds 0 to 255"),
        ({"half": "top"}, "half is 'top'; give left or right, or null"),
    ],
)
def test_a_domain_refuses_invalid_values(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=re.escape(words)):
        Domain(**arguments)


def names(root: Path | None, domains: dict[str, Domain], **arguments: Any) -> dict[str, dict[str, list[str]]]:
    splits = find_splits(root, domains, **arguments)
    return {
        split: {domain: [Path(found[i]).name for i in range(len(found))] for domain, found in each.items()}
        for split, each in splits.items()
    }


@pytest.fixture
def root(tmp_path: Path) -> Path:
    touch(tmp_path, *(f"trainA/{i}.png" for i in range(10)), *(f"trainB/{i}.png" for i in range(3)))
    touch(tmp_path, "valB/v.png", "testA/t.png")
    return tmp_path


def test_folders_below_the_root(root: Path) -> None:
    assert names(root, {"A": Domain(), "B": Domain()}) == {
        "train": {"A": [f"{i}.png" for i in range(10)], "B": ["0.png", "1.png", "2.png"]},
        "val": {"B": ["v.png"]},
        "test": {"A": ["t.png"]},
    }


def test_the_source_of_a_domain_is_a_folder_pattern_or_list(root: Path) -> None:
    touch(root, "elsewhere/deep/X.JPG")
    (root / "some.txt").write_text("trainA/7.png\ntrainA/2.png\n")
    domains = {
        "A": Domain(train="some.txt", test="trainA/[34].png"),
        "B": Domain(train=str(root / "elsewhere"), val="elsewhere/**/*.JPG"),
    }
    assert names(root, domains) == {
        "train": {"A": ["7.png", "2.png"], "B": ["X.JPG"]},
        "val": {"B": ["X.JPG"]},
        "test": {"A": ["3.png", "4.png"]},
    }
    assert names(None, {"A": Domain(train=str(root / "some.txt"))})["train"] == {"A": ["7.png", "2.png"]}


def test_without_a_root_every_domain_needs_a_source(root: Path) -> None:
    with pytest.raises(
        DataError, match=r"domain B has no images: set data\.root, .* trainB, or data\.domains\.B\.train"
    ):
        find_splits(None, {"A": Domain(train=str(root / "trainA")), "B": Domain()})


def test_halves_share_folders_without_a_domains_name(tmp_path: Path) -> None:
    touch(tmp_path, "train/1.png", "test/2.png")
    halves = {"A": Domain(half="left"), "B": Domain(half="right")}
    found = names(tmp_path, halves)
    assert found["train"] == {"A": ["1.png"], "B": ["1.png"]}
    assert found["test"] == {"A": ["2.png"], "B": ["2.png"]}


def test_val_share_splits_only_domains_without_validation_images(root: Path) -> None:
    found = names(root, {"A": Domain(), "B": Domain()}, val_share=0.3)
    assert found["val"]["B"] == ["v.png"], "B has its own"
    assert len(found["train"]["B"]) == 3
    assert len(found["val"]["A"]) == 3
    assert sorted(found["train"]["A"] + found["val"]["A"]) == [f"{i}.png" for i in range(10)]
    assert names(root, {"A": Domain(), "B": Domain()}, val_share=0.3) == found


@pytest.mark.parametrize("share", [-0.1, 1])
def test_a_val_share_outside_0_to_1_is_refused(root: Path, share: float) -> None:
    with pytest.raises(DataError, match=rf"data\.val_share is {share}"):
        find_splits(root, {"A": Domain()}, val_share=share)


def test_the_folder_of_a_split_is_traina_or_train_a(tmp_path: Path) -> None:
    touch(tmp_path, "trainA/1.png", "train/A/2.png", "train/B/3.png")
    assert names(tmp_path, {"A": Domain(), "B": Domain()})["train"] == {"A": ["1.png"], "B": ["3.png"]}


@pytest.mark.parametrize(
    ("there", "remedy"),
    [
        ("A/x.png", "the folders in ROOT are: A; set data.root to the folder that holds trainA and trainB"),
        ("horses/trainA/x.png", "the folders in ROOT are: horses; set data.root=ROOT/horses"),
        ("horses/train/A/x.png", "the folders in ROOT are: horses; set data.root=ROOT/horses"),
        ("x.png", "the folders in ROOT are: nothing; set data.root to"),
        ("", "ROOT does not exist; set data.root to"),
    ],
)
def test_a_missing_folder_is_an_error_with_the_remedy(tmp_path: Path, there: str, remedy: str) -> None:
    root = tmp_path / "root"
    if there:
        touch(root, there)
    with pytest.raises(DataError, match=r"there is no folder .*trainA: ") as caught:
        find_splits(root, {"A": Domain()})
    assert remedy in str(caught.value).replace(str(root), "ROOT")


def test_domains_of_the_same_files_name_their_folder(tmp_path: Path) -> None:
    touch(tmp_path, "train/1.png", "train/sub/2.png", "trainB/3.png", "test/4.png")
    domains = {"A": Domain(folder=""), "B": Domain(folder=""), "C": Domain(folder="B")}
    found = names(tmp_path, domains)
    assert found["train"] == {"A": ["1.png", "2.png"], "B": ["1.png", "2.png"], "C": ["3.png"]}
    assert found["test"] == {"A": ["4.png"], "B": ["4.png"]}, "which are optional"
    with pytest.raises(
        DataError, match=r"there is no folder .*train: .* set data.root to the folder that holds train$"
    ):
        find_splits(tmp_path / "test", {"A": Domain(folder="")})


def test_a_missing_published_data_set_names_the_command_that_downloads_it(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"download it: cyclegan-data download horse2zebra\."):
        find_splits(tmp_path / "horse2zebra", {"A": Domain()})
