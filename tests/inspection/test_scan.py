"""What `check` finds in a data set, held against folders whose content was chosen image by sample."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cyclegan.data.file_list import Files
from cyclegan.errors import DataError
from cyclegan.images import RGB, PixelFormat, write
from cyclegan.inspection import look as looking
from cyclegan.inspection.finding import Finding, Item
from cyclegan.inspection.findings import Sizing, findings
from cyclegan.inspection.folders import Folder, folders_of
from cyclegan.inspection.look import BROKEN, UNSUITABLE, Look, look
from cyclegan.inspection.report import as_json, as_text
from cyclegan.inspection.scan import FolderSurvey, Place, Survey, survey
from tests.inspection.alone import Alone
from tests.inspection.crashes import look_or_die


def image(path: Path, seed: int, width: int = 8, height: int = 6, channels: int = 3) -> Path:
    """Noise; the same seed and size give the same pixels."""
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, channels), dtype=np.uint8)
    write(pixels, path)
    return path


def same_pixels(source: Path, target: Path) -> None:
    """The image in another format: other bytes, and not a pixel changed."""
    with Image.open(source) as image:
        image.save(target)


@pytest.fixture
def messy(tmp_path: Path) -> Path:
    """trainA 4 (1 broken), trainB 5, testA 2, testB 1, and an empty valA."""
    root = tmp_path / "messy"
    for seed in range(3):
        image(root / f"trainA/{seed}.png", seed)
    (root / "trainA/9 cut.png").write_bytes((root / "trainA/0.png").read_bytes()[:60])
    (root / "trainA/notes.txt").write_text("no image")
    (root / "trainA/.hidden.png").write_text("passed over")
    image(root / "trainB/deep/0.png", 10)
    same_pixels(root / "trainB/deep/0.png", root / "trainB/deep/0.bmp")  # twice the same
    shutil.copy(root / "trainB/deep/0.png", root / "trainB/again.png")  # and a third time
    shutil.copy(root / "trainA/1.png", root / "trainB/of A.png")
    image(root / "trainB/bands.tif", 11, channels=6)
    image(root / "testA/20.png", 20, width=12)
    same_pixels(root / "trainA/2.png", root / "testA/leaked.bmp")
    image(root / "testB/20.png", 21)
    (root / "valA").mkdir()
    return root


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cyclegan.inspection.scan.Crew", Alone)


@pytest.fixture
def found(messy: Path, alone: None) -> Survey:
    return survey(messy)


def told(found: Survey, sizing: Sizing | None = None) -> dict[str, Finding]:
    return {finding.kind.key: finding for finding in findings(found, sizing or Sizing())}


def by_hand(**folders: list[tuple[int, int]]) -> Survey:
    """A survey of folders such as trainA with images of these widths and heights, all of them different."""
    surveys, number = [], 0
    for name, sizes in folders.items():
        names = [f"{index}.png" for index in range(len(sizes))]
        folder = surveyed(name, names)
        for width, height in sizes:
            number += 1
            folder.add(Look(100, "PNG", "RGB", "uint8", width, height, 1, number.to_bytes(16, "big")))
        surveys.append(folder)
    return Survey(Path("root"), surveys, [])


def surveyed(name: str, names: list[str]) -> FolderSurvey:
    return FolderSurvey(Folder(Path("root", name), name[:-1], name[-1], Files(Path("root", name), names)))


def test_folders_come_in_the_order_of_their_use(messy: Path) -> None:
    folders = folders_of(messy)
    assert [(folder.name, folder.split, folder.domain) for folder in folders] == [
        ("trainA", "train", "A"),
        ("trainB", "train", "B"),
        ("valA", "val", "A"),
        ("testA", "test", "A"),
        ("testB", "test", "B"),
    ]
    assert folders[0].passed_over == {".txt": 1, "hidden": 1}
    assert [folders[1].image(index) for index in range(5)] == [
        "again.png",
        "bands.tif",
        "deep/0.bmp",
        "deep/0.png",
        "of A.png",
    ]


def test_folders_whose_names_only_begin_like_a_split_are_no_domains(messy: Path) -> None:
    before = folders_of(messy)
    for name in ("validation", "values", "train_logs", "testing", "valC", "train-old"):
        image(messy / name / "0.png", 0)
    assert [folder.name for folder in folders_of(messy)] == [folder.name for folder in before]


def test_the_folders_of_pairs_have_no_domain(tmp_path: Path) -> None:
    for name in ("train", "val", "validation"):
        image(tmp_path / name / "0.png", 0)
    assert [(folder.name, folder.domain) for folder in folders_of(tmp_path)] == [("train", ""), ("val", "")]


def test_without_images_for_training_the_domains_are_those_of_the_others(tmp_path: Path) -> None:
    for name in ("testA", "testB"):
        image(tmp_path / name / "0.png", 0)
    assert [(folder.name, folder.domain) for folder in folders_of(tmp_path)] == [("testA", "A"), ("testB", "B")]


def test_a_plain_folder_is_one_split(tmp_path: Path, alone: None) -> None:
    image(tmp_path / "images/sub/0.png", 0)
    (tmp_path / "images/trainings").mkdir()  # a word that only begins like a split
    (folder,) = folders_of(tmp_path / "images")
    assert (folder.name, folder.split, folder.domain, folder.image(0)) == ("images", "", "", "sub/0.png")
    assert told(survey(tmp_path / "images")).keys() == {"distorted"}  # no folder is missing


@pytest.mark.parametrize(("name", "is_what"), [("nowhere", "does not exist"), ("file", "is a file")])
def test_what_is_no_folder_is_refused(tmp_path: Path, name: str, is_what: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match=is_what):
        folders_of(tmp_path / name)


def test_a_look_tells_what_is_in_the_file(tmp_path: Path) -> None:
    path = image(tmp_path / "0.png", 0)
    seen = look(str(path), RGB)
    assert seen[:7] == (path.stat().st_size, "PNG", "RGB", "uint8", 8, 6, 1)
    assert seen[8:] == ("", "")
    same_pixels(path, tmp_path / "0.bmp")
    assert look(str(tmp_path / "0.bmp"), RGB).pixels == seen.pixels
    assert look(str(image(tmp_path / "1.png", 1)), RGB).pixels != seen.pixels


def test_images_of_another_shape_or_depth_are_others() -> None:
    flat = np.zeros((2, 6, 1), np.uint8)
    digests = {looking.digest(pixels) for pixels in (flat, flat.reshape(3, 4, 1), np.zeros((2, 3, 1), np.uint16))}
    assert len(digests) == 3  # although all three are twelve bytes of zero


def test_a_whole_image_of_the_wrong_kind_is_not_broken(tmp_path: Path) -> None:
    bands = image(tmp_path / "bands.tif", 0, channels=6)
    assert look(str(bands), RGB).trouble == UNSUITABLE
    assert look(str(bands), PixelFormat(channels=6)).trouble == ""
    (tmp_path / "cut.tif").write_bytes(bands.read_bytes()[:-40])
    assert look(str(tmp_path / "cut.tif"), PixelFormat(channels=6)).trouble == BROKEN
    assert look(str(tmp_path / "gone.png"), RGB).trouble == BROKEN


def test_counts_and_what_is_in_the_files(found: Survey) -> None:
    train_a, train_b, val_a, test_a, _ = found.folders
    assert (train_a.formats, train_a.modes, train_a.sizes) == ({"PNG": 4}, {"RGB": 4}, {(8, 6): 4})
    assert (train_b.formats, train_b.modes) == ({"PNG": 3, "TIFF": 1, "BMP": 1}, {"RGB": 4, "6×uint8": 1})
    assert test_a.sizes == {(8, 6): 1, (12, 6): 1}
    assert (val_a.formats, len(val_a.file_bytes)) == ({}, 0)


def test_equal_images_are_found_wherever_they_are(found: Survey) -> None:
    assert found.same == [
        [Place(0, 1), Place(1, 4)],
        [Place(0, 2), Place(3, 1)],
        [Place(1, 0), Place(1, 2), Place(1, 3)],
    ]


def test_what_is_wrong_and_what_is_worth_knowing(found: Survey) -> None:
    told_of = told(found)
    assert {key: (finding.kind.problem, finding.count) for key, finding in told_of.items()} == {
        "missing": (True, 1),
        "broken": (True, 1),
        "unsuitable": (True, 1),
        "leak": (True, 1),
        "copies": (False, 2),  # three files of one sample: two too many
        "shared": (False, 1),
        "distorted": (False, 12),  # all but the broken one, whose header is whole and counts: 8 : 6 is 1.33
        "passed_over": (False, 2),
        "known_answers": (False, 1),
    }
    assert told_of["missing"].items == (Item("valA", "the folder holds no image"),)
    assert told_of["leak"].items == (Item("testA/leaked.bmp", same_as=("trainA/2.png",)),)
    assert told_of["copies"].items == (Item("trainB/again.png", same_as=("trainB/deep/0.bmp", "trainB/deep/0.png")),)
    assert told_of["copies"].text == "2 surplus copies: 2 in trainB"
    assert told_of["shared"].items == (Item("trainA/1.png", same_as=("trainB/of A.png",)),)
    assert told_of["broken"].items[0].name == "trainA/9 cut.png"
    assert told_of["known_answers"].items == (Item("testA", "1 of 2 and 1", ("testB",)),)


def test_missing_folders() -> None:
    square = [(9, 9)]
    assert "missing" not in told(by_hand(trainA=square, trainB=square))
    assert told(by_hand(trainA=square))["missing"].items == (Item("trainB", "A is the only domain"),)
    assert told(by_hand(trainA=square, testB=square))["missing"].items == (Item("trainB", "there is no such folder"),)


def test_what_the_crop_does_not_fit_into() -> None:
    found = by_hand(trainA=[(300, 200), (300, 200), (256, 256)], trainB=[(100, 400)])
    small = told(found, Sizing(None, 256))["too_small"]
    assert (small.count, small.text) == (3, "3 images are smaller than the crop, 256×256")
    assert small.items == (Item("trainA", "2 of 300×200"), Item("trainB", "1 of 100×400"))
    # 300×200 with a width of 286 is 286×191 (190.67 rounded); 100×400 becomes 286×1144.
    small = told(found, Sizing(286, 256, "width"))["too_small"]
    assert small.items == (Item("trainA", "2 of 300×200, resized to 286×191"),)
    for sizing in (Sizing(286, 256, "stretch"), Sizing(286, 256, "short_side")):
        assert "too_small" not in told(found, sizing)


def test_halves_of_pairs_are_what_counts() -> None:
    found = by_hand(trainA=[(512, 256)], trainB=[(256, 256)])
    assert told(found)["distorted"].items == (Item("trainA", "1 of 1, up to 2.00 : 1"),)
    assert told(found, Sizing(pairs=True))["distorted"].items == (Item("trainB", "1 of 1, up to 2.00 : 1"),)
    assert told(found, Sizing(None, 256, pairs=True))["too_small"].items == (Item("trainB", "1 of 128×256"),)


def test_domains_of_unequal_size() -> None:
    square = [(9, 9)]
    assert "unequal" not in told(by_hand(trainA=5 * square, trainB=10 * square))
    assert told(by_hand(trainA=4 * square, trainB=10 * square))["unequal"].items == (Item("trainA", "4 images of 10"),)


def test_depths_and_pages() -> None:
    folder = surveyed("trainA", ["0.png", "1.tif"])
    folder.add(Look(100, "PNG", "L", "uint8", 9, 9, 1, b"\1" * 16))
    folder.add(Look(100, "TIFF", "L;uint16", "uint16", 9, 9, 3, b"\2" * 16))
    told_of = told(Survey(Path("root"), [folder], []))
    assert told_of["mixed_depths"].items == (Item("trainA", "uint8 ×1, uint16 ×1"),)
    assert told_of["pages"].items == (Item("trainA/1.tif"),)


def test_validation_images_in_test(tmp_path: Path, alone: None) -> None:
    for folder in ("valA", "testA"):
        image(tmp_path / folder / "0.png", 0)
    told_of = told(survey(tmp_path))
    assert told_of["val_in_test"].items == (Item("valA/0.png", same_as=("testA/0.png",)),)
    assert "leak" not in told_of


def test_an_image_that_crashes_the_decoder_is_broken(messy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cyclegan.inspection.scan.look", look_or_die)
    found = survey(messy, workers=2)
    broken = told(found)["broken"]
    assert broken.items[0].name == "trainA/9 cut.png"
    assert broken.items[0].why.startswith("the process that decoded it was killed by SIGSEGV")
    assert (len(broken.items), found.folders[0].sizes) == (1, {(8, 6): 3})


def test_progress_sees_every_image(messy: Path, alone: None) -> None:
    totals = []
    survey(messy, progress=lambda looks, total: (totals.append(total), looks)[1])  # type: ignore[func-returns-value]
    assert totals == [12]


def test_the_report_for_programs(found: Survey) -> None:
    report = as_json(found, findings(found, Sizing()))
    assert (report["version"], report["ok"]) == (1, False)
    sizes = [(found.root / "trainA" / name).stat().st_size for name in ("0.png", "1.png", "2.png", "9 cut.png")]
    assert report["folders"]["trainA"] == {
        "split": "train",
        "domain": "A",
        "images": 4,
        "bytes": sum(sizes),
        "passed_over": {".txt": 1, "hidden": 1},
        "formats": {"PNG": 4},
        "modes": {"RGB": 4},
        "dtypes": {"uint8": 4},
        "sizes": {"8x6": 4},
        "file_bytes": [min(sizes), sorted(sizes)[1], max(sizes)],
    }
    assert report["folders"]["valA"]["file_bytes"] is None
    assert [problem["kind"] for problem in report["problems"]] == ["missing", "broken", "unsuitable", "leak"]
    assert report["problems"][3]["items"] == [{"name": "testA/leaked.bmp", "why": "", "same_as": ["trainA/2.png"]}]


def test_the_report_for_people(found: Survey) -> None:
    text = as_text(found, findings(found, Sizing()))
    lines = text.splitlines()
    assert max(map(len, lines)) <= 100
    assert lines[2].split() == [
        "trainB",
        "5",
        "0.0",
        "PNG",
        "×3,",
        "TIFF",
        "×1,",
        "BMP",
        "×1",
        "RGB",
        "×4,",
        "6×uint8",
        "×1",
        "8×6",
    ]
    assert "      testA/leaked.bmp = trainA/2.png" in lines
    assert "  test in train        delete them from train, or from test: what training has seen proves nothing" in lines
    assert lines[-1] == "4 kinds of problems"


def test_many_of_a_kind_are_cut_short_on_the_screen_only() -> None:
    folder = surveyed("trainA", [f"{index}.png" for index in range(1000)])
    for index in range(1000):
        folder.add(Look(10, trouble=BROKEN, why=f"root/trainA/{index}.png: is number {index}; mend it"))
    all_empty = surveyed("trainB", [f"{index}.png" for index in range(7)])
    for index in range(7):
        all_empty.add(Look(0, trouble=UNSUITABLE, why=f"root/trainB/{index}.png: is odd; allow it"))
    found = Survey(Path("root"), [folder, all_empty], [])
    told_of = findings(found, Sizing())
    lines = as_text(found, told_of).splitlines()
    assert "      trainA/4.png: is number 4" in lines
    assert "      and 995 more; --json has all" in lines
    assert "      trainB/0.png, trainB/1.png, trainB/2.png and 4 more: is odd; allow it" in lines
    assert len(as_json(found, told_of)["problems"][0]["items"]) == 1000


def test_many_copies_are_cut_short_too() -> None:
    folder = surveyed("trainA", [f"{index}.png" for index in range(9)])
    for _ in range(9):
        folder.add(Look(100, "PNG", "RGB", "uint8", 9, 9, 1, b"\1" * 16))
    found = Survey(Path("root"), [folder], [[Place(0, index) for index in range(9)]])
    lines = as_text(found, findings(found, Sizing())).splitlines()
    assert "  8 surplus copies: 8 in trainA" in lines
    assert "      trainA/0.png = trainA/1.png = trainA/2.png = trainA/3.png and 5 more" in lines


def test_bars_show_where_the_images_are() -> None:
    # From 10 to 29 in twenty bars: one a pixel, and a last one for 29 itself, which the 20th holds with 28.
    found = by_hand(trainA=8 * [(10, 10)] + 4 * [(20, 20)] + [(29, 29)])
    lines = as_text(found, []).splitlines()
    (bars,) = [line for line in lines if line.startswith("  trainA")]
    assert bars == "  trainA  █         ▄        ▁  median 10"
