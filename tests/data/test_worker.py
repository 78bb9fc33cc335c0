"""Real worker processes: signals, errors and deaths."""

import errno
import gc
import multiprocessing
import os
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from cyclegan.data import reader
from cyclegan.data import worker as module
from cyclegan.data.datamodule import ImageDataModule
from cyclegan.data.loader import Batch, PositionLoader, PositionSampler
from cyclegan.data.worker import reading
from cyclegan.errors import DataError
from cyclegan.images import ImageError, Pixels, decode
from tests.data.image_folders import equal, image_folder
from tests.data.test_loader import Positions

# Python 3.12 warns of fork in a process with threads, which every process that imported torch has.
pytestmark = pytest.mark.filterwarnings("ignore:This process.*is multi-threaded:DeprecationWarning")
# Where the sender of a signal cannot be told (macOS), SIGTERM ends a worker whoever sent it.
needs_sender = pytest.mark.skipif(not hasattr(signal, "sigwaitinfo"), reason="a signal's sender cannot be told here")

HANG = 120  # seconds; importing torch takes a few


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Twelve images of each domain: an epoch shows each of them once."""
    return image_folder(tmp_path, trainA=12, trainB=12)


def loader(root: Path, num_workers: int, crop_size: int = 6, load_size: int | None = 8) -> PositionLoader:
    data = ImageDataModule(root, load_size, crop_size, num_workers=num_workers, header_checks=0)
    data.setup("fit")
    return data.train_dataloader()


def workers() -> list[multiprocessing.process.BaseProcess]:
    return multiprocessing.active_children()


@pytest.mark.parametrize("num_workers", [0, 2])
def test_iterating_draws_nothing_from_the_global_random_numbers(root: Path, num_workers: int) -> None:
    batches = loader(root, num_workers)
    before = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()  # type: ignore[index]
    for _ in range(2):
        assert len(list(batches)) == 12
    assert torch.get_rng_state().equal(before[0])
    assert (random.getstate(), np.random.get_state()[1].tolist()) == before[1:]  # type: ignore[index]


@needs_sender
def test_workers_ignore_signals_to_the_process_group(root: Path) -> None:
    undisturbed = [*loader(root, 0)]
    batches = loader(root, 2)
    iterator = iter(batches)
    seen = [next(iterator)]
    ours = workers()
    assert len(ours) == 2
    for worker in ours:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGHUP):
            # From a process that is not the parent, as kill, a terminal or SLURM would.
            subprocess.run(["kill", f"-{int(number)}", str(worker.pid)], check=True)
    seen += iterator
    assert equal(seen, undisturbed)
    assert [worker.is_alive() for worker in ours] == [True, True]


@needs_sender
def test_workers_ignore_signals_before_they_are_ready(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    main = os.getpid()

    def signalled(count: int) -> None:  # among the first things that DataLoader does in a worker
        assert os.getpid() != main
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGHUP):
            subprocess.run(["kill", f"-{int(number)}", str(os.getpid())], check=True)

    undisturbed = [*loader(root, 0)]
    monkeypatch.setattr(torch, "set_num_threads", signalled)
    assert equal([*loader(root, 2)], undisturbed)


@needs_sender
def test_the_main_process_still_receives_its_signals_and_ends_its_workers(root: Path) -> None:
    iterator = iter(loader(root, 2))
    next(iterator)
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == set()
    for worker in workers():
        worker.terminate()
        worker.join(HANG)
        assert worker.exitcode == 0


SCRIPT = """
import os, signal, sys, torch
from torch.utils.data import Dataset
from cyclegan.data.loader import PositionLoader, PositionSampler

class Positions(Dataset):
    def __getitem__(self, position):
        return {"A": torch.tensor([position])}

loader = PositionLoader(Positions(), PositionSampler(100, 1), num_workers=2, persistent_workers=True)
iterator = iter(loader)
next(iterator), next(iterator)  # now both workers have begun
"""


def test_workers_do_not_outlive_a_main_process_that_is_killed() -> None:
    """They hold the other end of stdout: it is closed when the last of them is gone."""
    script = subprocess.Popen(
        [sys.executable, "-c", SCRIPT + "os.kill(os.getpid(), signal.SIGKILL)"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        cwd=Path(__file__).parents[2],
    )
    try:
        _, errors = script.communicate(timeout=HANG)
    except subprocess.TimeoutExpired:
        os.killpg(script.pid, signal.SIGKILL)
        pytest.fail(f"the script or its workers still ran after {HANG} s")
    assert script.returncode == -signal.SIGKILL, errors


@pytest.mark.parametrize(
    ("death", "how"),
    [
        (lambda: os.kill(os.getpid(), signal.SIGKILL), "was killed by SIGKILL"),
        (lambda: os._exit(3), "exited with code 3"),
    ],
)
def test_names_the_file_that_kills_a_worker(
    root: Path, monkeypatch: pytest.MonkeyPatch, death: object, how: str
) -> None:
    bad = root / "trainB" / "2.png"

    def deadly(data: bytes, path: str, *arguments: Any) -> Pixels:
        if path == str(bad):
            (root / "pid").write_text(str(os.getpid()))
            death()  # type: ignore[operator]
        return decode(data, path, *arguments)

    monkeypatch.setattr(reader, "decode", deadly)
    with pytest.raises(DataError) as caught:
        list(loader(root, 2))
    text = str(caught.value)
    assert text.startswith(f"worker process {(root / 'pid').read_text()} {how} at {bad}.")
    assert set(re.findall(r"[^\s']*\.png", text)) == {str(bad)}
    assert f"read({str(bad)!r})" in text
    assert "after SIGBUS the workers' shared memory: docker run --shm-size=8g, or --ipc=host" in text
    assert "set data.num_workers lower than 2" in text
    assert "resume=auto continues" in text
    assert workers() == [], "the others are ended too"


class Read(Positions):
    def __getitem__(self, position: int) -> Batch:
        with reading(f"{position}.png"):
            return super().__getitem__(position)


@pytest.fixture
def killed() -> tuple[PositionLoader, Iterator[Batch], int]:
    """A loader of which one worker was killed after it had nothing more to read, and that worker's process id."""
    batches = PositionLoader(Read(), PositionSampler(10, 1), num_workers=2, persistent_workers=True)
    iterator = iter(batches)
    next(iterator)
    victim = workers()[0]
    assert victim.pid is not None
    for _ in range(5):  # each has read two batches ahead, or is about to read the next
        time.sleep(0.1)
        while any(batches._workers.files[worker.pid] for worker in workers()):
            time.sleep(0.01)
    os.kill(victim.pid, signal.SIGKILL)
    os.waitid(os.P_PID, victim.pid, os.WEXITED | os.WNOWAIT)
    # Here the main process may be in the middle of a step: an error now, from a signal handler, would strike it there.
    return batches, iterator, victim.pid


def test_a_death_is_reported_where_the_next_batch_is_requested(
    killed: tuple[PositionLoader, Iterator[Batch], int],
) -> None:
    batches, iterator, pid = killed
    with pytest.raises(DataError, match=rf"^worker process {pid} was killed by SIGKILL between two files\. If memory"):
        list(iterator)
    assert batches.images_seen < 10


def test_a_death_between_two_epochs_is_reported_as_well(killed: tuple[PositionLoader, Iterator[Batch], int]) -> None:
    batches, _, pid = killed
    with pytest.raises(DataError, match=f"worker process {pid} was killed by SIGKILL between two files"):
        next(iter(batches))


# ---------------------------------------------------------------------------------------------- shortages


class Large(Positions):
    """Samples of 4 MB."""

    def __getitem__(self, position: int) -> Batch:
        return {"A": torch.zeros(1 << 20)}


def shortage(dataset: Positions, num_workers: int = 2) -> str:
    """The one line that an epoch ends with."""
    with pytest.raises(DataError) as caught:
        list(PositionLoader(dataset, PositionSampler(60, 1), num_workers=num_workers))
    (line,) = str(caught.value).splitlines()
    assert workers() == [], "they are ended"
    return line


SHARED = (
    r"^the workers' shared memory, /dev/shm, cannot be used \(.*\): give the container more of it \(docker run "
    r"--shm-size=8g, or --ipc=host\), or set data\.num_workers lower than 2; 0 needs none\. resume=auto continues"
)
FILES = r"^too many files are open at once \(.*\): raise the limit where the run is started \(ulimit -n 65536\), or set"


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (
            RuntimeError("unable to allocate shared memory(shm) for file </torch_1>: No space left on device (28)"),
            SHARED,
        ),
        (RuntimeError("unable to open shared memory object </torch_1>: Permission denied (13)"), SHARED),
        (RuntimeError("unable to open shared memory object </torch_1>: Too many open files (24)"), FILES),
        (RuntimeError("received 0 items of ancdata"), FILES),
    ],
)
def test_a_batch_that_cannot_be_made_in_a_worker_is_reported_with_the_remedy(
    monkeypatch: pytest.MonkeyPatch, error: RuntimeError, expected: str
) -> None:
    def collate(samples: object) -> None:
        raise error

    monkeypatch.setattr(module, "default_collate", collate)
    assert re.match(expected, shortage(Positions()))


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), SHARED),
        (PermissionError(errno.EACCES, os.strerror(errno.EACCES)), SHARED),
        (OSError(errno.EMFILE, os.strerror(errno.EMFILE)), FILES),
        (BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN)), "^no more processes .*--pids-limit"),
    ],
)
def test_workers_that_cannot_be_started_are_reported_with_the_remedy(
    monkeypatch: pytest.MonkeyPatch, error: OSError, expected: str
) -> None:
    """Their queues need semaphores in shared memory, and open files."""

    def queue() -> None:
        raise error

    monkeypatch.setattr(torch.multiprocessing, "Queue", queue)
    assert re.match(expected, shortage(Positions()))


def test_too_many_open_files() -> None:
    """Each tensor from a worker is an open file for as long as it is used."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")) + 40, hard))  # noqa: PTH208
    try:
        assert re.match(FILES, shortage(Positions()))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_errors_of_images_are_not_taken_for_a_shortage(root: Path) -> None:
    """Whatever their text is."""
    (root / "trainB" / "2.png").write_bytes(b"shared memory: No space left on device")
    with pytest.raises(ImageError, match=r"2\.png: 38 bytes that cannot be read"):
        list(loader(root, 2))


IN_SMALL_SHARED_MEMORY = """
import pytest, sys
sys.path.insert(0, ".")
from tests.data.test_worker import SHARED, Large, re, shortage
assert re.match(SHARED, shortage(Large()))
"""


@pytest.mark.slow  # imports torch once more
@pytest.mark.parametrize("size", ["8k", "10m"], ids=["no room for a semaphore", "no room for a batch"])
def test_a_container_with_little_shared_memory(size: str) -> None:
    namespace = ["unshare", "--user", "--map-root-user", "--mount"]
    if shutil.which("unshare") is None or subprocess.run([*namespace, "true"], check=False).returncode:
        pytest.skip("no mount namespace of one's own here")
    mount = f"mount -t tmpfs -o size={size} tmpfs /dev/shm"
    fill = "head -c 8192 /dev/zero > /dev/shm/x" if size == "8k" else "true"
    python = [sys.executable, "-c", IN_SMALL_SHARED_MEMORY]
    folder = Path(__file__).parents[2]
    ended = subprocess.run(
        [*namespace, "sh", "-c", f'{mount} && {fill}; exec "$@"', "sh", *python],
        cwd=folder, capture_output=True, text=True, timeout=HANG, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr


def test_after_an_error_workers_end_and_new_ones_begin(root: Path) -> None:
    undisturbed = [*loader(root, 0)]
    bad = root / "trainB" / "2.png"
    whole = bad.read_bytes()
    bad.write_bytes(b"no image")
    batches = loader(root, 2)
    with pytest.raises(ImageError) as caught:
        list(batches)
    assert workers() == [], "although the error still knows the loader"
    del caught  # it knows this frame too
    bad.write_bytes(whole)
    batches.load_state_dict({"position": 0, "epoch_start": 0})
    assert equal([*batches], undisturbed)


@pytest.mark.parametrize(("load_size", "crop_size"), [(8, 6), (None, 10)])
def test_an_error_in_a_worker_is_that_of_the_main_process(root: Path, load_size: int | None, crop_size: int) -> None:
    (root / "trainB" / "2.png").write_bytes(b"no image")
    found = []
    for num_workers in (0, 2):
        with pytest.raises(ImageError) as caught:
            list(loader(root, num_workers, crop_size, load_size))
        found.append(caught.value)
    alone, in_worker = found
    assert type(alone) is type(in_worker) is ImageError
    assert str(alone) == str(in_worker)
    assert "\n" not in str(in_worker)
    assert not hasattr(alone, "__notes__")
    (note,) = in_worker.__notes__
    assert re.match(r"raised in worker process \d+:\nTraceback ", note)
    assert "in __getitem__" in note


def test_an_error_keeps_no_loader_alive(root: Path) -> None:
    """Until garbage is collected: by then DataLoader's workers no longer hear it, and it waits for each of them."""
    (root / "trainB" / "2.png").write_bytes(b"no image")
    batches = loader(root, 1)
    gone = weakref.ref(batches)
    gc.disable()
    try:
        list(batches)
    except ImageError:
        del batches
    finally:
        gc.enable()
    assert gone() is None


class AwkwardError(Exception):
    """Cannot be pickled: it is made of two words, and knows one text."""

    def __init__(self, one: str, other: str) -> None:
        super().__init__(f"{one} {other}")


class Awkward(Positions):
    def __getitem__(self, position: int) -> Batch:
        raise AwkwardError("very", "awkward")


def test_an_error_that_cannot_be_pickled_is_reported_as_text() -> None:
    with pytest.raises(RuntimeError, match="AwkwardError: very awkward"):
        list(PositionLoader(Awkward(), PositionSampler(10, 1), num_workers=1))
    with pytest.raises(AwkwardError, match=r"^very awkward$"):
        list(PositionLoader(Awkward(), PositionSampler(10, 1)))
