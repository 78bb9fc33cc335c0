"""A cache in memory: who finds it, and that nothing of it stays."""

import gc
import os
import re
import signal
import stat
import subprocess
import sys
import tempfile
import zlib
from pathlib import Path
from typing import Literal
from uuid import uuid4

import numpy as np
import pytest

from cyclegan.data.cache import Plan, files, in_ram, ram
from cyclegan.errors import DataError
from tests.data.cache.test_cache import FIVE, exchange, image, same
from tests.faults import in_a_child, largest_file

pytestmark = [
    # Python 3.12 warns of fork in a process with threads, which every process that imported torch has.
    pytest.mark.filterwarnings("ignore:This process.*is multi-threaded:DeprecationWarning"),
    pytest.mark.skipif(not ram.DESCRIPTORS.is_dir(), reason="there is no /proc here"),
]

RANK = """
import sys, numpy as np
from pathlib import Path
from cyclegan.data.cache import Plan, {opener}

def barrier():
    print("here", flush=True)
    sys.stdin.readline()

rank = int(sys.argv[1])
plans = {{
    "A": Plan.equal(sys.argv[2] + "-a", 4, (3, 5, 7), "uint8"),
    "B": Plan(sys.argv[2] + "-b", np.array([[1, 2, 3], [3, 2, 1]]), "float32"),
}}
barrier()
caches = {call}
barrier()
for cache in caches.values():
    cache.forget_name()
caches["A"].put(rank, np.full((3, 5, 7), 10 + rank, np.uint8))
barrier()
pixels = caches["A"].get(1 - rank)
print(caches["A"].filled, None if pixels is None else pixels.mean(), flush=True)
"""


REAL_SHARED = ram.SHARED


def note_of(plan: Plan) -> Path:
    return ram.SHARED / f"cyclegan-{os.geteuid()}-{plan.key}"


@pytest.mark.parametrize("call", ["in_ram(plans)", "on_disk(plans, Path(sys.argv[3]))"])
def test_ranks_that_start_at_once_share_one_cache(tmp_path: Path, call: str) -> None:
    key = f"test-{uuid4().hex}"  # these are in the real /dev/shm
    code = RANK.format(opener=call.split("(")[0], call=call)
    ranks = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(rank), key, str(tmp_path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )
        for rank in range(2)
    ]
    for _ in range(3):
        for rank in ranks:
            assert rank.stdout is not None
            assert rank.stdout.readline() == "here\n"
        for rank in ranks:
            assert rank.stdin is not None
            rank.stdin.write("\n")
    assert [rank.communicate()[0] for rank in ranks] == ["2 11.0\n", "2 10.0\n"]
    assert [rank.returncode for rank in ranks] == [0, 0]
    assert list(REAL_SHARED.glob(f"*{key}*")) == []


def test_without_its_name_it_lives_on() -> None:
    cache = in_ram({"A": FIVE})["A"]
    cache.put(0, image(0))
    assert note_of(FIVE).exists()
    assert stat.S_IMODE(note_of(FIVE).stat().st_mode) == 0o600
    cache.forget_name()
    assert not note_of(FIVE).exists()
    assert same(cache.get(0), image(0))
    later = in_ram({"A": FIVE})["A"]
    assert later.get(0) is None


def test_a_second_one_of_the_same_plan_attaches() -> None:
    first = in_ram({"A": FIVE})["A"]
    second = in_ram({"A": FIVE})["A"]
    first.put(0, image(0))
    assert same(second.get(0), image(0))
    second.forget_name()
    assert note_of(FIVE).exists()  # it is the first one's
    second = in_ram({"A": Plan.equal(FIVE.key, 6, (3, 5, 7), "uint8")})["A"]  # another plan with its key
    assert second.filled == 0
    assert same(first.get(0), image(0))


def test_what_is_not_named_away_goes_with_the_cache() -> None:
    cache = in_ram({"A": FIVE})["A"]

    def forked() -> None:
        nonlocal cache
        del cache
        gc.collect()

    assert in_a_child(forked) == 0
    assert note_of(FIVE).exists()  # a worker that ends takes nothing away
    del cache
    gc.collect()
    assert not note_of(FIVE).exists()


def test_the_note_of_another_run_stays() -> None:
    cache = in_ram({"A": FIVE})["A"]
    note_of(FIVE).write_text("/proc/1/fd/1")  # which wrote its own after ours was gone
    cache.forget_name()
    assert note_of(FIVE).read_text() == "/proc/1/fd/1"
    note_of(FIVE).unlink()


def test_after_a_kill_the_memory_is_free_and_the_next_begins_anew() -> None:
    def killed() -> None:
        cache = in_ram({"A": FIVE})["A"]
        cache.put(0, image(0))
        os.kill(os.getpid(), signal.SIGKILL)

    assert in_a_child(killed) == -signal.SIGKILL
    (address,) = re.findall(r"^/proc/\d+", note_of(FIVE).read_text())
    assert not Path(address).exists()  # the memory had no other name
    cache = in_ram({"A": FIVE})["A"]
    assert cache.filled == 0
    cache.put(0, image(1))
    assert same(in_ram({"A": FIVE})["A"].get(0), image(1))


@pytest.mark.parametrize("content", ["", "x", "/proc/self/fd/0", "/etc/passwd"])
def test_a_note_that_tells_nothing_is_written_anew(content: str) -> None:
    note_of(FIVE).write_text(content)
    note_of(FIVE).chmod(0o600)
    in_ram({"A": FIVE})["A"].put(0, image(0))
    assert not note_of(FIVE).exists()


@pytest.mark.parametrize("size", [FIVE.size, 3])
def test_another_file_with_the_number_of_the_cache_is_left_alone(tmp_path: Path, size: int) -> None:
    """The process that made the cache is gone, and one that came later has its number."""
    (tmp_path / "theirs").write_bytes(b"x" * size)
    with (tmp_path / "theirs").open("rb+") as file:
        note_of(FIVE).write_text(f"/proc/{os.getpid()}/fd/{file.fileno()}")
        cache = in_ram({"A": FIVE})["A"]
        cache.put(0, image(0))
    assert (tmp_path / "theirs").read_bytes() == b"x" * size
    assert same(cache.get(0), image(0))


def test_a_link_in_the_place_of_the_note_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("as it was")
    note_of(FIVE).symlink_to(tmp_path / "precious")
    try:
        with pytest.raises(DataError, match=r"it is a link; remove it, or set data\.cache=none"):
            in_ram({"A": FIVE})
    finally:
        note_of(FIVE).unlink()
    assert (tmp_path / "precious").read_text() == "as it was"


def test_the_file_of_somebody_else_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    me = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: me + 1)
    note = note_of(FIVE)
    note.write_text("")
    try:
        with pytest.raises(DataError, match=rf"no file of this user alone \(owner {me}, -rw"):
            in_ram({"A": FIVE})
    finally:
        note.unlink()


@pytest.mark.parametrize("reserves", [True, False])
def test_all_its_memory_is_taken_at_once(monkeypatch: pytest.MonkeyPatch, reserves: bool) -> None:
    if not reserves:
        monkeypatch.delattr(os, "posix_fallocate")
    plan = Plan.equal("test-room", 30, (3, 100, 1000), "uint8")  # more than one chunk of 1 MiB
    cache = in_ram({"A": plan})["A"]
    assert os.fstat(cache._file).st_blocks * 512 >= plan.size
    assert cache.filled == 0


def test_memory_that_is_refused_is_told() -> None:
    plan = Plan.equal("test-refused", 30, (3, 100, 1000), "uint8")
    with (
        largest_file(1_000_000),
        pytest.raises(DataError, match=r"data\.cache=ram needs 9 MB, and the system refuses them: File too large"),
    ):
        in_ram({"A": plan})
    assert not note_of(plan).exists()


def test_an_interrupted_beginning_leaves_no_name(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(descriptor: int, size: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(files, "reserve", interrupt)
    with pytest.raises(KeyboardInterrupt):
        in_ram({"A": FIVE})
    assert not note_of(FIVE).exists()


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_without_memfd_it_is_a_file_without_a_name(
    monkeypatch: pytest.MonkeyPatch, method: Literal["fork", "spawn"]
) -> None:
    monkeypatch.setattr(ram, "HAS_MEMFD", False)
    cache = in_ram({"A": FIVE})["A"]
    assert [path.name for path in ram.SHARED.glob("cyclegan-*")] == [note_of(FIVE).name]
    assert Path(f"/proc/self/fd/{cache._file}").readlink().parent == ram.SHARED
    cache.forget_name()
    exchange(cache, method)


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_without_proc_it_is_a_temporary_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: Literal["fork", "spawn"]
) -> None:
    """As on macOS."""
    monkeypatch.setattr(ram, "DESCRIPTORS", tmp_path / "none")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    cache = in_ram({"A": FIVE})["A"]
    cache.forget_name()
    (file,) = tmp_path.iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    exchange(cache, method)
    assert in_ram({"A": FIVE})["A"].filled == 0  # each rank has its own
    del cache
    gc.collect()
    assert list(tmp_path.iterdir()) == []


def test_without_proc_a_file_that_finds_no_room_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ram, "DESCRIPTORS", tmp_path / "none")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with largest_file(600), pytest.raises(DataError, match="the system refuses them"):
        in_ram({"A": FIVE})
    assert list(tmp_path.iterdir()) == []


def test_there_are_no_such_files_on_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "fcntl", None)
    with pytest.raises(DataError, match=r"need Linux or macOS; set data\.cache=none"):
        in_ram({"A": FIVE})


def test_it_is_not_copied() -> None:
    cache = in_ram({"A": FIVE})["A"]
    cache.put(0, image(0))
    first, second = cache.get(0), cache.get(0)
    assert first is not None
    assert second is not None
    assert np.shares_memory(first, second)


def test_a_process_compares_an_image_with_its_checksum_once(monkeypatch: pytest.MonkeyPatch) -> None:
    cache = in_ram({"A": FIVE})["A"]
    for i in range(2):
        cache.put(i, image(i))
    compared = 0
    real = zlib.crc32

    def counted(data: bytes) -> int:
        nonlocal compared
        compared += 1
        return real(data)

    monkeypatch.setattr(zlib, "crc32", counted)
    for _ in range(3):
        assert same(cache.get(0), image(0))
        assert same(cache.get(1), image(1))
    assert compared == 2
