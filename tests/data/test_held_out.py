"""Held-out images: the split, size, pairs and cache key."""

from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from cyclegan.data.datamodule import ImageDataModule
from cyclegan.data.domains import Domain
from cyclegan.data.held_out import HeldOut
from cyclegan.data.reader import spaced
from cyclegan.data.transforms import TrainingView
from cyclegan.errors import DataError
from cyclegan.images import RGB, ImageError
from tests.toy_runs import toy_data

VIEW = TrainingView(load_size=None, crop_size=8, flip=False)


def draw(folder: Path, *names: str, size: tuple[int, int] = (8, 8)) -> None:
    """Write images of one colour each, a different one for every name."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        Image.new("RGB", size, (10 * len(name), sum(name.encode()) % 256, 0)).save(folder / name)


def found(
    root: Path | None, splits: tuple[str, ...] = ("test", "val"), at_most: int | None = None, **arguments: Any
) -> HeldOut:
    view = arguments.pop("view", VIEW)
    data = ImageDataModule(root, **arguments)
    data.view = view
    return data.find_held_out(splits, dict.fromkeys("AB", RGB), at_most)


def test_training_images_may_be_missing_and_the_first_split_is_used(tmp_path: Path) -> None:
    draw(tmp_path / "testA", "1.png", "2.png")
    draw(tmp_path / "testB", "1.png")
    draw(tmp_path / "valA", "3.png")
    draw(tmp_path / "valB", "4.png")
    assert (found(tmp_path).split, found(tmp_path, ("val",)).split) == ("test", "val")
    assert [found(tmp_path).describe(domain) for domain in "AB"] == ["2 of testA", "1 of testB"]


def test_a_split_that_one_domain_lacks_is_skipped(tmp_path: Path) -> None:
    draw(tmp_path / "testA", "1.png")
    draw(tmp_path / "valA", "3.png")
    draw(tmp_path / "valB", "4.png")
    assert found(tmp_path).split == "val"


def test_val_share_chooses_the_same_images_as_the_run(tmp_path: Path) -> None:
    data = toy_data(tmp_path, train=10, test=2)
    data.val_share = 0.3
    data.prepare_data()
    data.setup()
    of_run = data.held_out()
    assert of_run is not None
    here = found(tmp_path, ("val",), val_share=0.3)
    rest = found(tmp_path, ("train",), val_share=0.3)
    for domain in "AB":
        assert [here.path(domain, i) for i in here.indices[domain]] == [
            of_run.path(domain, i) for i in of_run.indices[domain]
        ]
        assert (len(here.domains[domain]), len(rest.domains[domain])) == (3, 7)


def test_max_images_limits_the_training_images_as_in_the_run(tmp_path: Path) -> None:
    draw(tmp_path / "trainA", *(f"{i}.png" for i in range(5)))
    draw(tmp_path / "trainB", *(f"{i}.png" for i in range(3)))
    assert [len(found(tmp_path, ("train",), max_images=4).domains[domain]) for domain in "AB"] == [4, 3]


def test_missing_images_are_reported(tmp_path: Path) -> None:
    draw(tmp_path / "trainA", "1.png")
    with pytest.raises(DataError, match=f"there are no test or val images of every domain in {tmp_path}"):
        found(tmp_path)


def test_halves_of_one_file_are_paired(tmp_path: Path) -> None:
    draw(tmp_path / "test", "1.png", "2.png", size=(16, 8))
    pairs = found(tmp_path, domains={"A": Domain(half="left"), "B": Domain(half="right")})
    assert pairs.paired == "side by side"
    assert pairs.ground_truth == {("A", "B"): {0: 0, 1: 1}, ("B", "A"): {0: 0, 1: 1}}


def test_images_of_the_same_name_are_paired_only_by_name(tmp_path: Path) -> None:
    draw(tmp_path / "testA", "a.png", "b.png", "c.png")
    draw(tmp_path / "testB", "b.jpg", "c.png", "d.png")
    by_name = found(tmp_path, pairing="by_name")
    assert by_name.ground_truth == {("A", "B"): {1: 0, 2: 1}, ("B", "A"): {0: 1, 1: 2}}
    assert (
        by_name.describe_pairing("...")
        == "2 images of testA and testB are paired by name: PSNR, SSIM and L1 are measured"
    )
    by_default, without = found(tmp_path), found(tmp_path, pairing="none")
    assert by_default.ground_truth == without.ground_truth == {}
    assert (by_default.paired, by_name.paired) == ("none", "by name")
    offer = "2 images of testA and testB have the same name; if they show the same scene, X measures PSNR, SSIM and L1"
    assert by_default.describe_pairing("X") == offer
    assert without.describe_pairing("X") == ""


def test_pairing_by_name_without_common_names_is_reported(tmp_path: Path) -> None:
    draw(tmp_path / "testA", "a.png")
    draw(tmp_path / "testB", "b.png")
    assert found(tmp_path).describe_pairing("X") == ""
    assert "no image of testA and testB has the same name" in found(tmp_path, pairing="by_name").describe_pairing("X")


def test_halves_of_two_files_are_not_paired_by_their_numbers(tmp_path: Path) -> None:
    for folder in ("one", "other"):
        draw(tmp_path / folder, "1.png", size=(16, 8))
    halves = {"A": Domain(test="one", half="left"), "B": Domain(test="other", half="right")}
    assert found(tmp_path, domains=halves).ground_truth == {}


@pytest.mark.parametrize(
    ("view", "words"),
    [
        (TrainingView(8, 4, flip=True), "4×4, the middle of images stretched to 8"),
        (TrainingView(8, 4, flip=True, resize="width"), "4×4, the middle of images resized in width to 8"),
        (TrainingView(None, 4, flip=True), "4×4, the middle of images not resized"),
        (TrainingView(8, None, flip=True, resize="short_side"), "whole images, resized in their short side to 8"),
        (TrainingView(None, None, flip=True), "whole images, not resized"),
    ],
)
def test_the_size_in_words(tmp_path: Path, view: TrainingView, words: str) -> None:
    draw(tmp_path / "testA", "1.png")
    draw(tmp_path / "testB", "1.png")
    assert found(tmp_path, view=view).size == words


def test_an_unreadable_image_is_skipped_only_with_on_error_skip(tmp_path: Path) -> None:
    draw(tmp_path / "testA", "1.png")
    draw(tmp_path / "testB", "1.png")
    (tmp_path / "testA" / "1.png").write_bytes(b"no image")
    assert found(tmp_path, on_error="skip").image("A", 0) is None
    with pytest.raises(ImageError, match=r"testA.1\.png"):
        found(tmp_path).image("A", 0)


def test_a_limited_number_of_images_is_evenly_spaced() -> None:
    assert list(spaced(10, None)) == list(range(10))
    assert spaced(10, 4) == [0, 2, 5, 7]
    assert list(spaced(3, 4)) == [0, 1, 2]


def test_the_key_changes_with_the_files_and_the_transform(tmp_path: Path) -> None:
    draw(tmp_path / "testA", "1.png", "2.png")
    draw(tmp_path / "testB", "1.png", "2.png")
    before = found(tmp_path).key("A")
    assert found(tmp_path).key("A") == before
    others = [
        found(tmp_path, view=TrainingView(None, 4, flip=False)).key("A"),
        found(tmp_path, at_most=1).key("A"),
        found(tmp_path).key("B"),
    ]
    draw(tmp_path / "testA", "1.png", size=(9, 9))
    others.append(found(tmp_path).key("A"))
    assert len({before, *others}) == 5


def test_the_key_stays_when_the_data_set_is_moved(tmp_path: Path) -> None:
    draw(tmp_path / "here" / "testA", "1.png")
    draw(tmp_path / "here" / "testB", "1.png")
    before = found(tmp_path / "here").key("A")
    (tmp_path / "here").rename(tmp_path / "there")
    assert found(tmp_path / "there").key("A") == before
