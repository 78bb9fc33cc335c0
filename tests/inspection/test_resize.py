"""Prepared copies of a data set: training sees the same images; interrupted and changed preparations."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from cyclegan.data.sizes import RESIZES
from cyclegan.data.transforms import Planes, TrainingView, half_of
from cyclegan.errors import DataError
from cyclegan.images import PixelFormat, Pixels, header, read, write
from cyclegan.inspection.resize import SETTINGS, Recipe, prepare, shrink


def noise(seed: int, shape: tuple[int, ...] = (30, 40, 3), dtype: str = "uint8") -> Pixels:
    rng = np.random.default_rng(seed)
    if dtype == "float32":
        return rng.normal(size=shape).astype(np.float32)
    pixels: NDArray[np.uint8] = rng.integers(0, np.iinfo(dtype).max, shape).astype(dtype)
    return pixels


def sized(view: TrainingView, pixels: Pixels) -> Planes:
    return view.sized(pixels, pixels.shape[1], pixels.shape[0])


def shrunk(source: Path, recipe: Recipe) -> Path:
    """Prepare one image and return the path of the result."""
    out = source.parent / "prepared"
    out.mkdir()
    assert shrink(source.name, source.parent, out, recipe) == ""
    (output,) = out.iterdir()
    return output


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "set"
    write(noise(0), root / "trainA/sub/0.jpg")
    write(noise(1), root / "trainA/1.png")
    write(noise(2), root / "trainB/2.png")
    (root / "trainB/readme.txt").write_text("no image")
    return root


def files_of(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("resize", RESIZES)
@pytest.mark.parametrize(
    ("shape", "dtype", "pixel_format"),
    [
        ((30, 41, 3), "uint8", PixelFormat()),
        ((30, 41, 1), "uint8", PixelFormat()),  # grey, which becomes three channels
        ((30, 41, 1), "uint16", PixelFormat()),
        ((30, 41, 3), "uint16", PixelFormat()),
        ((30, 41, 4), "uint8", PixelFormat(4)),
        ((30, 41, 6), "uint16", PixelFormat(6)),
        ((30, 41, 1), "float32", PixelFormat(1, range=(-3.0, 3.0))),
    ],
)
def test_training_sees_the_same_pixels(
    tmp_path: Path, shape: tuple[int, ...], dtype: str, pixel_format: PixelFormat, resize: str
) -> None:
    source = tmp_path / "source.tif"
    write(noise(0, shape, dtype), source)
    prepared = shrunk(source, Recipe(20, resize, channels=pixel_format.channels))
    view = TrainingView(20, None, False, resize)
    before, after = (sized(view, read(path, pixel_format)) for path in (source, prepared))
    assert header(prepared).dtype == dtype
    np.testing.assert_array_equal(after, before)
    assert read(prepared, pixel_format).shape[:2] == before.shape[1:]  # small already: nothing is left to resize


def test_halves_of_pairs_are_resized_separately(tmp_path: Path) -> None:
    source = tmp_path / "pair.png"
    write(noise(0, (30, 41, 3)), source)  # of an odd width: the column in the middle belongs to neither
    prepared = read(shrunk(source, Recipe(20, pairs=True)))
    view = TrainingView(20, 20, False)
    assert prepared.shape == (20, 40, 3)
    for half in ("left", "right"):
        before = sized(view, half_of(read(source), half))
        np.testing.assert_array_equal(half_of(prepared, half).transpose(2, 0, 1), before)


@pytest.mark.parametrize(
    ("shape", "dtype", "channels", "extension"),
    [
        ((8, 8, 3), "uint8", 3, ".jpg"),
        ((8, 8, 1), "uint8", 3, ".jpg"),
        ((8, 8, 4), "uint8", 4, ".png"),  # a JPEG has no alpha channel
        ((8, 8, 3), "uint16", 3, ".png"),  # never through 8 bits
        ((8, 8, 6), "uint8", 6, ".tif"),
        ((8, 8, 1), "float32", 1, ".tif"),
    ],
)
def test_pixels_that_a_jpeg_cannot_hold_are_stored_lossless(
    tmp_path: Path, shape: tuple[int, ...], dtype: str, channels: int, extension: str
) -> None:
    write(noise(0, shape, dtype), tmp_path / "source.tif")
    recipe = Recipe(4, format="jpg", channels=channels)
    assert shrunk(tmp_path / "source.tif", recipe).suffix == extension


def test_grey_images_are_stored_with_one_channel(tmp_path: Path) -> None:
    grey: NDArray[np.uint8] = np.repeat(noise(0, (8, 8, 1)), 3, axis=2).astype(np.uint8)
    write(grey, tmp_path / "source.png")
    assert header(shrunk(tmp_path / "source.png", Recipe(4))).channels == 1


def test_folders_and_names_are_kept(root: Path, tmp_path: Path) -> None:
    outcome = prepare(root, tmp_path / "out", Recipe(16))
    assert files_of(tmp_path / "out") == {"trainA/sub/0.png", "trainA/1.png", "trainB/2.png", SETTINGS}
    assert outcome == (3, 0, [])


def test_the_same_command_resumes(root: Path, tmp_path: Path, in_process: None) -> None:
    out = tmp_path / "out"
    prepare(root, out, Recipe(16))
    (out / "trainA/1.png").write_bytes(b"half")
    (out / "trainA/sub/0.png").unlink()
    (out / ".cache").mkdir()
    (out / ".cache/trained.cache").touch()  # of a training in between
    outcome = prepare(root, out, Recipe(16))
    assert (outcome.images, outcome.kept) == (3, 1)
    assert read(out / "trainA/1.png").shape == (16, 16, 3)
    assert prepare(root, out, Recipe(16)).kept == 3


def test_a_source_that_changed_is_prepared_again(root: Path, tmp_path: Path, in_process: None) -> None:
    out = tmp_path / "out"
    prepare(root, out, Recipe(16, format="jpg"))
    write(noise(7, dtype="uint16"), root / "trainA/1.png")
    os.utime(root / "trainA/1.png", (1e9, 1e9))  # older than its output, as files from an archive are
    assert prepare(root, out, Recipe(16, format="jpg")).kept == 2
    assert "trainA/1.png" in files_of(out)  # of 16 bits now
    assert "trainA/1.jpg" not in files_of(out)


def test_other_settings_are_refused(root: Path, tmp_path: Path, in_process: None) -> None:
    out = tmp_path / "out"
    prepare(root, out, Recipe(16))
    prepare(root, out, Recipe(16, quality=50))  # which does not concern png
    with pytest.raises(DataError, match=r"prepared with load_size=16, resize=stretch: choose another folder"):
        prepare(root, out, Recipe(20, "width"))
    assert read(out / "trainA/1.png").shape == (16, 16, 3)


def test_broken_images_are_left_out_and_reported(root: Path, tmp_path: Path, in_process: None) -> None:
    out = tmp_path / "out"
    prepare(root, out, Recipe(16))
    (root / "trainA/1.png").write_bytes(b"<html>")
    (root / "trainA/0.png").write_bytes(b"")
    outcome = prepare(root, out, Recipe(16))
    assert files_of(out) == {"trainA/sub/0.png", "trainB/2.png", SETTINGS}
    assert [error.split(":")[0] for error in outcome.errors] == [f"{root}/trainA/0.png", f"{root}/trainA/1.png"]
    assert outcome.images == 2
    write(noise(3), root / "trainA/1.png")
    assert prepare(root, out, Recipe(16)).images == 3


def test_two_images_with_the_same_output_are_refused(root: Path, tmp_path: Path) -> None:
    shutil.copy(root / "trainA/1.png", root / "trainA/1.tif")
    with pytest.raises(DataError, match=r"trainA/1\.png and trainA/1\.tif would both become trainA/1: rename one"):
        prepare(root, tmp_path / "out", Recipe(16))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("inside", [".", "trainA/../small", "link"])
def test_an_output_folder_inside_the_data_set_is_refused(root: Path, inside: str) -> None:
    (root / "link").symlink_to(root / "trainA")
    with pytest.raises(DataError, match="choose another folder"):
        prepare(root, root / inside, Recipe(16))


def test_a_folder_with_other_files_is_refused(root: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/thesis.tex").write_text("years of work")
    with pytest.raises(DataError, match=f"holds other files and no {SETTINGS}"):
        prepare(root, tmp_path / "out", Recipe(16))
    assert files_of(tmp_path / "out") == {"thesis.tex"}


def test_an_image_without_a_source_is_refused(root: Path, tmp_path: Path, in_process: None) -> None:
    prepare(root, tmp_path / "out", Recipe(16))
    (root / "trainA/sub/0.jpg").unlink()
    with pytest.raises(DataError, match=r"out/trainA/sub/0\.png has no source in the data set: put the source back"):
        prepare(root, tmp_path / "out", Recipe(16))


def test_a_data_set_without_images_is_refused(tmp_path: Path) -> None:
    (tmp_path / "set/trainA").mkdir(parents=True)
    with pytest.raises(DataError, match="has no images"):
        prepare(tmp_path / "set", tmp_path / "out", Recipe(16))
