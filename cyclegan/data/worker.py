"""Worker processes that decode images: their signals, their errors, and messages about those that died."""

import ctypes
import multiprocessing
import os
import pickle
import re
import signal
import threading
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing import connection
from multiprocessing.process import BaseProcess
from multiprocessing.sharedctypes import RawArray
from typing import Any, NamedTuple

from torch.utils.data import Dataset, default_collate, get_worker_info

from cyclegan.errors import DataError, UserError

PATH_BYTES = 4096  # Linux opens no longer path
# Signals that ask the main process to stop. The terminal and SLURM send them to its workers as well.
_STOPPING = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGINT", "SIGUSR1", "SIGHUP") if hasattr(signal, name))
_row: "ctypes.Array[ctypes.c_char] | None" = None  # in a worker: its row of CurrentFiles

_SHORTAGES = (
    (
        re.compile("Too many open files|ancdata"),
        "too many files are open at once",
        "raise the limit where the run is started (ulimit -n 65536)",
    ),
    (
        # Semaphores are files in /dev/shm too; the text of their errors has no file name.
        re.compile(r"shared memory|/dev/shm|No space left on device|^\[Errno (2|13|38)\] [\w ]*$"),
        "the workers' shared memory, /dev/shm, cannot be used",
        "give the container more of it (docker run --shm-size=8g, or --ipc=host)",
    ),
    (
        re.compile("Resource temporarily unavailable|can't start new thread"),
        "no more processes or threads can be started",
        "raise the limit where the run is started (ulimit -u, docker run --pids-limit)",
    ),
)
"""Resources that worker processes may lack: a pattern of the error, the resource, the remedy."""


class CurrentFiles:
    """The file that each worker is reading, in shared memory: it can be named even after the worker was killed."""

    def __init__(self, num_workers: int) -> None:
        self._rows = [RawArray(ctypes.c_char, PATH_BYTES) for _ in range(num_workers)]
        self._pids = RawArray(ctypes.c_long, num_workers)

    def __getitem__(self, pid: int | None) -> str | None:
        """Return the file that the worker with this process id is reading; None between two files."""
        found = [row for row, owner in zip(self._rows, self._pids, strict=True) if owner == pid]
        return os.fsdecode(found[0].value) or None if found else None

    def begin(self, worker: int) -> None:
        """Prepare a new worker process: take its row, and ignore all signals but the main process's SIGTERM.

        Where the sender of a signal is unknown (macOS), SIGTERM ends the worker whoever sent it.
        """
        global _row
        self._pids[worker] = os.getpid()
        _row = self._rows[worker]
        _row.value = b""
        for number in set(_STOPPING) - {signal.SIGTERM}:
            signal.signal(number, signal.SIG_IGN)
        if hasattr(signal, "sigwaitinfo"):
            threading.Thread(target=_obey_parent, args=(os.getppid(),), daemon=True).start()


@contextmanager
def reading(path: str) -> Iterator[None]:
    """Record that this worker is reading a file; no effect in the main process."""
    if _row is None:
        yield
        return
    _row.value = os.fsencode(path)[: PATH_BYTES - 1]
    try:
        yield
    finally:
        _row.value = b""


def _obey_parent(parent: int) -> None:
    """Wait for SIGTERM, which all threads block, and exit if the parent sent it or is gone."""
    while True:
        sender = signal.sigwaitinfo({signal.SIGTERM}).si_pid
        if sender == parent or os.getppid() != parent:
            os._exit(0)


@contextmanager
def _signals_blocked() -> Iterator[None]:
    # A signal before `begin` would end a new worker. SIGTERM stays blocked there, for `_obey_parent`.
    if not hasattr(signal, "sigwaitinfo"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _STOPPING)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class Failure:
    """An exception of a worker on its way to the main process; made while the exception is being handled."""

    def __init__(self, error: Exception) -> None:
        self.error = error
        self.error.add_note(f"raised in worker process {os.getpid()}:\n{traceback.format_exc()}")


class Skipped(NamedTuple):
    """An unreadable image that another one replaced."""

    path: str
    reason: str


class Samples(NamedTuple):
    """The samples of a batch (after `collate`, the batch) and the images that were skipped."""

    samples: Any
    skipped: list[Skipped]


class SafeDataset(Dataset[Any]):
    """The samples of another dataset; in a worker, an exception is returned as a `Failure`.

    DataLoader itself would put the worker's traceback into the text of the error.

    Args:
        dataset: returns the sample at a position; may have `take_skipped`, see `TrainingSamples`.
    """

    def __init__(self, dataset: Dataset[Any]) -> None:
        self.dataset = dataset

    def __getitems__(self, positions: Sequence[int]) -> Samples | Failure:
        """Return the samples of a batch."""
        take_skipped: Callable[[], list[Skipped]] = getattr(self.dataset, "take_skipped", list)
        return _caught(
            lambda: Samples(_of_one_size([self.dataset[position] for position in positions]), take_skipped())
        )


def _caught(make: Callable[[], Samples]) -> Samples | Failure:
    try:
        return make()
    except Exception as error:
        if get_worker_info() is None or not _is_picklable(error):
            raise
        return Failure(error)


def _of_one_size(samples: list[dict[str, Any]]) -> list[dict[str, Any]]:
    for domain in samples[0]:
        shapes = sorted({tuple(sample[domain].shape) for sample in samples})
        if len(shapes) > 1:
            sizes = ", ".join(f"{width}×{height}" for _, height, width in shapes)
            raise DataError(
                f"the images of domain {domain} in one batch are {sizes}, and a batch takes one size: set "
                "data.batch_size=1, or cut squares of one size out of them with data.crop_size"
            )
    return samples


def _is_picklable(error: Exception) -> bool:
    with suppress(Exception):
        return bool(pickle.loads(pickle.dumps(error)))  # noqa: S301 - our own bytes
    return False


def collate(found: Any) -> Samples | Failure:
    """Make a batch of `Samples`, as DataLoader does; return a `Failure` as it is."""
    if isinstance(found, Failure):
        return found
    if len(found.samples) == 1 and get_worker_info() is None:
        # The paper's batch of one needs no copy, except in a worker, from which it is sent through shared memory.
        return Samples({name: tensor[None] for name, tensor in found.samples[0].items()}, found.skipped)
    return _caught(lambda: Samples(default_collate(found.samples), found.skipped))


class Workers:
    """The worker processes of a loader.

    Args:
        num_workers: number of processes; with 0, the methods only pass the batches on.
    """

    def __init__(self, num_workers: int) -> None:
        self.num_workers = num_workers
        self._processes: list[BaseProcess] = []
        with self._errors():
            self.files = CurrentFiles(num_workers)

    @contextmanager
    def starting(self) -> Iterator[None]:
        """Start the workers within this block, unless those of the last epoch persist.

        Raises:
            DataError: the processes lack memory or open files, or one of the last epoch died.
        """
        if self.num_workers == 0:
            yield
            return
        others = set(multiprocessing.active_children())
        with self._errors():
            try:
                with _signals_blocked():
                    yield
            finally:
                self._processes = [*set(multiprocessing.active_children()) - others] or self._processes
        if threading.current_thread() is threading.main_thread():
            # DataLoader reports a death from a signal handler: in the middle of a training step or of writing a
            # checkpoint. Without the handler it is noticed where the next batch is waited for.
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)

    def checked(self, batches: Iterable[Samples | Failure]) -> Iterator[Samples]:
        """Yield the batches; raise a worker's own error, or a DataError about one that died.

        Raises:
            DataError: a worker died, or the processes lack memory or open files.
        """
        with self._errors(batches):
            for found in batches:
                if isinstance(found, Failure):
                    error = found.error
                    try:
                        raise error
                    finally:  # the traceback of the error refers to this frame: without this, a cycle
                        del error, found
                yield found

    @contextmanager
    def _errors(self, batches: object = None) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            if self.num_workers == 0:
                raise
            own = isinstance(error, UserError)
            dead = [] if own or hasattr(error, "__notes__") else self._dead()
            message = _crash_message(dead, self.num_workers) if dead else _shortage(error, self.num_workers)
            self._end(batches)
            if own or not message:
                raise
            raise DataError(message) from error

    def _dead(self) -> list[tuple[BaseProcess, str | None]]:
        """Return the workers that died, each with its file. Their death may be noticed before they have exited."""
        ended = connection.wait([process.sentinel for process in self._processes], timeout=1 if self._processes else 0)
        dead = [process for process in self._processes if process.sentinel in ended]
        for process in dead:
            process.join()
        return [(process, self.files[process.pid]) for process in dead]

    def _end(self, batches: object) -> None:
        # The traceback keeps the iterator alive, so it does not end its workers by itself.
        getattr(batches, "_shutdown_workers", lambda: None)()
        for process in self._processes:
            process.terminate()
        for process in self._processes:
            process.join()
        self._processes = []


def _shortage(error: Exception, num_workers: int) -> str:
    """Return a message with the remedy for an error that means that the processes lack a resource; else ""."""
    text = str(error)
    for pattern, what, remedy in _SHORTAGES:
        if isinstance(error, OSError | RuntimeError) and (found := pattern.search(text)):
            line = next(line for line in text.splitlines() if found[0] in line)
            return (
                f"{what} ({line}): {remedy}, or set data.num_workers lower than {num_workers}; 0 needs none. "
                "resume=auto continues from the last checkpoint"
            )
    return ""


def _crash_message(dead: list[tuple[BaseProcess, str | None]], num_workers: int) -> str:
    ends, remedies = [], []
    for worker, path in dead:
        code = worker.exitcode or 0
        known = {number.value: number.name for number in signal.Signals}
        how = f"was killed by {known.get(-code, f'signal {-code}')}" if code < 0 else f"exited with code {code}"
        ends.append(f"worker process {worker.pid} {how} {f'at {path}' if path else 'between two files'}")
        if path:
            alone = f'python -c "from cyclegan.images import read; read({path!r})"'
            remedies.append(f"If the file is broken, this fails too: {alone}; put an intact image in its place")
    return (
        f"{'; '.join(ends)}. {'. '.join([*remedies, ''])}"
        "If memory ran out (after SIGKILL the machine's: docker run --memory, sbatch --mem; after SIGBUS the workers' "
        "shared memory: docker run --shm-size=8g, or --ipc=host), give it more or set data.num_workers lower than "
        f"{num_workers}. resume=auto continues from the last checkpoint"
    )
