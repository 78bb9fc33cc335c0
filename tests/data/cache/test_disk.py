"""A cache on disk: kept, checked, and made anew when it is not what it should be."""

import errno
import fcntl
import multiprocessing
import os
import signal
import stat
import time
import warnings
from pathlib import Path
from typing import Any

import pytest

from cyclegan.data.cache import DiskCache, Plan, files, on_disk
from cyclegan.data.cache.files import exclusive
from cyclegan.errors import DataError
from tests.data.cache.test_cache import FIVE, image, same
from tests.faults import in_a_child, largest_file

LARGE = Plan.equal("test-large", 30, (3, 100, 1000), "uint8")  # 9 MB

# Python 3.12 warns of fork in a process with threads, which every process that imported torch has.
pytestmark = pytest.mark.filterwarnings("ignore:This process.*is multi-threaded:DeprecationWarning")


def opened(folder: Path, plan: Plan = FIVE) -> DiskCache:
    return on_disk({"A": plan}, folder)["A"]


def test_the_next_run_finds_the_images(tmp_path: Path) -> None:
    cache = opened(tmp_path / "new" / "folder")
    cache.put(4, image(4))
    cache.forget_name()
    again = opened(tmp_path / "new" / "folder")
    assert again.filled == 1
    assert same(again.get(4), image(4))
    assert stat.S_IMODE(again.path.stat().st_mode) == 0o600
    assert [path.name for path in again.path.parent.iterdir()] == ["test-five.cache"]


def test_each_damaged_byte_is_found_and_the_image_can_be_put_again(tmp_path: Path) -> None:
    cache = opened(tmp_path)
    cache.put(1, image(1))
    begin = int(FIVE.offsets[1])
    for at in (begin, begin + 52, begin + 104):
        original = os.pread(cache._file, 1, at)
        assert same(cache.get(1), image(1))
        os.pwrite(cache._file, bytes([original[0] ^ 4]), at)
        assert cache.get(1) is None
        cache.put(1, image(1))
    assert same(cache.get(1), image(1))


def test_another_plan_with_the_same_key_begins_anew_and_leaves_the_old_to_whoever_has_it_open(tmp_path: Path) -> None:
    old = opened(tmp_path)
    old.put(0, image(0))
    other = Plan.equal(FIVE.key, 5, (3, 7, 5), "uint8")
    new = opened(tmp_path, other)
    assert new.filled == 0
    new.put(0, image(1, (3, 7, 5)))
    assert same(old.get(0), image(0))
    assert same(opened(tmp_path, other).get(0), image(1, (3, 7, 5)))


@pytest.mark.parametrize("left", [1, 511, 600, FIVE.size - 1, FIVE.size + 1])
def test_a_file_of_another_length_is_made_anew(tmp_path: Path, left: int) -> None:
    opened(tmp_path).put(0, image(0))
    os.truncate(tmp_path / "test-five.cache", left)
    cache = opened(tmp_path)
    assert cache.filled == 0
    assert cache.path.stat().st_size == FIVE.size
    cache.put(0, image(0))
    assert same(opened(tmp_path).get(0), image(0))


def test_a_file_without_header_was_not_finished(tmp_path: Path) -> None:
    (tmp_path / "test-five.cache").write_bytes(bytes(FIVE.size))
    old = (tmp_path / "test-five.cache").stat().st_ino
    keep = (tmp_path / "test-five.cache").open("rb")  # so that its number is not given to the next
    assert opened(tmp_path).path.stat().st_ino != old
    keep.close()


def test_a_file_cut_short_while_in_use_loses_its_images_only(tmp_path: Path) -> None:
    cache = opened(tmp_path)
    for i in range(5):
        cache.put(i, image(i))
    os.truncate(cache.path, int(FIVE.offsets[3]) + 7)
    assert [cache.get(i) is None for i in range(5)] == [False, False, False, True, True]
    cache.put(4, image(4))
    assert same(cache.get(4), image(4))


def test_a_disk_that_cannot_be_read_loses_its_images_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = opened(tmp_path)
    cache.put(0, image(0))

    def fail(*_: Any) -> bytes:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "pread", fail)
    assert cache.get(0) is None


def test_a_process_killed_after_half_an_image_leaves_it_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = opened(tmp_path)
    cache.put(0, image(0))  # it is replaced, so its mark is there
    real = os.pwrite

    def half(descriptor: int, data: memoryview, offset: int) -> int:
        real(descriptor, data[: len(data) // 2], offset)
        os.kill(os.getpid(), signal.SIGKILL)
        return 0

    monkeypatch.setattr(os, "pwrite", half)
    for i in (0, 1):
        assert in_a_child(lambda i=i: cache.put(i, image(9))) == -signal.SIGKILL  # type: ignore[misc]
        assert cache.get(i) is None
    assert cache.filled == 1


def test_all_its_space_is_taken_at_once(tmp_path: Path) -> None:
    cache = opened(tmp_path, LARGE)
    assert cache.path.stat().st_blocks * 512 >= LARGE.size


def test_a_full_disk_is_told_and_nothing_stays_on_it(tmp_path: Path) -> None:
    with (
        largest_file(1_000_000),
        pytest.raises(DataError, match=r"data\.cache=disk needs 9 MB, and the system refuses them: File too large"),
    ):
        on_disk({"A": FIVE, "B": LARGE}, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_what_is_there_already_needs_no_room_and_survives_a_failure(tmp_path: Path) -> None:
    opened(tmp_path).put(0, image(0))
    with largest_file(1_000_000), pytest.raises(DataError, match="refuses"):
        on_disk({"A": FIVE, "B": LARGE}, tmp_path)
    with largest_file(100):
        assert same(opened(tmp_path).get(0), image(0))


def test_an_interrupted_beginning_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(descriptor: int, size: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(files, "reserve", interrupt)
    with pytest.raises(KeyboardInterrupt):
        opened(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_takes_no_more_is_told_once_and_training_goes_on(tmp_path: Path) -> None:
    """Some file systems find room for a reserved block only when it is written."""
    cache = opened(tmp_path)
    cache.put(0, image(0))
    with largest_file(int(FIVE.offsets[1]) + 50):
        with pytest.warns(UserWarning, match=r"test-five\.cache takes no more images \(File too large\)"):
            cache.put(1, image(1))
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            cache.put(2, image(2))
    assert [cache.get(i) is None for i in range(3)] == [False, True, True]


def test_links_and_folders_are_not_used(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("as it was")
    (tmp_path / "test-five.cache").symlink_to(tmp_path / "precious")
    with pytest.raises(DataError, match=r"test-five\.cache cannot be opened: it is a link; remove it"):
        opened(tmp_path)
    (tmp_path / "test-five.cache").unlink()
    os.link(tmp_path / "precious", tmp_path / "test-five.cache")
    with pytest.raises(DataError, match=r"no file of this user alone .* names 2"):
        opened(tmp_path)
    assert (tmp_path / "precious").read_text() == "as it was"
    (tmp_path / "test-five.cache").unlink()
    (tmp_path / "test-five.cache").mkdir()
    with pytest.raises(DataError, match="cannot be opened: Is a directory"):
        opened(tmp_path)


def test_the_file_of_somebody_else_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened(tmp_path)
    me = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: me + 1)
    with pytest.raises(DataError, match=rf"no file of this user alone \(owner {me}, -rw-------, names 1\)"):
        opened(tmp_path)


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match=r"data\.cache_dir .*file/cache cannot be made: Not a directory"):
        opened(tmp_path / "file" / "cache")


def test_a_cache_removed_in_between_is_told_to_a_worker_that_is_spawned_later(tmp_path: Path) -> None:
    cache = opened(tmp_path)
    cache.put(0, image(0))
    cache.path.unlink()
    assert same(cache.get(0), image(0))
    reopen, arguments = cache.__reduce__()
    with pytest.raises(DataError, match="cannot be opened: No such file or directory; start the run again"):
        reopen(*arguments)
    opened(tmp_path, Plan.equal(FIVE.key, 6, (3, 5, 7), "uint8"))
    with pytest.raises(DataError, match="was exchanged"):
        reopen(*arguments)


def test_a_file_that_is_used_is_young(tmp_path: Path) -> None:
    opened(tmp_path)
    os.utime(tmp_path / "test-five.cache", (0, 0))
    now = time.time()
    opened(tmp_path)
    assert (tmp_path / "test-five.cache").stat().st_mtime > now - 3600


def test_a_file_system_without_locks_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_locks(descriptor: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", no_locks)
    opened(tmp_path).put(0, image(0))
    assert same(opened(tmp_path).get(0), image(0))


def test_who_waited_for_a_file_that_lost_its_name_takes_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened(tmp_path)
    real = fcntl.flock

    def removed(descriptor: int, operation: int) -> None:
        monkeypatch.setattr(fcntl, "flock", real)
        (tmp_path / "test-five.cache").unlink()
        real(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", removed)
    opened(tmp_path).put(0, image(7))
    assert same(opened(tmp_path).get(0), image(7))


def test_two_do_not_make_one_file_at_once(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with exclusive(path, lambda _: True), path.open() as other, pytest.raises(BlockingIOError):
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_a_process_forked_meanwhile_does_not_keep_the_lock(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with exclusive(path, lambda _: True):
        worker = multiprocessing.get_context("fork").Process(target=time.sleep, args=(60,), daemon=True)
        worker.start()
    with path.open() as other:
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    worker.kill()
    worker.join()
