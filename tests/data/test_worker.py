"""Real worker processes: signals, errors, deaths and shortages."""

import errno
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
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data.dataloader import _MultiProcessingDataLoaderIter

from cyclegan.data import loader as module
from cyclegan.data import reader
from cyclegan.data.loader import PositionLoader, PositionSampler, Sample
from cyclegan.data.worker import reading
from cyclegan.errors import DataError
from cyclegan.images import ImageError, Pixels, decode
from tests.data.image_folders import data_of, equal, image_folder
from tests.data.test_loader import Positions

# Python 3.12 warns of fork in a process with threads, which every process that imported torch has.
pytestmark = pytest.mark.filterwarnings("ignore:This process.*is multi-threaded:DeprecationWarning")

TIMEOUT = 120  # seconds; importing torch takes a few


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Twelve images of each domain: an epoch shows each of them once."""
    return image_folder(tmp_path, trainA=12, trainB=12)


def loader(root: Path, num_workers: int) -> PositionLoader:
    return data_of(root, batch_size=1, num_workers=num_workers, header_checks=0).train_dataloader()


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


@pytest.mark.skipif(not hasattr(signal, "sigwaitinfo"), reason="the sender of a signal is unknown here")
def test_workers_ignore_signals_except_the_sigterm_of_the_main_process(root: Path) -> None:
    undisturbed = [*loader(root, 0)]
    batches = loader(root, 2)
    iterator = iter(batches)
    seen = [next(iterator), next(iterator)]  # one of each worker, so that both have begun to block signals
    ours = workers()
    assert len(ours) == 2
    for worker in ours:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGHUP):
            # From a process that is not the parent, as kill, a terminal or SLURM would.
            subprocess.run(["kill", f"-{int(number)}", str(worker.pid)], check=True)
    seen += iterator
    assert equal(seen, undisturbed)
    assert [worker.is_alive() for worker in ours] == [True, True]
    for worker in ours:
        worker.terminate()
        worker.join(TIMEOUT)
        assert worker.exitcode == 0


# ---------------------------------------------------------------------------------------------- deaths


@pytest.mark.parametrize(
    ("death", "how"),
    [
        (lambda: os.kill(os.getpid(), signal.SIGKILL), "was killed by SIGKILL"),
        (lambda: os._exit(3), "exited with code 3"),
    ],
)
def test_the_file_that_kills_a_worker_is_named(
    root: Path, monkeypatch: pytest.MonkeyPatch, death: Callable[[], None], how: str
) -> None:
    bad = root / "trainB" / "2.png"

    def deadly(data: bytes, path: str, *arguments: Any) -> Pixels:
        if path == str(bad):
            (root / "pid").write_text(str(os.getpid()))
            death()
        return decode(data, path, *arguments)

    monkeypatch.setattr(reader, "decode", deadly)
    # Seconds until DataLoader looks for dead workers; 5 by default.
    monkeypatch.setattr(_MultiProcessingDataLoaderIter._try_get_data, "__defaults__", (0.2,))
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
    def __getitem__(self, position: int) -> Sample:
        with reading(f"{position}.png"):
            return super().__getitem__(position)


@pytest.mark.parametrize("in_next_epoch", [False, True])
def test_a_death_between_two_files_is_reported_where_the_next_batch_is_requested(in_next_epoch: bool) -> None:
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
    with pytest.raises(DataError, match=rf"^worker process {victim.pid} was killed by SIGKILL between two files\. If"):
        list(batches if in_next_epoch else iterator)
    assert batches.images_seen < 10


# ---------------------------------------------------------------------------------------------- shortages

SHORTAGE = (
    r"^the worker processes lack a resource: .*{}.*\. Raise the limit of the container's shared memory \(docker run "
    r"--shm-size=8g, .*\(ulimit -n 65536\).*, or set data\.num_workers lower than 2; .* resume=auto continues"
)


class Large(Positions):
    """Samples of 4 MB."""

    def __getitem__(self, position: int) -> Sample:
        return Sample({"A": torch.zeros(1 << 20)}, {}, [], {})


def shortage(dataset: Positions) -> str:
    """Return the message that an epoch ends with."""
    with pytest.raises(DataError) as caught:
        list(PositionLoader(dataset, PositionSampler(60, 1), num_workers=2))
    assert "\n" not in str(caught.value)
    assert workers() == [], "they are ended"
    return str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "unable to allocate shared memory(shm) for file </torch_1>: Permission denied (13)",
        "received 0 items of ancdata",
    ],
)
def test_a_batch_that_cannot_be_made_in_a_worker_is_reported_with_the_remedy(
    monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    def collate(samples: object) -> None:
        raise RuntimeError(text)

    monkeypatch.setattr(module, "default_collate", collate)
    assert re.match(SHORTAGE.format(re.escape(text)), shortage(Positions()))


@pytest.mark.parametrize(
    "error",
    [OSError(number, os.strerror(number)) for number in (errno.ENOSPC, errno.EACCES, errno.EMFILE, errno.EAGAIN)],
)
def test_workers_that_cannot_be_started_are_reported_with_the_remedy(
    monkeypatch: pytest.MonkeyPatch, error: OSError
) -> None:
    """Their queues need semaphores in shared memory, and open files."""

    def queue() -> None:
        raise error

    monkeypatch.setattr(torch.multiprocessing, "Queue", queue)
    assert re.match(SHORTAGE.format(error.strerror), shortage(Positions()))


def test_too_many_open_files_are_reported_with_the_remedy() -> None:
    """Each tensor from a worker is an open file for as long as it is used."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")) + 40, hard))  # noqa: PTH208
    try:
        assert re.match(SHORTAGE.format("Too many open files"), shortage(Positions()))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


IN_SMALL_SHARED_MEMORY = """
import pytest, sys
sys.path.insert(0, ".")
from tests.data.test_worker import SHORTAGE, Large, re, shortage
assert re.match(SHORTAGE.format(""), shortage(Large()))
"""


@pytest.mark.slow  # imports torch once more
@pytest.mark.parametrize("size", ["8k", "10m"], ids=["no room for a semaphore", "no room for a batch"])
def test_a_container_with_little_shared_memory(size: str) -> None:
    namespace = ["unshare", "--user", "--map-root-user", "--mount"]
    if shutil.which("unshare") is None or subprocess.run([*namespace, "true"], check=False).returncode:
        pytest.skip("mount namespaces are unavailable here")
    mount = f"mount -t tmpfs -o size={size} tmpfs /dev/shm"
    fill = "head -c 8192 /dev/zero > /dev/shm/x" if size == "8k" else "true"
    python = [sys.executable, "-c", IN_SMALL_SHARED_MEMORY]
    folder = Path(__file__).parents[2]
    ended = subprocess.run(
        [*namespace, "sh", "-c", f'{mount} && {fill}; exec "$@"', "sh", *python],
        cwd=folder, capture_output=True, text=True, timeout=TIMEOUT, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr


# ---------------------------------------------------------------------------------------------- errors


def test_an_error_in_a_worker_is_that_of_the_main_process_and_new_workers_start_after_it(root: Path) -> None:
    undisturbed = [*loader(root, 0)]
    bad = root / "trainB" / "2.png"
    intact = bad.read_bytes()
    bad.write_bytes(b"shared memory: No space left on device")  # in the error's text: still no shortage
    with pytest.raises(ImageError) as in_main:
        list(loader(root, 0))
    batches = loader(root, 2)
    with pytest.raises(ImageError) as in_worker:
        list(batches)
    assert type(in_main.value) is type(in_worker.value) is ImageError
    assert str(in_main.value) == str(in_worker.value)
    assert workers() == [], "although the error still refers to the loader"
    bad.write_bytes(intact)
    batches.load_state_dict({"position": 0, "epoch_start": 0})
    assert equal([*batches], undisturbed)
    # Else the collector ends them within another test; it drops the queues first, and waits five seconds for each.
    batches._workers.end(in_worker.value, batches._iterator)


class Faulty(Positions):
    def __getitem__(self, position: int) -> Sample:
        raise ZeroDivisionError("a bug")


def test_any_other_error_in_a_worker_keeps_its_type_and_traceback() -> None:
    with pytest.raises(ZeroDivisionError, match=r"(?s)Traceback .*in __getitem__.*ZeroDivisionError: a bug"):
        list(PositionLoader(Faulty(), PositionSampler(10, 1), num_workers=1))
