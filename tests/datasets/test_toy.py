from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from cyclegan.datasets import toy
from cyclegan.datasets.toy import draw
from cyclegan.errors import DataError

Images = dict[str, NDArray[np.float64]]


def images(folder: Path) -> Images:
    return {path.name: np.asarray(Image.open(path), dtype=np.float64) for path in sorted(folder.iterdir())}


def contents(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("data") / "toy"
    draw(root, train=12, test=10)
    return root


def test_the_set_has_the_usual_folders(root: Path) -> None:
    assert sorted(path.name for path in root.iterdir()) == ["testA", "testB", "toy.json", "trainA", "trainB"]
    assert [len(list((root / name).iterdir())) for name in ("trainA", "trainB", "testA", "testB")] == [12, 12, 10, 10]
    assert all(image.shape == (64, 64, 3) for image in images(root / "trainA").values())


def test_test_images_are_paired_and_differ_in_the_animals_only(root: Path) -> None:
    plain, striped = images(root / "testA"), images(root / "testB")
    assert plain.keys() == striped.keys()
    for name in plain:
        changed = np.abs(plain[name] - striped[name]).max(axis=-1) > 2
        assert 0.1 < changed.mean() < 0.35, "only the animals differ"
        assert not changed[:4].any(), "the sky is the same"


def test_every_scene_is_drawn_once(root: Path) -> None:
    # Two images of one scene agree wherever there is no animal, in three quarters of their pixels.
    everything = [*images(root / "trainA").values(), *images(root / "trainB").values()]
    everything += images(root / "testA").values()
    for i, one in enumerate(everything):
        assert all((np.abs(one - other).max(axis=-1) <= 2).mean() < 0.5 for other in everything[:i])


def test_copying_the_input_has_a_low_psnr(root: Path) -> None:
    plain, striped = images(root / "testA"), images(root / "testB")
    psnr = [10 * np.log10(255**2 / np.square(plain[name] - striped[name]).mean()) for name in plain]
    assert 13 < np.mean(psnr) < 15.5


def test_stripes_depend_on_the_column_only(root: Path) -> None:
    plain, striped = images(root / "testA"), images(root / "testB")
    black_or_white = np.array([np.cos(2 * np.pi * (x + 0.5 - 32) / 4) < 0 for x in range(64)])  # white
    for name in plain:
        coat = (np.abs(plain[name] - striped[name]) > 60).any(axis=-1)
        bright = striped[name].mean(axis=-1) > plain[name].mean(axis=-1)
        assert np.array_equal(bright[coat], np.broadcast_to(black_or_white, (64, 64))[coat])
    assert np.array_equal(black_or_white, black_or_white[::-1])


def test_drawing_is_deterministic(root: Path, tmp_path: Path) -> None:
    draw(tmp_path / "again", train=12, test=10)
    assert contents(tmp_path / "again") == contents(root)


def test_scenes_depend_on_the_seed_and_not_on_the_number(root: Path, tmp_path: Path) -> None:
    draw(tmp_path / "longer", train=13, test=1)
    longer, shorter = images(tmp_path / "longer" / "trainA"), images(root / "trainA")
    assert all(np.array_equal(longer[name], shorter[name]) for name in shorter)
    draw(tmp_path / "other", train=1, test=1, seed=1)
    assert not np.array_equal(images(tmp_path / "other" / "trainA")["0000.png"], longer["0000.png"])


def test_the_same_set_is_not_drawn_again(tmp_path: Path) -> None:
    draw(tmp_path / "toy", train=1, test=1, size=16)
    (tmp_path / "toy" / "trainA" / "0000.png").write_bytes(b"untouched")
    draw(tmp_path / "toy", train=1, test=1, size=16)
    assert (tmp_path / "toy" / "trainA" / "0000.png").read_bytes() == b"untouched"


def test_an_empty_folder_is_filled(tmp_path: Path) -> None:
    draw(str(tmp_path / "a" / "b"), train=1, test=1, size=16)
    (tmp_path / "empty").mkdir()
    draw(tmp_path / "empty", train=1, test=1, size=16)
    assert contents(tmp_path / "empty") == contents(tmp_path / "a" / "b")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "empty"], "nothing else is left"


def test_a_folder_with_other_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / "trainA").mkdir()
    (tmp_path / "holiday.jpg").write_bytes(b"mine")
    with pytest.raises(DataError, match=r"found: holiday\.jpg, trainA\..*experiment=folders data\.root=") as caught:
        draw(tmp_path, train=1, test=1, size=16)
    assert f"data.root={tmp_path}" in str(caught.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["holiday.jpg", "trainA"]


def test_another_toy_set_is_refused(tmp_path: Path) -> None:
    draw(tmp_path / "toy", train=1, test=1, size=16)
    with pytest.raises(DataError, match=r"another toy set .*'size': 16.*'size': 32.*remove that folder"):
        draw(tmp_path / "toy", train=1, test=1, size=32)


def test_an_interrupted_drawing_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(toy, "_move", interrupted)
    with pytest.raises(KeyboardInterrupt):
        draw(tmp_path / "toy", train=1, test=1, size=16)
    assert list(tmp_path.iterdir()) == []


def test_two_processes_may_draw_the_same_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    move = toy._move

    def overtaken(staging: Path, root: Path, parameters: dict[str, int]) -> None:
        monkeypatch.setattr(toy, "_move", move)
        draw(root, train=1, test=1, size=16)
        move(staging, root, parameters)

    monkeypatch.setattr(toy, "_move", overtaken)
    draw(tmp_path / "toy", train=1, test=1, size=16)
    assert [path.name for path in tmp_path.iterdir()] == ["toy"]
