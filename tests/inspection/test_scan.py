"""The findings and reports of `check` on folders whose content was chosen image by image."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cyclegan.data.file_list import Files
from cyclegan.errors import DataError
from cyclegan.images import RGB, Header, PixelFormat, write
from cyclegan.inspection.findings import Finding, Item, find_all
from cyclegan.inspection.report import as_json, as_text
from cyclegan.inspection.scan import BROKEN, UNSUITABLE, FileInfo, Folder, Place, Scan, find_folders, inspect_file, scan
from tests.data.image_folders import noise

SQUARE = Header("PNG", "RGB", 9, 9, 3, "uint8", 1)


def image(path: Path, seed: int, width: int = 8, height: int = 6, channels: int = 3) -> Path:
    """Write noise; the same seed and size give the same pixels."""
    write(noise(seed, height, width, channels), path)
    return path


def same_pixels(source: Path, target: Path) -> None:
    with Image.open(source) as opened:
        opened.save(target)


@pytest.fixture
def messy(tmp_path: Path) -> Path:
    """trainA 4 images (1 broken), trainB 5, testA 2, testB 1, and an empty valA."""
    root = tmp_path / "messy"
    for seed in range(3):
        image(root / f"trainA/{seed}.png", seed)
    (root / "trainA/9 cut.png").write_bytes((root / "trainA/0.png").read_bytes()[:60])
    (root / "trainA/notes.txt").write_text("no image")
    (root / "trainA/.hidden.png").write_text("skipped")
    image(root / "trainB/deep/0.png", 10)
    same_pixels(root / "trainB/deep/0.png", root / "trainB/deep/0.bmp")  # the same image twice
    shutil.copy(root / "trainB/deep/0.png", root / "trainB/again.png")  # and a third time
    shutil.copy(root / "trainA/1.png", root / "trainB/of A.png")
    image(root / "trainB/bands.tif", 11, channels=6)
    image(root / "testA/20.png", 20, width=12)
    same_pixels(root / "trainA/2.png", root / "testA/leaked.bmp")
    image(root / "testB/20.png", 21)
    (root / "valA").mkdir()
    return root


@pytest.fixture
def found(messy: Path, in_process: None) -> Scan:
    return scan(messy, RGB)


def by_kind(findings: list[Finding]) -> dict[str, Finding]:
    return {finding.kind: finding for finding in findings}


def intact(*sizes: tuple[int, int]) -> list[FileInfo]:
    """Describe one image for each (width, height)."""
    return [FileInfo(100, SQUARE._replace(width=width, height=height)) for width, height in sizes]


def scan_of(**folders: list[FileInfo]) -> Scan:
    """Return the scan of folders such as trainA that hold these files, as 0.png, 1.png and so on."""
    made = []
    for name, infos in folders.items():
        files = Files(name, [f"{i}.png" for i in range(len(infos))])
        named = {f"{name}/{i}.png": info for i, info in enumerate(infos)}
        made.append(Folder(Path(name), name, name[:-1], name[-1], files, named))
    return Scan(Path("root"), made, [])


def test_folders_are_in_the_order_train_val_test(messy: Path) -> None:
    folders = find_folders(messy)
    assert [(folder.name, folder.split, folder.domain) for folder in folders] == [
        ("trainA", "train", "A"),
        ("trainB", "train", "B"),
        ("valA", "val", "A"),
        ("testA", "test", "A"),
        ("testB", "test", "B"),
    ]
    assert list(folders[1].images.names()) == ["again.png", "bands.tif", "deep/0.bmp", "deep/0.png", "of A.png"]


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        ("trainA trainB validation values train_logs trainer testing valC train-old", "trainA trainB"),
        ("trainA trainB validationA", "trainA trainB validationA"),
        ("train val validation", "train val validation"),  # side-by-side pairs
        ("testA testB values", "testA testB"),
        ("trainhorse trainzebra testhorse", "trainhorse trainzebra testhorse"),
        ("train/A train/B test/A validation/A values", "train/A train/B validation/A test/A"),
        ("images values trainings", "set"),  # a plain folder of images
    ],
)
def test_only_split_folders_of_trained_domains_count(tmp_path: Path, made: str, expected: str) -> None:
    for name in made.split():
        image(tmp_path / "set" / name / "0.png", 0)
    assert [folder.name for folder in find_folders(tmp_path / "set")] == expected.split()


def test_subfolders_of_pairs_are_not_domains(tmp_path: Path) -> None:
    image(tmp_path / "train/A/0.png", 0)
    assert [(folder.name, folder.domain) for folder in find_folders(tmp_path, pairs=True)] == [("train", "")]


def test_a_plain_folder_has_no_missing_domain(tmp_path: Path, in_process: None) -> None:
    image(tmp_path / "images/sub/0.png", 0)
    assert by_kind(find_all(scan(tmp_path / "images", RGB))).keys() == {"distorted"}


@pytest.mark.parametrize(("name", "reason"), [("nowhere", "does not exist"), ("file", "is a file")])
def test_a_root_that_is_not_a_folder_is_refused(tmp_path: Path, name: str, reason: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match=reason):
        find_folders(tmp_path / name)


def test_inspect_file_describes_the_image(tmp_path: Path) -> None:
    path = image(tmp_path / "0.png", 0)
    info = inspect_file(str(path), RGB)
    assert info == (path.stat().st_size, Header("PNG", "RGB", 8, 6, 3, "uint8", 1), info.digest, "", "")


def test_digests_are_equal_for_equal_pixels_shapes_and_types_only(tmp_path: Path) -> None:
    flat = np.zeros((2, 6, 1), np.uint8)
    write(flat, tmp_path / "flat.png")
    write(flat, tmp_path / "flat.tif")
    write(np.ones_like(flat), tmp_path / "value.png")
    write(flat.reshape(3, 4, 1), tmp_path / "shape.png")
    write(np.zeros((1, 6, 1), np.uint16), tmp_path / "type.png")
    digests = {path.name: inspect_file(str(path), PixelFormat(1)).digest for path in tmp_path.iterdir()}
    assert digests["flat.png"] == digests["flat.tif"] != b""
    assert len(set(digests.values())) == 4


def test_an_intact_image_in_another_format_is_not_broken(tmp_path: Path) -> None:
    bands = image(tmp_path / "bands.tif", 0, channels=6)
    assert inspect_file(str(bands), RGB).problem == UNSUITABLE
    assert inspect_file(str(bands), PixelFormat(channels=6)).problem == ""
    (tmp_path / "cut.tif").write_bytes(bands.read_bytes()[:-40])
    assert inspect_file(str(tmp_path / "cut.tif"), PixelFormat(channels=6)).problem == BROKEN
    assert inspect_file(str(tmp_path / "gone.png"), RGB).problem == BROKEN
    Image.new("1", (10_000, 9_000)).save(tmp_path / "large.png")  # above the default of max_pixels, and not decoded
    assert inspect_file(str(tmp_path / "large.png"), RGB).problem == UNSUITABLE


def test_problems_and_notes_of_a_messy_data_set(found: Scan) -> None:
    findings = by_kind(find_all(found))
    assert {kind: (finding.is_problem, finding.count) for kind, finding in findings.items()} == {
        "missing": (True, 1),
        "broken": (True, 1),
        "unsuitable": (True, 1),
        "leak": (True, 1),
        "copies": (False, 2),  # three files of one image
        "shared": (False, 1),
        "distorted": (False, 12),  # all, with the broken one, whose header is intact: 8 : 6 is 1.33
        "skipped": (False, 2),
        "paired_names": (False, 1),
    }
    assert findings["missing"].items == [Item("valA", "the folder has no images")]
    assert findings["leak"].items == [Item("testA/leaked.bmp", same_as=("trainA/2.png",))]
    assert findings["copies"].items[0].name == "trainB/again.png"
    assert findings["copies"].items[0].same_as == ("trainB/deep/0.bmp", "trainB/deep/0.png")
    assert findings["shared"].items == [Item("trainA/1.png", same_as=("trainB/of A.png",))]
    assert findings["broken"].items[0].name == "trainA/9 cut.png"
    assert findings["paired_names"].items == [Item("testA", "1 of 2 and 1", ("testB",))]


@pytest.mark.parametrize(
    ("names", "missing"),
    [
        (["trainA", "trainB"], None),
        (["trainA"], [Item("trainB", "A is the only domain")]),
        (["trainA", "testB"], [Item("trainB", "the folder does not exist")]),
    ],
)
def test_missing_folders(names: list[str], missing: list[Item] | None) -> None:
    finding = by_kind(find_all(scan_of(**{name: intact((9, 9)) for name in names}))).get("missing")
    assert (finding and finding.items) == missing


def test_images_smaller_than_the_crop() -> None:
    found = scan_of(trainA=intact((300, 200), (300, 200), (256, 256)), trainB=intact((100, 400)))
    small = by_kind(find_all(found, None, 256))["too_small"]
    assert small.count == 3
    assert [(item.name, item.why) for item in small.items] == [("trainA", "2 of 300×200"), ("trainB", "1 of 100×400")]
    # 300×200 at a width of 286 is 286×191 (190.67 rounded); 100×400 becomes 286×1144.
    small = by_kind(find_all(found, 286, 256, "width"))["too_small"]
    assert [item.why for item in small.items] == ["2 of 300×200, resized to 286×191"]
    for resize in ("stretch", "short_side"):
        assert "too_small" not in by_kind(find_all(found, 286, 256, resize))


def test_sizes_of_pairs_are_those_of_the_halves() -> None:
    found = scan_of(trainA=intact((512, 256)), trainB=intact((256, 256)))
    assert by_kind(find_all(found))["distorted"].items == [Item("trainA", "1 of 1, up to 2.00 : 1")]
    assert by_kind(find_all(found, pairs=True))["distorted"].items == [Item("trainB", "1 of 1, up to 2.00 : 1")]
    assert by_kind(find_all(found, None, pairs=True))["too_small"].items == [Item("trainB", "1 of 128×256")]


def test_notes_on_mixed_depths_pages_and_unequal_domains() -> None:
    odd = FileInfo(9, SQUARE._replace(colours="L", dtype="uint16", pages=3))
    findings = by_kind(find_all(scan_of(trainA=[*intact((9, 9)), odd], trainB=4 * intact((9, 9)))))
    assert findings["mixed_depths"].items == [Item("trainA", "uint8 ×1, uint16 ×1")]
    assert findings["pages"].items == [Item("trainA/1.png")]
    assert "unequal" not in findings
    findings = by_kind(find_all(scan_of(trainA=4 * intact((9, 9)), trainB=10 * intact((9, 9)))))
    assert findings["unequal"].items == [Item("trainA", "4 images of 10")]


def test_validation_images_in_test(tmp_path: Path, in_process: None) -> None:
    for folder in ("valA", "testA"):
        image(tmp_path / folder / "0.png", 0)
    findings = by_kind(find_all(scan(tmp_path, RGB)))
    assert findings["val_in_test"].items == [Item("valA/0.png", same_as=("testA/0.png",))]
    assert "leak" not in findings


def test_json_report(found: Scan) -> None:
    report = as_json(found, find_all(found))
    assert (report["version"], report["ok"]) == (2, False)
    sizes = [(found.root / "trainA" / name).stat().st_size for name in ("0.png", "1.png", "2.png", "9 cut.png")]
    assert report["folders"]["trainA"] == {
        "split": "train",
        "domain": "A",
        "images": 4,
        "bytes": sum(sizes),
        "skipped": {".txt": 1, "hidden": 1},
        "formats": {"PNG": 4},
        "modes": {"RGB": 4},
        "dtypes": {"uint8": 4},
        "sizes": {"8x6": 4},
        "file_bytes": [min(sizes), sorted(sizes)[1], max(sizes)],
    }
    assert report["folders"]["valA"]["file_bytes"] is None
    assert [problem["kind"] for problem in report["problems"]] == ["missing", "broken", "unsuitable", "leak"]
    assert report["problems"][3]["items"] == [{"name": "testA/leaked.bmp", "why": "", "same_as": ["trainA/2.png"]}]


def test_text_report(found: Scan) -> None:
    lines = as_text(found, find_all(found)).splitlines()
    assert max(map(len, lines)) <= 100
    assert " ".join(lines[2].split()) == "trainB 5 0.0 PNG ×3, TIFF ×1, BMP ×1 RGB ×4, 6×uint8 ×1 8×6"
    leak = lines.index("  test or validation images that are also in train: 1")
    assert lines[leak + 1] == "      testA/leaked.bmp = trainA/2.png"
    assert lines[leak + 2].startswith("    → delete them from one of the two")
    assert lines[-1] == "4 kinds of problems"


def test_the_text_report_shows_the_first_files_of_long_findings() -> None:
    broken = [FileInfo(10, problem=BROKEN, reason=f"is number {i}; fix it") for i in range(1000)]
    odd = [FileInfo(10, problem=UNSUITABLE, reason="is odd; allow it")] * 7
    found = scan_of(trainA=broken, trainB=odd)
    found = found._replace(same=[[Place(found.folders[0], f"trainA/{i}.png") for i in range(9)]])
    findings = find_all(found)
    lines = as_text(found, findings).splitlines()
    assert "      trainA/4.png: is number 4" in lines
    assert "      and 995 more; --json lists all" in lines
    assert "      trainB/0.png, trainB/1.png, trainB/2.png and 4 more: is odd; allow it" in lines
    assert "      trainA/0.png = trainA/1.png = trainA/2.png = trainA/3.png and 5 more" in lines
    assert len(as_json(found, findings)["problems"][0]["items"]) == 1000
