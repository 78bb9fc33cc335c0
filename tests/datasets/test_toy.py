from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from cyclegan.datasets import toy
from cyclegan.datasets.toy import draw
from cyclegan.datasets.toy_scenes import draw_scene
from cyclegan.errors import DataError

Images = NDArray[np.float64]


def images(folder: Path) -> Images:
    """Return the images of a folder, (N, H, W, 3), in the order of their names."""
    return np.stack([np.asarray(Image.open(path), dtype=np.float64) for path in sorted(folder.iterdir())])


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("data") / "toy"
    draw(root, train=12, test=10)
    return root


@pytest.fixture(scope="module")
def pairs(root: Path) -> tuple[Images, Images]:
    assert [path.name for path in (root / "testA").iterdir()] == [path.name for path in (root / "testB").iterdir()]
    return images(root / "testA"), images(root / "testB")


def test_folders_counts_and_sizes(root: Path) -> None:
    assert sorted(path.name for path in root.iterdir()) == ["testA", "testB", "toy.json", "trainA", "trainB"]
    shapes = [images(root / name).shape for name in ("trainA", "trainB", "testA", "testB")]
    assert shapes == [(12, 64, 64, 3), (12, 64, 64, 3), (10, 64, 64, 3), (10, 64, 64, 3)]


def test_paired_test_images_differ_in_the_animals_only(pairs: tuple[Images, Images]) -> None:
    plain, striped = pairs
    changed = np.abs(plain - striped).max(axis=-1) > 2
    share = changed.mean(axis=(1, 2))
    assert 0.1 < share.min() < share.max() < 0.35
    assert not changed[:, :4].any(), "the sky is the same"


def test_no_scene_is_drawn_twice(root: Path) -> None:
    # Two images of one scene agree wherever there is no animal, in three quarters of their pixels.
    everything = np.concatenate([images(root / name) for name in ("trainA", "trainB", "testA")])
    for i, one in enumerate(everything):
        assert all((np.abs(one - other).max(axis=-1) <= 2).mean() < 0.5 for other in everything[:i])


def test_copying_the_input_has_a_low_psnr(pairs: tuple[Images, Images]) -> None:
    psnr = 10 * np.log10(255**2 / np.square(pairs[0] - pairs[1]).mean(axis=(1, 2, 3)))
    assert 13 < psnr.mean() < 15.5


def test_stripes_depend_on_the_column_only(pairs: tuple[Images, Images]) -> None:
    plain, striped = pairs
    is_white = np.cos(2 * np.pi * (np.arange(64) + 0.5 - 32) / 4) < 0
    coat = (np.abs(plain - striped) > 60).any(axis=-1)
    brighter = striped.mean(axis=-1) > plain.mean(axis=-1)
    assert np.array_equal(brighter[coat], np.broadcast_to(is_white, coat.shape)[coat])
    assert np.array_equal(is_white, is_white[::-1]), "a horizontal flip changes nothing"


def test_scenes_depend_on_the_seed_and_not_on_the_number_of_images(root: Path, tmp_path: Path) -> None:
    draw(tmp_path / "longer", train=13, test=1)
    longer = images(tmp_path / "longer" / "trainA")
    assert np.array_equal(longer[:12], images(root / "trainA"))
    draw(tmp_path / "other", train=1, test=1, seed=1)
    assert not np.array_equal(images(tmp_path / "other" / "trainA")[0], longer[0])


def test_an_existing_set_is_not_drawn_again(tmp_path: Path) -> None:
    draw(tmp_path / "toy", train=1, test=1, size=16)
    (tmp_path / "toy" / "trainA" / "0000.png").write_bytes(b"untouched")
    draw(tmp_path / "toy", train=1, test=1, size=16)
    assert (tmp_path / "toy" / "trainA" / "0000.png").read_bytes() == b"untouched"
    with pytest.raises(DataError, match=r'another toy set .*"size": 16.*"size": 32.*remove that folder'):
        draw(tmp_path / "toy", train=1, test=1, size=32)


def test_missing_and_empty_folders_are_filled(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for folder in ("empty", "a/b"):
        draw(str(tmp_path / folder), train=1, test=1, size=16)
        assert images(tmp_path / folder / "testB").shape == (1, 16, 16, 3)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "empty"], "nothing else is left"


def test_a_folder_with_other_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / "trainA").mkdir()
    (tmp_path / "holiday.jpg").write_bytes(b"mine")
    found = rf"found: holiday\.jpg, trainA\..*experiment=folders data\.root={tmp_path}"
    with pytest.raises(DataError, match=found):
        draw(tmp_path, train=1, test=1, size=16)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["holiday.jpg", "trainA"]


def test_interrupted_drawing_leaves_no_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(toy, "draw_scene", interrupted)
    with pytest.raises(KeyboardInterrupt):
        draw(tmp_path / "toy", train=1, test=1, size=16)
    assert list(tmp_path.iterdir()) == []


def test_two_processes_may_draw_the_same_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def overtaken(rng: np.random.Generator, size: int, striped: bool) -> Image.Image:
        monkeypatch.setattr(toy, "draw_scene", draw_scene)
        draw(tmp_path / "toy", train=1, test=1, size=16)
        return draw_scene(rng, size, striped)

    monkeypatch.setattr(toy, "draw_scene", overtaken)
    draw(tmp_path / "toy", train=1, test=1, size=16)
    assert [path.name for path in tmp_path.iterdir()] == ["toy"]
