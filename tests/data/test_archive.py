import logging
import os
import pickle
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import DataLoader, Dataset

from cyclegan.data import archive as module
from cyclegan.data.archive import OPEN_AT_ONCE, Shards, find_shards
from cyclegan.data.source import Divisible
from cyclegan.errors import DataError
from cyclegan.images import ImageError
from tests.data.sources.tars import FORMATS, write_tar

SHARDS, IMAGES = 7, 9


@pytest.fixture(autouse=True)
def nothing_open() -> Iterator[None]:
    yield
    module._open.cache_clear()


def listed(images: Shards) -> list[str]:
    return [images[index] for index in range(len(images))]


def body(name: str) -> bytes:
    """Of another length and content for every name."""
    return name.encode() * (1 + sum(name.encode()) % 300)


def write_shards(folder: Path, counts: list[int], kind: str = "pax") -> Shards:
    folder.mkdir(parents=True, exist_ok=True)
    for number, count in enumerate(counts):
        names = [f"{number}/{image:03}" for image in range(count)]
        members = {
            name: data for key in names for name, data in {f"{key}.jpg": body(key), f"{key}.json": b"{}"}.items()
        }
        write_tar(folder / f"a-{number:03}.tar", members, kind)
    return find_shards(folder)


def test_is_what_training_takes_for_images(tmp_path: Path) -> None:
    """A thing for mypy, which holds the names and the types to the protocol."""
    found: Divisible = write_shards(tmp_path, [1])
    assert (len(found), found.label) == (1, "")


@pytest.mark.parametrize("kind", FORMATS)
def test_gives_every_image_in_order(tmp_path: Path, kind: str) -> None:
    found = write_shards(tmp_path, [2, 0, 3], kind)
    keys = ["0/000", "0/001", "2/000", "2/001", "2/002"]
    assert [found.open(index) for index in range(len(found))] == [body(key) for key in keys]
    assert listed(found) == [f"{tmp_path}/a-00{key[0]}.tar/{key}.jpg" for key in keys]
    assert found.open(-1) == found.open(len(found) - 1)
    assert found.passed_over == {".json": 5}
    with pytest.raises(IndexError):
        found.open(len(found))


def test_names_stay_when_the_folder_moves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = write_shards(tmp_path / "here", [1, 2])
    names = ["a-000.tar/0/000.jpg", "a-001.tar/1/000.jpg", "a-001.tar/1/001.jpg"]
    assert list(found.names()) == names
    (tmp_path / "here").rename(tmp_path / "there")
    monkeypatch.chdir(tmp_path)
    assert list(find_shards("there/a-*.tar").names()) == names


def test_names_tell_shards_of_several_folders_apart(tmp_path: Path) -> None:
    write_shards(tmp_path / "day", [1])
    write_shards(tmp_path / "night", [1])
    names = list(find_shards(tmp_path / "{day,night}/a-000.tar").names())
    assert names == ["day/a-000.tar/0/000.jpg", "night/a-000.tar/0/000.jpg"]


def test_long_lists_of_names_come_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = write_shards(tmp_path, [5, 4])
    whole = list(found.names())
    monkeypatch.setattr(module, "_NAMES_AT_ONCE", 2)
    assert list(found.names()) == whole
    assert len(whole) == 9


def test_a_second_start_reads_no_shard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = write_shards(tmp_path, [3, 4])
    monkeypatch.setattr(module, "walk", lambda path: pytest.fail(f"{path} was read again"))
    second = find_shards(tmp_path)
    assert listed(second) == listed(first)
    assert second.open(5) == first.open(5)


def test_a_shard_that_was_written_anew_is_looked_at_anew(tmp_path: Path) -> None:
    write_shards(tmp_path, [3, 4])
    write_tar(tmp_path / "a-001.tar", {"new.png": b"new"})
    found = find_shards(tmp_path)
    assert [found.open(index) for index in range(len(found))] == [body("0/000"), body("0/001"), body("0/002"), b"new"]


def test_goes_on_where_no_index_can_be_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def read_only(*_: object) -> None:
        raise PermissionError(13, "Permission denied", "a-000.tar.index")

    monkeypatch.setattr(module, "keep", read_only)
    with caplog.at_level(logging.WARNING):
        found = write_shards(tmp_path, [3, 4])
    assert found.open(6) == body("1/003")
    assert [record.getMessage() for record in caplog.records] == [
        "the index of 2 shards cannot be kept beside them and is made again at every start: "
        "[Errno 13] Permission denied: 'a-000.tar.index'"
    ]
    assert not list(tmp_path.glob("*.index"))


def test_says_when_there_is_no_image(tmp_path: Path) -> None:
    write_tar(tmp_path / "a.tar", {"a.json": b"{}", "b.json": b"{}", "notes": b""})
    with pytest.raises(DataError, match=r"no image in 1 tar file.*a\.tar: they hold \.json ×2, without ending ×1\."):
        find_shards(tmp_path)
    write_tar(tmp_path / "a.tar", {})
    with pytest.raises(DataError, match=r"they hold nothing"):
        find_shards(tmp_path)


def test_a_damaged_shard_stops_the_start(tmp_path: Path) -> None:
    write_shards(tmp_path, [3, 4, 2])
    os.truncate(tmp_path / "a-001.tar", 2000)
    with pytest.raises(DataError, match=r"a-001\.tar is cut off at byte 2,000"):
        find_shards(tmp_path)


def test_a_shard_that_vanished_or_changed_meanwhile(tmp_path: Path) -> None:
    found = write_shards(tmp_path, [3, 4, 2])
    (tmp_path / "a-000.tar").unlink()
    with pytest.raises(ImageError, match=r"a-000\.tar/0/001\.jpg: the shard cannot be read \(No such file"):
        found.open(1)
    os.utime(tmp_path / "a-001.tar", ns=(0, 0))
    with pytest.raises(DataError, match=r"a-001\.tar has changed since its images were counted"):
        found.open(3)
    assert found.open(7) == body("2/000")
    os.truncate(tmp_path / "a-002.tar", 2048)
    with pytest.raises(ImageError, match=r"a-002\.tar/2/001\.jpg: 0 of \d+ bytes are there"):
        found.open(8)


@pytest.mark.skipif(sys.platform != "linux", reason="looks at /proc")
def test_few_files_are_open_and_none_that_is_in_use_is_closed(tmp_path: Path) -> None:
    found = write_shards(tmp_path, [1] * (OPEN_AT_ONCE + 5))
    in_use = module._open(found.paths[0], found._stamps[0])
    for index in range(len(found)):
        assert found.open(index) == body(f"{index}/000")
    links = [os.path.realpath(entry) for entry in Path("/proc/self/fd").iterdir()]
    assert sum(link.startswith(str(tmp_path)) for link in links) == OPEN_AT_ONCE + 1
    assert os.pread(in_use.descriptor, 5, 0) == b"0/000"


class Bodies(Dataset[tuple[int, bytes]]):
    def __init__(self, images: Shards) -> None:
        self.images = images

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[int, bytes]:
        return os.getpid(), self.images.open(index)


def test_workers_read_at_the_same_time_from_what_is_open(tmp_path: Path) -> None:
    found = write_shards(tmp_path, [20, 20])
    alone = [found.open(index) for index in range(len(found))]  # and leaves both shards open
    answers = list(DataLoader(Bodies(found), batch_size=None, num_workers=2))
    assert [data for _, data in answers] == alone
    assert len({process for process, _ in answers} - {os.getpid()}) == 2


def test_goes_to_a_new_process_by_pickle(tmp_path: Path) -> None:
    found = write_shards(tmp_path, [3, 4])
    found.open(0)
    again = pickle.loads(pickle.dumps(found))
    assert list(again.names()) == list(found.names())
    assert again.open(5) == found.open(5)


def test_a_subset_has_its_own_order_and_the_same_index(tmp_path: Path) -> None:
    found = write_shards(tmp_path, [3, 4, 2])
    part = found.subset([8, 1, 4])
    assert listed(part) == [found[8], found[1], found[4]]
    assert list(part.names()) == [list(found.names())[index] for index in (8, 1, 4)]
    assert part.open(2) == found.open(4)
    assert part.subset([2, 0])[0] == found[4]
    assert np.shares_memory(part._offsets, found._offsets)
    assert len(found) == 9
    with pytest.raises(IndexError):
        found.subset([9])


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Shards]:
    """The same shards, by window."""
    first = write_shards(tmp_path_factory.mktemp("many"), [IMAGES] * SHARDS)
    return {window: Shards(first.paths, window) for window in range(1, SHARDS + 2)}


windows = st.integers(1, SHARDS + 1)
choices = st.lists(st.integers(0, SHARDS * IMAGES - 1), unique=True, min_size=1)
seeds = st.integers(0, 2**32 - 1)


@given(windows, choices, seeds)
def test_order_is_a_permutation_that_depends_on_the_random_numbers_alone(
    many: dict[int, Shards], window: int, chosen: list[int], seed: int
) -> None:
    images = many[window].subset(chosen)
    order = images.order(np.random.default_rng(seed))
    assert order.dtype == np.int32
    assert sorted(order.tolist()) == list(range(len(chosen)))
    images.order(np.random.default_rng(seed + 1))
    assert images.order(np.random.default_rng(seed)).tolist() == order.tolist()


@given(windows, choices, seeds)
def test_order_has_few_shards_in_use_at_any_position(
    many: dict[int, Shards], window: int, chosen: list[int], seed: int
) -> None:
    """A shard is in use from its first image to its last; and it has one such time."""
    images = many[window].subset(chosen)
    shard = [images[index].split("/a-")[1][:3] for index in images.order(np.random.default_rng(seed))]
    first = {each: shard.index(each) for each in shard}
    last = {each: position for position, each in enumerate(shard)}
    for position in range(len(shard)):
        assert sum(first[each] <= position <= last[each] for each in first) <= window


def test_windows_are_of_equal_size(many: dict[int, Shards]) -> None:
    """Seven shards in windows of at most 6 are 3 + 4 and not 6 + 1, of which the one would not be mixed."""
    order = many[6].order(np.random.default_rng(0)) // IMAGES
    assert len(set(order[: 3 * IMAGES].tolist())) == 3
    assert len(set(order[3 * IMAGES :].tolist())) == 4


def test_images_of_a_window_are_mixed(many: dict[int, Shards]) -> None:
    """Every order of three images of two shards comes up equally often: 6 orders, 100 times each, ±5 sigma."""
    images = many[2].subset([0, 1, IMAGES])
    seen: dict[tuple[int, ...], int] = {}
    for seed in range(600):
        key = tuple(images.order(np.random.default_rng(seed)).tolist())
        seen[key] = seen.get(key, 0) + 1
    assert len(seen) == 6
    assert all(abs(count - 100) < 5 * (100 * 5 / 6) ** 0.5 for count in seen.values())


def test_shards_come_in_another_order_in_each_pass(many: dict[int, Shards]) -> None:
    rng = np.random.default_rng(0)
    passes = [tuple(dict.fromkeys((many[1].order(rng) // IMAGES).tolist())) for _ in range(20)]
    assert all(one != other for one, other in pairwise(passes))
    assert {sequence[0] for sequence in passes} > {0, 1, 2}


def test_there_is_something_to_read_and_to_mix(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="0 paths and a window of 4"):
        Shards([])
    with pytest.raises(ValueError, match="window of 0"):
        Shards([tmp_path], window=0)
