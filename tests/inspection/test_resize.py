"""Prepared copies of a data set: that training sees the same images, and what happens when not all goes well."""

import json
import shutil
from collections import namedtuple
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from cyclegan.data.sizes import RESIZES
from cyclegan.data.transforms import Planes, TrainingView, half_of
from cyclegan.errors import DataError
from cyclegan.images import PixelFormat, Pixels, header, read, write
from cyclegan.inspection import resize as preparing
from cyclegan.inspection.manifest import NAME
from cyclegan.inspection.resize import Job, Recipe, prepare, shrink
from tests.inspection.alone import Alone
from tests.inspection.crashes import refuse_or_die


def noise(seed: int, shape: tuple[int, ...] = (30, 40, 3), dtype: str = "uint8") -> Pixels:
    rng = np.random.default_rng(seed)
    if dtype == "float32":
        return rng.normal(size=shape).astype(np.float32)
    pixels: NDArray[np.uint8] = rng.integers(0, np.iinfo(dtype).max, shape).astype(dtype)
    return pixels


def sized(view: TrainingView, pixels: Pixels) -> Planes:
    return view.sized(pixels, pixels.shape[1], pixels.shape[0])


def job(source: Path, target: Path) -> Job:
    return Job(str(source), source.name, 0, 0, str(target))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "set"
    write(noise(0), root / "trainA/sub/0.jpg")
    write(noise(1), root / "trainA/1.png")
    write(noise(2), root / "trainB/2.png")
    (root / "trainB/readme.txt").write_text("no image")
    return root


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cyclegan.inspection.resize.Crew", Alone)


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
    done = shrink(job(source, tmp_path / "prepared"), Recipe(20, resize, pixel_format=pixel_format))
    prepared = tmp_path / f"prepared{done.ending}"
    view = TrainingView(20, None, False, resize)
    before, after = (sized(view, read(path, pixel_format)) for path in (source, prepared))
    assert header(prepared).dtype == dtype
    np.testing.assert_array_equal(after, before)
    assert read(prepared, pixel_format).shape[:2] == before.shape[1:]  # small already: nothing is left to resize


def test_halves_of_pairs_are_resized_each(tmp_path: Path) -> None:
    source = tmp_path / "pair.png"
    write(noise(0, (30, 41, 3)), source)  # of an odd width: the column in the middle belongs to neither
    shrink(job(source, tmp_path / "prepared"), Recipe(20, pairs=True))
    view = TrainingView(20, 20, False)
    prepared = read(tmp_path / "prepared.png")
    assert prepared.shape == (20, 40, 3)
    for half in ("left", "right"):
        before = sized(view, half_of(read(source), half))
        np.testing.assert_array_equal(half_of(prepared, half).transpose(2, 0, 1), before)


@pytest.mark.parametrize(
    ("shape", "dtype", "channels", "ending"),
    [
        ((8, 8, 3), "uint8", 3, ".jpg"),
        ((8, 8, 1), "uint8", 3, ".jpg"),
        ((8, 8, 4), "uint8", 4, ".png"),  # a JPEG has no alpha channel
        ((8, 8, 3), "uint16", 3, ".png"),  # never through 8 bits
        ((8, 8, 6), "uint8", 6, ".tif"),
        ((8, 8, 1), "float32", 1, ".tif"),
    ],
)
def test_what_the_wanted_format_cannot_hold_becomes_lossless(
    tmp_path: Path, shape: tuple[int, ...], dtype: str, channels: int, ending: str
) -> None:
    write(noise(0, shape, dtype), tmp_path / "source.tif")
    recipe = Recipe(4, ending=".jpg", pixel_format=PixelFormat(channels))
    assert shrink(job(tmp_path / "source.tif", tmp_path / "prepared"), recipe).ending == ending


def test_grey_takes_one_channel(tmp_path: Path) -> None:
    grey: NDArray[np.uint8] = np.repeat(noise(0, (8, 8, 1)), 3, axis=2).astype(np.uint8)
    write(grey, tmp_path / "source.png")
    shrink(job(tmp_path / "source.png", tmp_path / "prepared"), Recipe(4))
    assert header(tmp_path / "prepared.png").channels == 1


def test_names_and_folders_stay_and_the_work_is_done_by_processes(root: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    seen = []

    def progress(results: object, total: int) -> object:
        seen.append(total)
        return results

    outcome = prepare(root, out, Recipe(16), 1, progress)  # type: ignore[arg-type]
    assert files_of(out) == {"trainA/sub/0.png", "trainA/1.png", "trainB/2.png", NAME}
    names = ("trainA/sub/0.jpg", "trainA/1.png", "trainB/2.png")
    assert outcome.source_bytes == sum((root / name).stat().st_size for name in names)
    assert outcome.output_bytes == sum(path.stat().st_size for path in out.glob("train*/**/*.png"))
    assert (outcome.images, outcome.kept, outcome.errors, seen) == (3, 0, [], [3])


def test_the_same_command_goes_on(root: Path, tmp_path: Path, alone: None) -> None:
    out = tmp_path / "out"
    prepare(root, out, Recipe(16))
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*.png")}
    (out / "trainA/1.png").write_bytes(b"half")  # of another size than was noted
    with (out / NAME).open("a", encoding="utf-8") as manifest:
        manifest.write('{"source": "trainB/2.p')  # a line that was cut off
    outcome = prepare(root, out, Recipe(16))
    assert (outcome.images, outcome.kept) == (3, 2)
    changed = {path.name for path, mtime in before.items() if path.stat().st_mtime_ns != mtime}
    assert changed == {"1.png"}
    assert read(out / "trainA/1.png").shape == (16, 16, 3)
    assert [json.loads(line)["source"] for line in (out / NAME).read_text().splitlines()[1:]] == [
        "trainA/1.png",
        "trainA/sub/0.jpg",
        "trainB/2.png",
        "trainA/1.png",  # the new one, which counts
    ]
    assert prepare(root, out, Recipe(16)).kept == 3


def test_a_source_that_changed_is_prepared_anew(root: Path, tmp_path: Path, alone: None) -> None:
    out = tmp_path / "out"
    prepare(root, out, Recipe(16, ending=".jpg"))
    write(noise(7, dtype="uint16"), root / "trainA/1.png")
    assert prepare(root, out, Recipe(16, ending=".jpg")).kept == 2
    assert "trainA/1.png" in files_of(out)  # of 16 bits now
    assert "trainA/1.jpg" not in files_of(out)  # or there would be two of it


def test_other_settings_are_refused(root: Path, tmp_path: Path, alone: None) -> None:
    out = tmp_path / "out"
    prepare(root, out, Recipe(16))
    prepare(root, out, Recipe(16, quality=50))  # which a png does not have
    with pytest.raises(DataError, match=r"prepared with load_size=16, resize=stretch: give another folder"):
        prepare(root, out, Recipe(20, "width"))
    assert read(out / "trainA/1.png").shape == (16, 16, 3)


def test_broken_images_are_left_out_and_named(root: Path, tmp_path: Path, alone: None) -> None:
    (root / "trainA/1.png").write_bytes(b"<html>")
    (root / "trainA/0.png").write_bytes(b"")
    outcome = prepare(root, tmp_path / "out", Recipe(16))
    assert files_of(tmp_path / "out") == {"trainA/sub/0.png", "trainB/2.png", NAME}
    assert [error.split(":")[0] for error in outcome.errors] == [f"{root}/trainA/0.png", f"{root}/trainA/1.png"]
    assert outcome.images == 2
    write(noise(3), root / "trainA/1.png")  # mended
    assert prepare(root, tmp_path / "out", Recipe(16)).images == 3


def test_what_a_source_that_broke_had_become_is_taken_away(root: Path, tmp_path: Path, alone: None) -> None:
    prepare(root, tmp_path / "out", Recipe(16))
    (root / "trainA/1.png").write_bytes(b"")
    assert prepare(root, tmp_path / "out", Recipe(16)).images == 2
    assert "trainA/1.png" not in files_of(tmp_path / "out")


def test_an_image_that_crashes_the_decoder_is_left_out(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preparing, "shrink", refuse_or_die)
    outcome = prepare(root, tmp_path / "out", Recipe(16), workers=1)
    assert outcome.images == 0
    assert [error.split(":")[1][:35] for error in outcome.errors] == [
        " the process that read it was kille",
        " refused",
        " refused",
    ]


def test_two_images_that_would_become_one_are_named_before_work_begins(root: Path, tmp_path: Path) -> None:
    shutil.copy(root / "trainA/1.png", root / "trainA/1.tif")
    with pytest.raises(DataError, match=r"trainA/1\.png and trainA/1\.tif would both become trainA/1: rename one"):
        prepare(root, tmp_path / "out", Recipe(16))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("inside", [".", "small", "trainA/../small", "link"])
def test_a_place_inside_the_data_set_is_refused(root: Path, tmp_path: Path, inside: str) -> None:
    (root / "link").symlink_to(root / "trainA")
    with pytest.raises(DataError, match="or lies in it"):
        prepare(root, root / inside, Recipe(16))


def test_a_folder_that_holds_something_else_is_refused(root: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/thesis.tex").write_text("years of work")
    with pytest.raises(DataError, match=f"holds other files and no {NAME}"):
        prepare(root, tmp_path / "out", Recipe(16))
    assert files_of(tmp_path / "out") == {"thesis.tex"}


def test_a_damaged_manifest_is_refused(root: Path, tmp_path: Path, alone: None) -> None:
    prepare(root, tmp_path / "out", Recipe(16))
    (tmp_path / "out" / NAME).write_text("not JSON\n")
    with pytest.raises(DataError, match="is damaged"):
        prepare(root, tmp_path / "out", Recipe(16))


def test_an_image_whose_source_is_gone_is_named(root: Path, tmp_path: Path, alone: None) -> None:
    prepare(root, tmp_path / "out", Recipe(16))
    (root / "trainA/sub/0.jpg").unlink()
    with pytest.raises(
        DataError, match=r"holds trainA/sub/0\.png, whose source trainA/sub/0\.jpg is gone: put it back"
    ):
        prepare(root, tmp_path / "out", Recipe(16))


def test_nothing_to_prepare(tmp_path: Path) -> None:
    (tmp_path / "set/trainA").mkdir(parents=True)
    with pytest.raises(DataError, match="there is no image in"):
        prepare(tmp_path / "set", tmp_path / "out", Recipe(16))


def test_too_little_room_is_said_after_the_first_images(
    root: Path, tmp_path: Path, alone: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(preparing, "SAMPLES", 1)
    monkeypatch.setattr("shutil.disk_usage", lambda path: usage(10**9, 10**9, 100))
    with pytest.raises(DataError, match=r"0\.00 GB left, and the other 2 images .* 1 are done"):
        prepare(root, tmp_path / "out", Recipe(16))
    monkeypatch.undo()
    monkeypatch.setattr("cyclegan.inspection.resize.Crew", Alone)
    outcome = prepare(root, tmp_path / "out", Recipe(16))
    assert (outcome.images, outcome.kept) == (3, 1)
