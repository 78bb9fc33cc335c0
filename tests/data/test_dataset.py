import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cyclegan.data.datamodule import UnpairedData
from cyclegan.data.dataset import ForgivingImages, UnpairedImages
from cyclegan.data.domains import Domain
from cyclegan.data.file_list import Files
from cyclegan.data.loader import PositionLoader
from cyclegan.data.sampler import Order, PositionSampler
from cyclegan.errors import DataError
from cyclegan.images import DiskError, ImageError

fork_warning = pytest.mark.filterwarnings("ignore:This process.*is multi-threaded:DeprecationWarning")
LEVELS = [20 * i for i in range(10)]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Ten images of A and one of B, each of one grey of its own; of A, three cannot be read."""
    for domain, count in (("A", 10), ("B", 1)):
        (tmp_path / f"train{domain}").mkdir()
        for i in range(count):
            Image.fromarray(np.full((8, 8, 3), LEVELS[i], np.uint8)).save(tmp_path / f"train{domain}" / f"{i}.png")
    for name, content in (("3", b"nothing"), ("4", b""), ("9", (tmp_path / "trainA" / "9.png").read_bytes()[:-30])):
        (tmp_path / "trainA" / f"{name}.png").write_bytes(content)
    return tmp_path


STANDS_IN = {3: 5, 4: 5, 9: 0}  # the next in the folder's order; after the last comes the first


def data_of(root: Path, on_error: str = "skip", num_workers: int = 0) -> UnpairedData:
    data = UnpairedData(root, 8, 8, batch_size=2, num_workers=num_workers, on_error=on_error, header_checks=0, seed=1)
    data.setup()
    return data


def levels(loader: PositionLoader, epochs: int = 2) -> Iterator[int]:
    """The grey of each image of A."""
    for _ in range(epochs):
        for batch in loader:
            yield from (round(float(image.mean()) * 127.5 + 127.5) for image in batch["A"])


@fork_warning
@pytest.mark.filterwarnings("ignore:This DataLoader will create 4 worker")  # more than this machine has processors
@pytest.mark.parametrize("num_workers", [0, 1, 4])
def test_the_next_image_stands_in_for_one_that_cannot_be_read(root: Path, num_workers: int) -> None:
    data = data_of(root, num_workers=num_workers)
    order = Order(1, "A", data._splits["train"]["A"].images)
    expected = [LEVELS[STANDS_IN.get(order[position], order[position])] for position in range(20)]
    assert list(levels(data.train_dataloader())) == expected


@fork_warning
def test_a_resumed_run_sees_the_same(root: Path) -> None:
    whole = list(levels(data_of(root).train_dataloader()))
    first = data_of(root)
    iterator = iter(first.train_dataloader())
    next(iterator), next(iterator)
    resumed = data_of(root, num_workers=1)
    resumed.load_state_dict(first.state_dict())
    assert list(levels(resumed.train_dataloader())) == whole[4:]


@fork_warning
@pytest.mark.parametrize("num_workers", [0, 2])
def test_warns_once_a_file_and_counts(root: Path, num_workers: int, caplog: pytest.LogCaptureFixture) -> None:
    loader = data_of(root, num_workers=num_workers).train_dataloader()
    with caplog.at_level(logging.INFO):
        list(levels(loader, epochs=3))
    warnings = [record.message for record in caplog.records if record.levelno == logging.WARNING]
    assert len(warnings) == 3
    for name in ("3", "4", "9"):
        (told,) = (text for text in warnings if f"trainA/{name}.png" in text)
        assert told.endswith("Another image stands in its place")
    last = caplog.records[-1].message
    assert last == "skipped   12 samples so far, where 3 images cannot be read; others stood in their places"
    counted = {Path(path).name: count for path, count in loader.skipped.items()}
    # Of 30 positions, three go to each image; 3.png gives its place to 4.png, which cannot be read either.
    assert counted == {"3.png": 3, "4.png": 6, "9.png": 3}


def test_by_default_the_file_is_named_and_training_stops(root: Path) -> None:
    with pytest.raises(ImageError, match=r"trainA/[349]\.png: "):
        list(data_of(root, on_error="raise").train_dataloader())


def test_what_headers_show_is_said_before_training_unless_it_is_to_be_skipped(root: Path) -> None:
    with pytest.raises(DataError, match="2 of the 10 images of trainA"):  # 9.png is cut off: its header is whole
        UnpairedData(root, 8, 8).setup()
    UnpairedData(root, 8, 8, on_error="skip").setup()
    with pytest.raises(DataError, match=r"data\.on_error is 'ignore'; there are raise, skip"):
        UnpairedData(root, 8, 8, on_error="ignore")


def test_a_domain_without_any_readable_image_is_no_endless_search(root: Path) -> None:
    data = data_of(root)
    for path in (root / "trainA").iterdir():
        path.write_bytes(b"nothing")
    with pytest.raises(
        DataError, match=r"none of the 10 images of domain A can be used\. The first: .*trainA/\d\.png: 7 bytes"
    ):
        list(data.train_dataloader())


def test_samples_are_shown_of_images_that_can_be_read(root: Path) -> None:
    (root / "trainA").rename(root / "testA")
    (root / "trainB").rename(root / "trainA")
    domains = {"A": Domain()}
    data = UnpairedData(root, 8, 8, on_error="skip", domains=domains)
    data.setup()
    shown = [round(float(image.mean()) * 127.5 + 127.5) for image in data.sample_batch(5)["A"]]
    assert shown == [LEVELS[i] for i in (0, 1, 2, 5, 6)]
    assert len(data.sample_batch(10)["A"]) == 7, "all that can be read; the last of the folder cannot"
    for path in (root / "testA").iterdir():
        path.write_bytes(b"nothing")
    with pytest.raises(ImageError, match=r"testA/0\.png"):
        data.sample_batch(5)
    (root / "testA" / "0.png").write_bytes((root / "trainA" / "0.png").read_bytes())
    data = UnpairedData(root, 8, 8, header_checks=0, domains=domains)
    data.setup()
    with pytest.raises(ImageError, match=r"testA/1\.png"):
        data.sample_batch(5)


def test_the_files_of_a_batch_are_those_that_were_seen(root: Path) -> None:
    """They are named where a loss is not finite."""
    data = data_of(root)
    seen = []
    for batch in data.train_dataloader():
        levels = [round(float(image.mean()) * 127.5 + 127.5) for image in batch["A"]]
        names = [Path(path).stem for path in data.last_batch_files()["A"]]
        assert names == [str(LEVELS.index(level)) for level in levels]
        seen += names
    assert len(seen) == 10


def test_what_the_disk_is_to_blame_for_is_not_skipped(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may be gone at the next attempt: then a run that is resumed would see other images."""
    data = data_of(root)

    def fail(*_: object) -> bytes:
        raise DiskError("0.png: cannot be read (Input/output error)")

    monkeypatch.setattr(Files, "open", fail)
    with pytest.raises(DiskError, match="Input/output error"):
        next(iter(data.train_dataloader()))


def test_augmentation_is_that_of_the_position_whatever_stands_in(root: Path) -> None:
    """So that an image that is mended changes its own samples and no others."""
    data = data_of(root)
    domains = data._splits["train"]
    position = next(t for t in range(10) if Order(1, "A", domains["A"].images)[t] == 3)
    stand_in = ForgivingImages(domains, seed=1)[position]["A"]
    (root / "trainA" / "3.png").write_bytes((root / "trainA" / "5.png").read_bytes())
    assert UnpairedImages(domains, seed=1)[position]["A"].equal(stand_in)


def test_a_loader_of_samples_that_skip_nothing_has_nothing_to_tell(root: Path) -> None:
    data = data_of(root)
    loader = PositionLoader(UnpairedImages({"B": data._splits["train"]["B"]}, 0), PositionSampler(4, 1))
    assert len(list(loader)) == 4
    assert not loader.skipped
