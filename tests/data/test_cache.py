"""The disk cache: checksums, damage, a full disk, and that samples are the same with and without it."""

import errno
import logging
import os
import pickle
import shutil
import stat
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from cyclegan import images
from cyclegan.data import reader
from cyclegan.data.cache import DiskCache
from cyclegan.data.datamodule import ImageDataModule
from cyclegan.data.domains import Domain
from cyclegan.errors import DataError
from tests.data.image_folders import data_of, epochs, equal, image_folder, noise
from tests.faults import in_a_child

SHAPES = [(3, 5, 7), (1, 5, 7), (7, 2, 2), (3, 5, 7), (3, 1, 1)]
INDEX_END = 128 + 5 * 24  # of the header and the entries


def image(index: int, dtype: str = "uint8") -> Any:
    return (noise(index, *SHAPES[index][1:], SHAPES[index][0]).transpose(2, 0, 1) * 1.5).astype(dtype)


def opened(folder: Path) -> DiskCache:
    return DiskCache(folder / "five.cache", 5)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32"])
def test_images_of_any_shape_and_type_are_found_by_all_processes_and_the_next_run(tmp_path: Path, dtype: str) -> None:
    cache = opened(tmp_path / "new" / "folder")
    assert [cache.get(i) for i in range(5)] == [None] * 5
    copy = pickle.loads(pickle.dumps(cache))
    assert in_a_child(lambda: copy.put(2, image(2, dtype))) == 0
    cache.put(4, image(4, dtype))
    for each in (cache, copy, opened(tmp_path / "new" / "folder")):
        for i in (2, 4):
            found = each.get(i)
            assert found is not None
            assert found.dtype == dtype
            assert np.array_equal(found, image(i, dtype))
        assert each.filled == 2
    assert stat.S_IMODE(cache.path.stat().st_mode) == 0o600


@pytest.mark.parametrize("at", [128 + 24, 128 + 24 + 8, 128 + 24 + 12, 128 + 24 + 22, INDEX_END, INDEX_END + 104])
def test_a_damaged_or_half_written_image_is_missing_and_can_be_added_again(tmp_path: Path, at: int) -> None:
    cache = opened(tmp_path)
    cache.put(1, image(0))
    original = os.pread(cache._file, 1, at)
    os.pwrite(cache._file, bytes([original[0] ^ 4]), at)
    assert cache.get(1) is None
    cache.put(1, image(0))
    assert np.array_equal(cache.get(1), image(0))  # type: ignore[arg-type]


@pytest.mark.parametrize("left", [0, 1, 127, 130, INDEX_END - 1, INDEX_END + 50])
def test_a_file_cut_short_loses_images_only(tmp_path: Path, left: int) -> None:
    opened(tmp_path).put(0, image(0))
    os.truncate(tmp_path / "five.cache", left)
    cache = opened(tmp_path)
    assert cache.get(0) is None
    for i in range(5):
        cache.put(i, image(i))
    assert all(np.array_equal(opened(tmp_path).get(i), image(i)) for i in range(5))  # type: ignore[arg-type]


def test_a_full_disk_is_a_warning_and_space_is_left_for_checkpoints(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = opened(tmp_path)
    cache.put(0, image(0))
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=1e9))
    with pytest.warns(UserWarning, match=r"five\.cache takes no more images \(No space left on device\)"):
        cache.put(3, image(3))
    cache.put(4, image(4))  # without another warning
    assert [cache.get(i) is not None for i in (0, 3, 4)] == [True, False, False]


def test_an_unreadable_cache_counts_as_empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> bytes:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    cache = opened(tmp_path)
    cache.put(0, image(0))
    monkeypatch.setattr(os, "pread", fail)
    assert cache.get(0) is None


def test_a_link_is_not_opened_as_a_cache(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("as it was")
    (tmp_path / "five.cache").symlink_to(tmp_path / "file")
    with pytest.raises(DataError, match=r"five\.cache cannot be opened: .*data\.cache=null"):
        opened(tmp_path)
    assert (tmp_path / "file").read_text() == "as it was"


def test_opening_a_cache_updates_its_modification_time(tmp_path: Path) -> None:
    opened(tmp_path)
    os.utime(tmp_path / "five.cache", (0, 0))
    opened(tmp_path)
    assert (tmp_path / "five.cache").stat().st_mtime > time.time() - 3600


# ---------------------------------------------------------------------------------------------- of a data module


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Five images of A and three of B."""
    return image_folder(tmp_path, trainA=5, trainB=3)


def filled(data: ImageDataModule) -> list[int]:
    return [each.cache.filled for each in data._splits["train"].values() if each.cache]


def test_an_image_is_decoded_once_also_in_later_runs_and_after_the_data_set_moved(
    root: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    given: dict[str, Any] = {"cache": "disk", "resize": "short_side"}
    expected, decoded, decode = epochs(data_of(root, resize="short_side")), list[str](), images.decode

    def counting(data: bytes, path: str, *arguments: Any) -> Any:
        decoded.append(path)
        return decode(data, path, *arguments)

    monkeypatch.setattr(reader, "decode", counting)
    data = data_of(root / "trainA" / "..", cache_dir=root / ".cache", **given)
    assert equal(epochs(data), expected)
    assert len(decoded) == len(set(decoded)) == 8
    assert filled(data) == [5, 3]

    monkeypatch.setattr(reader, "decode", lambda *_: pytest.fail("an image was decoded again"))
    moved = root.rename(root.with_name("moved"))
    monkeypatch.chdir(moved)
    with caplog.at_level(logging.INFO):
        for path in (moved, Path()):
            assert equal(epochs(data_of(path, **given)), expected)
    lines = [record.message for record in caplog.records if record.message.startswith("cache")]
    assert lines[-1] == "cache     .cache holds 5 of 5 images of A, 3 of 3 images of B"
    assert len(list((moved / ".cache").glob("*.cache"))) == 2


def test_domains_do_not_share_cached_images_of_equal_names_sizes_and_times(tmp_path: Path) -> None:
    for domain, level in (("A", 10), ("B", 200)):
        (tmp_path / domain / "train").mkdir(parents=True)
        np.save(tmp_path / domain / "train" / "0.npy", np.full((8, 8, 3), level, np.uint8))
        os.utime(tmp_path / domain / "train" / "0.npy", (1, 1))
    domains = {domain: Domain(train=f"{domain}/train") for domain in "AB"}
    for batch in epochs(data_of(tmp_path, domains=domains, cache="disk")):
        assert (batch["A"] < 0).all()
        assert (batch["B"] > 0).all()


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
def test_images_that_other_settings_prepared_are_not_used(root: Path, change: dict[str, Any]) -> None:
    epochs(data_of(root, cache="disk"), 1)
    expected = epochs(data_of(root, **{"crop_size": 3} | change))
    assert equal(epochs(data_of(root, **{"crop_size": 3, "cache": "disk"} | change)), expected)


def test_a_file_that_was_replaced_is_read_again(root: Path) -> None:
    epochs(data_of(root, cache="disk"), 1)
    before = (root / "trainA" / "0.png").stat()
    Image.new("RGB", (12, 10), "red").save(root / "trainA" / "0.png")
    os.utime(root / "trainA" / "0.png", ns=(before.st_atime_ns, before.st_mtime_ns + 1))
    assert equal(epochs(data_of(root, cache="disk")), epochs(data_of(root)))


def test_unreadable_images_are_skipped_as_without_a_cache(root: Path) -> None:
    """Also those that a run with a smaller crop or a higher limit could use, and one of another type."""
    (root / "trainA" / "1.png").write_bytes(b"nothing")
    Image.fromarray(np.zeros((40, 4, 3), np.uint8)).save(root / "trainA" / "2.png")  # 4 pixels wide
    Image.fromarray(np.full((10, 10), 40000, np.uint16)).save(root / "trainA" / "3.png")
    limits: dict[str, Any] = {"on_error": "skip", "load_size": None, "batch_size": 1}
    epochs(data_of(root, **limits, crop_size=4, cache="disk"))
    for more in ({"crop_size": 6}, {"crop_size": 4, "max_pixels": 150}):
        assert equal(epochs(data_of(root, **limits, **more, cache="disk")), epochs(data_of(root, **limits, **more)))


@pytest.mark.parametrize("cache", ["ram", "none"])
def test_other_caches_are_refused_with_the_present_values(root: Path, cache: str) -> None:
    with pytest.raises(DataError, match=rf"data\.cache is '{cache}'; available: disk, null"):
        ImageDataModule(root, cache=cache)
