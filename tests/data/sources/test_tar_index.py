import os
import pickle
import tarfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cyclegan.data.sources import tar_index
from cyclegan.data.sources.tar_index import TarIndex, index_file, keep, recall, walk
from cyclegan.errors import DataError
from tests.data.sources.tars import add, write_tar
from tests.faults import largest_file


def names_of(index: TarIndex) -> list[str]:
    ends = index.ends.tolist()
    return [index.names[a:b].tobytes().decode() for a, b in zip([0, *ends], ends, strict=False)]


def equal(one: TarIndex | None, other: TarIndex) -> bool:
    return one is not None and all(np.array_equal(getattr(one, key), getattr(other, key)) for key in vars(other))


def test_takes_the_images_and_counts_the_rest(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        for kind, name in [(tarfile.DIRTYPE, "x.jpg"), (tarfile.SYMTYPE, "s.jpg"), (tarfile.LNKTYPE, "h.jpg")]:
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, "b.JPG"
            tar.addfile(member)
        add(tar, tarfile.TarInfo("x/"))  # a folder of the oldest format
        for name in ["b.JPG", "a.input.png", "a.json", "a.cls", "b.json", "._a.jpg", ".cache/a.jpg", "notes", "c.tif"]:
            add(tar, tarfile.TarInfo(name), name.encode())
    index = walk(str(tmp_path / "a.tar"))
    assert names_of(index) == ["b.JPG", "a.input.png", "c.tif"]
    assert index.passed_over == {"link": 2, ".json": 2, "hidden": 2, ".cls": 1, "without ending": 1}
    data = (tmp_path / "a.tar").read_bytes()
    places = zip(index.offsets, index.sizes, strict=True)
    assert [data[offset : offset + size].decode() for offset, size in places] == names_of(index)


def test_the_last_of_two_with_one_name_counts(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "a.tar", {"a.jpg": b"old", "b.jpg": b"other"})
    with tarfile.open(path, "a") as tar:
        add(tar, tarfile.TarInfo("a.jpg"), b"newer")
    index = walk(str(path))
    assert (names_of(index), index.sizes.tolist()) == (["b.jpg", "a.jpg"], [5, 5])
    assert index.passed_over == {"replaced": 1}


def test_names_the_file_and_where_it_is_damaged(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "a-007.tar", {"a.jpg": b"x" * 2000})
    os.truncate(path, 1000)
    with pytest.raises(DataError, match=r"a-007\.tar is cut off at byte 1,000: its member a\.jpg .* copy it once more"):
        walk(str(path))
    with pytest.raises(DataError, match=r"nowhere\.tar cannot be read: No such file"):
        walk(str(tmp_path / "nowhere.tar"))
    with pytest.raises(DataError, match=r"nowhere\.tar cannot be read: No such file"):
        recall(str(tmp_path / "nowhere.tar"))


@pytest.fixture
def shard(tmp_path: Path) -> str:
    return str(write_tar(tmp_path / "a.tar", {"é.jpg": b"one", "2.jpg": b"other", "2.json": b"{}"}))


def test_comes_back_from_disk(shard: str) -> None:
    assert recall(shard) is None
    index = walk(shard)
    keep(index, shard)
    assert equal(recall(shard), index)
    assert sorted(path.name for path in Path(shard).parent.iterdir()) == ["a.tar", "a.tar.index"]


def test_an_index_without_images_comes_back(tmp_path: Path) -> None:
    path = str(write_tar(tmp_path / "a.tar", {"a.json": b"{}"}))
    index = walk(path)
    keep(index, path)
    assert equal(recall(path), index)
    assert len(index.offsets) == len(index.ends) == 0


def test_a_stale_index_is_not_taken(shard: str, monkeypatch: pytest.MonkeyPatch) -> None:
    index = walk(shard)
    keep(replace(index, stamp=index.stamp._replace(size=index.stamp.size + 1)), shard)
    assert recall(shard) is None
    keep(replace(index, stamp=index.stamp._replace(mtime_ns=index.stamp.mtime_ns + 1)), shard)
    assert recall(shard) is None
    keep(index, shard)
    with monkeypatch.context() as patch:
        patch.setattr(tar_index, "_VERSION", 0)
        assert recall(shard) is None
    with monkeypatch.context() as patch:  # a release that reads more kinds of images has to look for them
        patch.setattr(tar_index, "IMAGE_SUFFIXES", frozenset({".jpg", ".json"}))
        assert recall(shard) is None
    assert equal(recall(shard), index)


def test_a_damaged_index_is_not_taken(shard: str) -> None:
    index = walk(shard)
    keep(index, shard)
    data = index_file(shard).read_bytes()
    refused = 0
    for at in range(0, len(data), 3):
        index_file(shard).write_bytes(data[:at] + bytes([data[at] ^ 0x41]) + data[at + 1 :])
        found = recall(shard)
        refused += found is None
        assert found is None or equal(found, index)  # a zip file has bytes of no importance, such as dates
    assert refused > len(data) // 6
    for length in (0, 1, len(data) // 2, len(data) - 1):
        index_file(shard).write_bytes(data[:length])
        assert recall(shard) is None


class Bomb:
    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, ("exploded",)


def test_nothing_is_unpickled(shard: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    index_file(shard).write_bytes(pickle.dumps(Bomb()))
    assert recall(shard) is None
    with index_file(shard).open("wb") as file:
        np.savez(file, about=np.array([Bomb()], dtype=object))
    assert recall(shard) is None
    assert not Path("exploded").exists()


def test_a_disk_that_is_full_leaves_the_old_index_alone(shard: str) -> None:
    keep(walk(shard), shard)
    before = index_file(shard).read_bytes()
    with largest_file(200), pytest.raises(OSError, match="File too large"):
        keep(walk(shard), shard)
    assert index_file(shard).read_bytes() == before
    assert sorted(path.name for path in Path(shard).parent.iterdir()) == ["a.tar", "a.tar.index"]
