import logging
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from cyclegan.data.datamodule import ImageDataModule
from cyclegan.data.dataset import TrainingSamples
from cyclegan.data.domains import Domain
from cyclegan.data.draw import Independent, Order
from cyclegan.data.file_list import Files
from cyclegan.data.loader import PositionLoader
from cyclegan.errors import DataError
from cyclegan.images import DiskError, ImageError
from tests.data.image_folders import image_folder

fork_warning = pytest.mark.filterwarnings("ignore:This process.*is multi-threaded:DeprecationWarning")
LEVELS = [20 * i for i in range(10)]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Ten images of A, three of them unreadable, and one of B; each has a grey level of its own."""
    for domain, count in (("A", 10), ("B", 1)):
        (tmp_path / f"train{domain}").mkdir()
        for i in range(count):
            Image.fromarray(np.full((8, 8, 3), LEVELS[i], np.uint8)).save(tmp_path / f"train{domain}" / f"{i}.png")
    for name, content in (("3", b"nothing"), ("4", b""), ("9", (tmp_path / "trainA" / "9.png").read_bytes()[:-30])):
        (tmp_path / "trainA" / f"{name}.png").write_bytes(content)
    return tmp_path


REPLACED_BY = {3: 5, 4: 5, 9: 0}  # the next in the folder's order; after the last comes the first


def data_of(root: Path, on_error: str = "skip", num_workers: int = 0, **more: Any) -> ImageDataModule:
    given: dict[str, Any] = {"load_size": 8, "crop_size": 8, "batch_size": 2, "header_checks": 0, "seed": 1} | more
    data = ImageDataModule(root, num_workers=num_workers, on_error=on_error, **given)
    data.setup()
    return data


def levels(loader: PositionLoader, epochs: int = 2) -> Iterator[int]:
    """The grey level of each image of A, as stored."""
    for _ in range(epochs):
        for batch in loader:
            yield from (int(image.unique()) for image in batch["A"])


@fork_warning
@pytest.mark.parametrize("num_workers", [0, 2])
def test_the_next_image_replaces_an_unreadable_one_which_is_logged_once(
    root: Path, num_workers: int, caplog: pytest.LogCaptureFixture
) -> None:
    data = data_of(root, num_workers=num_workers)
    order = Order(1, "A", data._splits["train"]["A"].images)
    expected = [LEVELS[REPLACED_BY.get(order[position], order[position])] for position in range(30)]
    loader = data.train_dataloader()
    with caplog.at_level(logging.INFO):
        assert list(levels(loader, epochs=3)) == expected
    warnings = [record.message for record in caplog.records if record.levelno == logging.WARNING]
    assert len(warnings) == 3
    for name in ("3", "4", "9"):
        (line,) = (text for text in warnings if f"trainA/{name}.png" in text)
        assert line.endswith("Another image replaces it")
    last = caplog.records[-1].message
    assert last == "skipped   12 samples so far, of 3 unreadable images; others replaced them"
    counted = {Path(path).name: count for path, count in loader.skipped.items()}
    # Of 30 positions, three go to each image; 4.png, which would replace 3.png, is unreadable as well.
    assert counted == {"3.png": 3, "4.png": 6, "9.png": 3}


def test_a_resumed_run_sees_the_same_replacements(root: Path) -> None:
    undisturbed = list(levels(data_of(root).train_dataloader()))
    first = data_of(root)
    iterator = iter(first.train_dataloader())
    next(iterator), next(iterator)
    resumed = data_of(root)
    resumed.load_state_dict(first.state_dict())
    assert list(levels(resumed.train_dataloader())) == undisturbed[4:]


def test_an_aligned_pair_is_replaced_as_a_pair_and_shares_its_crop_and_flip(root: Path) -> None:
    """B has the negatives of A's images."""
    for i in range(10):
        pixels = np.random.default_rng(i).integers(0, 256, (12, 12, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(root / "trainA" / f"{i}.png")
        Image.fromarray(255 - pixels).save(root / "trainB" / f"{i}.png")
    (root / "trainB" / "3.png").write_bytes(b"nothing")
    data = data_of(root, draw="aligned", load_size=None, crop_size=8, batch_size=1)
    loader = data.train_dataloader()
    seen = []
    for batch in loader:
        assert batch["A"].equal(255 - batch["B"])
        a, b = (Path(data.last_batch_files()[domain][0]).name for domain in "AB")
        assert a == b
        seen.append(a)
    assert sorted(seen) == sorted(f"{4 if i == 3 else i}.png" for i in range(10))
    assert [Path(path).parent.name for path in loader.skipped] == ["trainB"]


def test_aligned_images_of_different_sizes_are_refused(tmp_path: Path) -> None:
    image_folder(tmp_path, trainA=2)
    image_folder(tmp_path, 12, 12, trainB=2)
    data = data_of(tmp_path, draw="aligned", load_size=None, crop_size=8)
    with pytest.raises(DataError, match=r"different sizes: .*trainA/\d\.png 9×10, .*trainB/\d\.png 12×12; set"):
        next(iter(data.train_dataloader()))


def test_by_default_an_unreadable_file_is_an_error_that_names_it(root: Path) -> None:
    with pytest.raises(ImageError, match=r"trainA/[349]\.png: "):
        list(data_of(root, on_error="raise").train_dataloader())


def test_headers_are_checked_before_training_unless_images_may_be_skipped(root: Path) -> None:
    with pytest.raises(DataError, match="2 of the 10 images of trainA"):  # 9.png is cut off: its header is intact
        ImageDataModule(root, 8, 8).setup()
    ImageDataModule(root, 8, 8, on_error="skip").setup()


def test_a_domain_without_any_readable_image_is_refused(root: Path) -> None:
    data = data_of(root)
    for path in (root / "trainA").iterdir():
        path.write_bytes(b"nothing")
    with pytest.raises(
        DataError, match=r"none of the 10 images of domain A can be used\. For example: .*trainA/\d\.png: 7 bytes"
    ):
        list(data.train_dataloader())


def test_sample_batches_leave_out_unreadable_images(root: Path) -> None:
    (root / "trainA").rename(root / "testA")
    (root / "trainB").rename(root / "trainA")
    domains = {"A": Domain()}
    data = ImageDataModule(root, 8, 8, on_error="skip", domains=domains)
    data.setup()
    shown = [round(float(image.mean()) * 127.5 + 127.5) for image in data.sample_batch(5)["A"]]
    assert shown == [LEVELS[i] for i in (0, 1, 2, 5, 6)]
    assert len(data.sample_batch(10)["A"]) == 7, "all that can be read; the last of the folder cannot"
    for path in (root / "testA").iterdir():
        path.write_bytes(b"nothing")
    with pytest.raises(ImageError, match=r"testA/0\.png"):
        data.sample_batch(5)
    (root / "testA" / "0.png").write_bytes((root / "trainA" / "0.png").read_bytes())
    data = ImageDataModule(root, 8, 8, header_checks=0, domains=domains)
    data.setup()
    with pytest.raises(ImageError, match=r"testA/1\.png"):
        data.sample_batch(5)


def test_the_files_of_a_batch_include_replacements(root: Path) -> None:
    """They are named when a loss is not finite."""
    data = data_of(root)
    seen = []
    for batch in data.train_dataloader():
        levels = [int(image.unique()) for image in batch["A"]]
        names = [Path(path).stem for path in data.last_batch_files()["A"]]
        assert names == [str(LEVELS.index(level)) for level in levels]
        seen += names
    assert len(seen) == 10


def test_disk_errors_are_not_skipped(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next attempt may succeed: then a resumed run would see other images."""
    data = data_of(root)

    def fail(*_: object) -> bytes:
        raise DiskError("0.png: cannot be read (Input/output error)")

    monkeypatch.setattr(Files, "open", fail)
    with pytest.raises(DiskError, match="Input/output error"):
        next(iter(data.train_dataloader()))


def test_files_that_need_a_missing_package_are_not_skipped(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are intact: a machine that has the package would train on other images."""
    data = data_of(root)
    for path in (root / "trainA").iterdir():
        Image.new("I;16", (8, 8)).save(path)
    monkeypatch.setitem(sys.modules, "imagecodecs", None)
    with pytest.raises(DiskError, match=r"pip install 'cyclegan\[tiff\]'"):
        next(iter(data.train_dataloader()))


def test_augmentation_depends_on_the_position_and_not_on_replacements(root: Path) -> None:
    """Repairing a file changes only the samples of that file."""
    data = data_of(root)
    domains = data._splits["train"]
    draw = Independent({domain: images.images for domain, images in domains.items()}, seed=1)
    position = next(t for t in range(10) if draw(t)[0].number == 3)
    replaced = TrainingSamples(domains, draw, seed=1, skip=True)[position].images["A"]
    (root / "trainA" / "3.png").write_bytes((root / "trainA" / "5.png").read_bytes())
    assert TrainingSamples(domains, draw, seed=1)[position].images["A"].equal(replaced)
