import logging
import os
import zlib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from cyclegan import images
from cyclegan.data import reader, shelf
from cyclegan.data.cache import room
from cyclegan.data.datamodule import UnpairedData
from cyclegan.data.domains import Domain
from cyclegan.errors import DataError

fork_warning = pytest.mark.filterwarnings("ignore:This process.*is multi-threaded:DeprecationWarning")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Five images of A and three of B, of different sizes."""
    for number, (domain, count) in enumerate((("A", 5), ("B", 3))):
        (tmp_path / f"train{domain}").mkdir()
        for i in range(count):
            pixels = np.random.default_rng([number, i]).integers(0, 256, (10 + i, 12, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / f"train{domain}" / f"{i}.png")
    return tmp_path


def data_of(root: Path, **arguments: Any) -> UnpairedData:
    given: dict[str, Any] = {"load_size": 8, "crop_size": 6, "num_workers": 0, "cache_dir": root / "kept"}
    data = UnpairedData(root, **given | arguments)
    data.setup()
    return data


def epochs(data: UnpairedData, count: int = 2) -> dict[str, Tensor]:
    loader = data.train_dataloader()
    batches = [batch for _ in range(count) for batch in loader]
    return {domain: torch.cat([batch[domain] for batch in batches]) for domain in batches[0]}


def filled(data: UnpairedData) -> list[int]:
    return [each.shelf.cache.filled for each in data._splits["train"].values()]  # type: ignore[union-attr]


@fork_warning
@pytest.mark.filterwarnings("ignore:This DataLoader will create 4 worker")  # more than this machine has processors
@pytest.mark.parametrize("resize", ["stretch", "short_side"])
@pytest.mark.parametrize("cache", ["ram", "disk"])
@pytest.mark.parametrize("num_workers", [0, 1, 4])
def test_no_image_differs_with_a_cache(root: Path, cache: str, num_workers: int, resize: str) -> None:
    plain = epochs(data_of(root, resize=resize))
    data = data_of(root, cache=cache, num_workers=num_workers, resize=resize)
    cached = epochs(data)
    assert all(cached[domain].equal(plain[domain]) for domain in "AB")
    assert filled(data) == [5, 3], "by whichever process"


def test_each_image_is_decoded_once(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    decoded: list[str] = []
    decode = images.decode

    def counting(data: bytes, path: str, *arguments: Any) -> Any:
        decoded.append(path)
        return decode(data, path, *arguments)

    monkeypatch.setattr(reader, "decode", counting)
    epochs(data_of(root, cache="ram"), count=4)
    assert len(decoded) == len(set(decoded)) == 8


def test_the_next_run_takes_them_from_the_disk(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = epochs(data_of(root, cache="disk"))
    monkeypatch.setattr(reader, "decode", lambda *_: pytest.fail("it was decoded once more"))
    again = epochs(data_of(root, cache="disk"))
    assert all(again[domain].equal(first[domain]) for domain in "AB")


def test_a_data_set_keeps_its_cache_wherever_it_lies_and_however_it_is_called(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: dict[str, Any] = {"cache": "disk", "resize": "short_side"}
    first = epochs(data_of(root / "trainA" / "..", cache_dir=root / "kept", **given))
    moved = root.rename(root.with_name("moved"))
    monkeypatch.setattr(reader, "decode", lambda *_: pytest.fail("it was decoded once more"))
    monkeypatch.chdir(moved)
    for path in (moved, Path()):
        again = epochs(data_of(path, **given))
        assert all(again[domain].equal(first[domain]) for domain in "AB")
    assert len(list((moved / "kept").glob("*.cache"))) == 2


def test_domains_whose_files_have_equal_names_sizes_and_times_are_not_taken_for_each_other(tmp_path: Path) -> None:
    for domain, level in (("A", 10), ("B", 200)):
        (tmp_path / domain / "train").mkdir(parents=True)
        np.save(tmp_path / domain / "train" / "0.npy", np.full((8, 8, 3), level, np.uint8))
        os.utime(tmp_path / domain / "train" / "0.npy", (1, 1))
    domains = {domain: Domain(train=f"{domain}/train") for domain in "AB"}
    found = epochs(data_of(tmp_path, domains=domains, cache="disk"))
    assert (found["A"] < 0).all()
    assert (found["B"] > 0).all()


@pytest.mark.parametrize(
    "change",
    [
        {"load_size": 9},
        {"resize": "width"},
        {"reducing_gap": 3.0},
        {"domains": {"A": Domain(convert=["grey"]), "B": Domain()}},
        {"domains": {"A": Domain(half="left", train="trainA"), "B": Domain()}},
    ],
)
def test_what_was_prepared_otherwise_is_not_used(root: Path, change: dict[str, Any]) -> None:
    epochs(data_of(root, cache="disk"))
    expected = epochs(data_of(root, **{"crop_size": 3} | change))
    found = epochs(data_of(root, **{"crop_size": 3, "cache": "disk"} | change))
    assert found["A"].equal(expected["A"])


def test_a_file_that_was_exchanged_is_read_again(root: Path) -> None:
    epochs(data_of(root, cache="disk"))
    before = (root / "trainA" / "0.png").stat()
    Image.new("RGB", (12, 10), "red").save(root / "trainA" / "0.png")
    os.utime(root / "trainA" / "0.png", ns=(before.st_atime_ns, before.st_mtime_ns + 1))
    expected = epochs(data_of(root))
    assert epochs(data_of(root, cache="disk"))["A"].equal(expected["A"])


def test_an_image_of_another_type_is_right_but_not_kept(root: Path) -> None:
    Image.fromarray(np.full((10, 10), 40000, np.uint16)).save(root / "trainA" / "3.png")
    data = data_of(root, cache="ram")
    found, expected = epochs(data), epochs(data_of(root))
    assert all(found[domain].equal(expected[domain]) for domain in "AB")
    assert filled(data) == [4, 3]


def test_what_a_smaller_crop_or_a_higher_limit_let_pass_is_not_used(root: Path) -> None:
    """Samples do not depend on what an earlier run put into the cache."""
    Image.fromarray(np.zeros((40, 4, 3), np.uint8)).save(root / "trainA" / "2.png")  # 4 pixels wide
    limits: dict[str, Any] = {"on_error": "skip", "load_size": None}
    epochs(data_of(root, **limits, crop_size=4, cache="disk"))
    for more in ({"crop_size": 6}, {"crop_size": 4, "max_pixels": 150}):
        expected = epochs(data_of(root, **limits, **more))
        assert epochs(data_of(root, **limits, **more, cache="disk"))["A"].equal(expected["A"]), more


def test_a_header_that_lies_reserves_nothing(root: Path) -> None:
    """A PNG of a few bytes that says that it is 30,000 × 30,000."""
    png = bytearray((root / "trainA" / "1.png").read_bytes())
    png[16:24] = (30_000).to_bytes(4, "big") * 2
    png[29:33] = zlib.crc32(png[12:29]).to_bytes(4, "big")
    (root / "trainA" / "1.png").write_bytes(png)
    data = data_of(root, on_error="skip", load_size=None, cache="ram")
    assert sum(plan.size for plan in data._plans.values()) < 10_000


@pytest.mark.parametrize("resize", ["stretch", "short_side"])
def test_images_that_are_skipped_are_not_kept(root: Path, resize: str) -> None:
    (root / "trainA" / "2.png").write_bytes(b"nothing")
    expected = epochs(data_of(root, on_error="skip", resize=resize))
    data = data_of(root, on_error="skip", resize=resize, cache="ram")
    assert epochs(data)["A"].equal(expected["A"])
    assert filled(data) == [4, 3]


def test_what_does_not_fit_is_refused_at_the_start(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "_memory", lambda: [room.Room(1000, "this machine", "buy more")])
    with pytest.raises(
        DataError, match=r"data\.cache=ram needs .*this machine has 1 kB free.*data\.cache=disk or none"
    ):
        data_of(root, cache="ram")


def test_the_start_says_how_much_is_kept(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        data_of(root, cache="ram").train_dataloader()
    (line,) = (record.message for record in caplog.records if record.message.startswith("cache"))
    assert line.startswith("cache     ram, 5 + 3 images, ")


def test_the_name_is_forgotten_when_all_devices_have_the_cache(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And not before: the others would not find it."""
    events: list[str] = []
    data = data_of(root, cache="ram")
    open_ram = shelf.KINDS["ram"]

    def opened(*arguments: Any) -> Any:
        caches = open_ram(*arguments)
        events.append("opened")
        for cache in caches.values():
            monkeypatch.setattr(cache, "forget_name", lambda: events.append("forgotten"))
        return caches

    monkeypatch.setitem(shelf.KINDS, "ram", opened)
    strategy = SimpleNamespace(barrier=lambda: events.append("all here"))
    data.trainer = SimpleNamespace(global_rank=1, world_size=2, strategy=strategy, is_global_zero=False)  # type: ignore[assignment]
    data.train_dataloader()
    assert events == ["opened", "all here", "forgotten", "forgotten"]
    data.train_dataloader()
    assert len(events) == 4, "asked again, the cache is still there"


def test_an_unknown_kind_is_answered_with_those_there_are(root: Path) -> None:
    with pytest.raises(DataError, match=r"data\.cache is 'gpu'; there are none, ram, disk"):
        UnpairedData(root, cache="gpu")
