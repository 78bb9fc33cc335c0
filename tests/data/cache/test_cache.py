"""What holds for caches in memory and on disk alike."""

import multiprocessing
import os
import pickle
import random
import signal
import sys
import time
import zlib
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from cyclegan.data.cache import Cache, Plan, describe, in_ram, on_disk
from cyclegan.data.cache.plan import mark_of
from cyclegan.errors import DataError
from tests.data.cache.conftest import Opener

# Python 3.12 warns of fork in a process with threads, which every process that imported torch has.
pytestmark = pytest.mark.filterwarnings("ignore:This process.*is multi-threaded:DeprecationWarning")

SHAPE = (3, 5, 7)
FIVE = Plan.equal("test-five", 5, SHAPE, "uint8")

images = st.lists(
    st.tuples(*[st.integers(1, 9)] * 3).flatmap(lambda shape: arrays(np.uint8, shape)), min_size=1, max_size=6
)


def image(seed: int, shape: tuple[int, int, int] = SHAPE) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def same(found: NDArray[Any] | None, expected: NDArray[Any]) -> bool:
    return found is not None and found.dtype == expected.dtype and np.array_equal(found, expected)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=30)
@given(listed=images, dtype=st.sampled_from(["uint8", "uint16", "int16", "float32"]), order=st.randoms())
def test_every_image_comes_back(opened: Opener, listed: list[Any], dtype: str, order: random.Random) -> None:
    listed = [pixels.astype(dtype) for pixels in listed]
    cache = opened(Plan("test-round", np.array([pixels.shape for pixels in listed]), dtype))
    numbers = list(range(len(listed)))
    order.shuffle(numbers)
    for i in numbers:
        cache.put(i, listed[i])
    assert all(same(cache.get(i), pixels) for i, pixels in enumerate(listed))
    assert len(cache) == cache.filled == len(listed)
    cache.forget_name()


def test_images_are_missing_until_somebody_puts_them_in(opened: Opener) -> None:
    cache = opened(FIVE)
    assert [cache.get(i) for i in range(5)] == [None] * 5
    cache.put(3, image(3))
    assert [cache.get(i) is None for i in range(5)] == [True, True, True, False, True]
    assert cache.filled == 1
    cache.put(3, image(3))
    assert cache.filled == 1


def test_a_black_image_counts_as_filled(opened: Opener) -> None:
    cache = opened(FIVE)
    cache.put(0, np.zeros(SHAPE, np.uint8))
    assert same(cache.get(0), np.zeros(SHAPE, np.uint8))


def test_an_image_whose_checksum_is_zero_counts_as_filled(opened: Opener) -> None:
    cache = opened(Plan.equal("test-zero", 1, (1, 1, 4), "uint8"))
    pixels = np.array([[[0x9D, 0x0A, 0xD9, 0x6D]]], np.uint8)
    assert zlib.crc32(pixels.data) == 0
    cache.put(0, pixels)
    assert same(cache.get(0), pixels)


def test_what_comes_back_cannot_be_written_to(opened: Opener) -> None:
    cache = opened(FIVE)
    cache.put(0, image(0))
    found = cache.get(0)
    assert found is not None
    with pytest.raises(ValueError, match="read-only"):
        found[0, 0, 0] = 1


def test_pixels_may_lie_in_any_order(opened: Opener) -> None:
    cache = opened(FIVE)
    pixels = image(0, (5, 7, 3)).transpose(2, 0, 1)  # as decoded
    assert not pixels.flags.c_contiguous
    cache.put(0, pixels)
    assert same(cache.get(0), pixels)


@pytest.mark.parametrize("i", [-1, 5])
def test_there_is_no_such_image(opened: Opener, i: int) -> None:
    cache = opened(FIVE)
    with pytest.raises(IndexError, match=f"images 0 to 4, not {i}"):
        cache.get(i)
    with pytest.raises(IndexError, match=f"images 0 to 4, not {i}"):
        cache.put(i, image(0))


def test_an_image_of_another_size_is_refused(opened: Opener) -> None:
    cache = opened(FIVE)
    with pytest.raises(DataError, match="the file was exchanged since"):
        cache.put(0, image(0, (3, 7, 5)))
    assert cache.get(0) is None


def swap(cache: Cache, pipe: Any) -> None:
    """In another process: sends image 0, puts image 1."""
    pipe.send(cache.get(0))
    cache.put(1, image(1))
    pipe.send(cache.filled)


def exchange(cache: Cache, method: Literal["fork", "spawn"]) -> None:
    """Each of two processes sees what the other put in."""
    cache.put(0, image(0))
    here, there = multiprocessing.Pipe()
    with here, there:
        worker = multiprocessing.get_context(method).Process(target=swap, args=(cache, there))  # type: ignore[attr-defined]
        worker.start()
        there.close()  # if the worker dies, nobody waits for it
        assert same(here.recv(), image(0))
        assert here.recv() == 2
        worker.join()
    assert same(cache.get(1), image(1))


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_workers_share_it(opened: Opener, method: Literal["fork", "spawn"]) -> None:
    cache = opened(FIVE)
    cache.forget_name()  # workers start after all ranks have attached
    exchange(cache, method)


def test_a_pickled_copy_is_the_same_cache(opened: Opener) -> None:
    cache = opened(FIVE)
    copy = pickle.loads(pickle.dumps(cache))
    copy.put(2, image(2))
    assert same(cache.get(2), image(2))


def test_a_mark_that_is_seen_before_its_pixels_does_not_count(opened: Opener) -> None:
    """As another processor may see it, or as the disk may keep it when power is lost."""
    cache = opened(FIVE)
    write_mark(cache, 2, mark_of(zlib.crc32(image(2).data)))
    assert cache.filled == 1
    assert cache.get(2) is None
    cache.put(2, image(2))
    assert same(cache.get(2), image(2))


def write_mark(cache: Cache, i: int, mark: int) -> None:
    """Whatever kind the cache is of, its file is laid out alike."""
    os.pwrite(cache._file, mark.to_bytes(8, sys.byteorder), 512 + 8 * i)  # type: ignore[attr-defined]


def test_pixels_that_are_half_there_do_not_count(opened: Opener) -> None:
    cache = opened(FIVE)
    pixels = image(1)
    write_mark(cache, 1, mark_of(zlib.crc32(pixels.data)))
    half = pixels.tobytes()[: pixels.nbytes // 2]
    os.pwrite(cache._file, half, int(FIVE.offsets[1]))  # type: ignore[attr-defined]
    assert cache.get(1) is None
    os.pwrite(cache._file, pixels.tobytes(), int(FIVE.offsets[1]))  # type: ignore[attr-defined]
    assert same(cache.get(1), pixels)


def test_a_process_killed_amidst_its_writing_leaves_no_wrong_image(opened: Opener) -> None:
    shape, count = (3, 500, 500), 20
    listed = [image(i, shape) for i in range(count)]
    for killed in range(3):
        cache = opened(Plan.equal(f"test-killed-{killed}", count, shape, "uint8"))
        cache.forget_name()
        worker = multiprocessing.get_context("fork").Process(target=fill, args=(cache, listed))
        worker.start()
        while cache.filled <= 3 * killed and worker.is_alive():
            time.sleep(0.0001)
        assert worker.pid is not None
        os.kill(worker.pid, signal.SIGKILL)
        worker.join()
        found = [cache.get(i) for i in range(count)]
        assert all(pixels is None or same(pixels, listed[i]) for i, pixels in enumerate(found))
        fill(cache, listed)
        assert all(same(cache.get(i), pixels) for i, pixels in enumerate(listed))


def fill(cache: Cache, listed: list[NDArray[np.uint8]]) -> None:
    for i, pixels in enumerate(listed):
        cache.put(i, pixels)


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="open files cannot be listed here")
def test_images_take_no_file_descriptors(opened: Opener) -> None:
    cache = opened(Plan.equal("test-many", 50, SHAPE, "uint8"))
    before = len([*Path("/proc/self/fd").iterdir()])
    for i in range(50):
        cache.put(i, image(i))
    kept = [cache.get(i) for i in range(50)]
    assert len([*Path("/proc/self/fd").iterdir()]) == before
    del kept


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="open files cannot be listed here")
def test_closed_caches_give_their_descriptors_back(opened: Opener) -> None:
    opened(FIVE).forget_name()
    before = len([*Path("/proc/self/fd").iterdir()])
    for _ in range(5):
        opened(FIVE).forget_name()
    assert len([*Path("/proc/self/fd").iterdir()]) == before


def test_two_domains_with_one_plan_share_a_cache(tmp_path: Path) -> None:
    for caches in (in_ram({"A": FIVE, "B": FIVE}), on_disk({"A": FIVE, "B": FIVE}, tmp_path)):
        assert caches["A"] is caches["B"]


def test_the_line_at_the_start(opened: Opener) -> None:
    a, b = (
        opened(Plan.equal("test-a", 1067, (3, 64, 64), "uint8")),
        opened(Plan.equal("test-b", 34, (3, 9, 9), "uint8")),
    )
    line = describe([a, b])
    assert line == f"{a.place}, 1067 + 34 images, 13.1 MB"  # (1067 * 12288 + 34 * 256 + marks) / 10⁶
    a.put(0, image(0, (3, 64, 64)))
    assert describe([a, b]) == f"{line}, 1 of them already there"
    assert describe([a, a]) == f"{a.place}, 1067 + 1067 images, 13.1 MB, 1 of them already there"  # they share it
