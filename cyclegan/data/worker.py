"""Processes that decode images: which signals end them, and how their errors and their deaths are told."""

import ctypes
import os
import pickle
import re
import signal
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing import connection
from multiprocessing.process import BaseProcess
from multiprocessing.sharedctypes import RawArray
from typing import Any, NamedTuple, NoReturn, Protocol, runtime_checkable

from torch._C import _remove_worker_pids
from torch.utils.data import DataLoader, Dataset, default_collate, get_worker_info
from torch.utils.data.dataloader import _MultiProcessingDataLoaderIter

from cyclegan.errors import DataError, UserError

LOOK_EVERY = 1.0
"""Seconds after which a main process that waits for a batch looks whether its workers live."""

PATH_BYTES = 4096  # Linux opens no longer path
# By these the main process is asked to stop. The terminal and SLURM send them to its workers as well.
_STOPPING = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGINT", "SIGUSR1", "SIGHUP") if hasattr(signal, name))
_row: "ctypes.Array[ctypes.c_char] | None" = None  # in a worker: its own row of the notes


_SHORTAGES = (
    (
        re.compile("Too many open files|ancdata"),
        "too many files are open at once",
        "raise the limit where the run is started (ulimit -n 65536)",
    ),
    (
        # Semaphores lie there too; the text of their errors ends without a file's name.
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
"""What processes that work together may lack: how its errors begin to be known, what it is, and the remedy."""


class Notes:
    """The file that each worker is at, in shared memory, so that it is known even after a worker was killed.

    Args:
        num_workers: how many there are.
    """

    def __init__(self, num_workers: int) -> None:
        self._rows = [RawArray(ctypes.c_char, PATH_BYTES) for _ in range(num_workers)]

    def file(self, worker: int) -> str | None:
        """What a worker is reading; None between two files."""
        return os.fsdecode(self._rows[worker].value) or None

    def begin(self, worker: int) -> None:
        """Called by DataLoader in a new worker: takes its row, and leaves it to the main process to end this one.

        SIGINT, SIGUSR1 and SIGHUP are ignored. SIGTERM counts only if the main process sent it, as it does to end its
        workers; where that cannot be told (macOS), it ends the worker whoever sent it.
        """
        global _row
        _row = self._rows[worker]
        _row.value = b""
        for number in set(_STOPPING) - {signal.SIGTERM}:
            signal.signal(number, signal.SIG_IGN)
        if hasattr(signal, "sigwaitinfo"):
            threading.Thread(target=_obey_only, args=(os.getppid(),), daemon=True).start()


@contextmanager
def reading(path: str) -> Iterator[None]:
    """Notes which file this worker is at; in the main process, which nobody asks, does nothing."""
    if _row is None:
        yield
        return
    _row.value = os.fsencode(path)[: PATH_BYTES - 1]
    try:
        yield
    finally:
        _row.value = b""


@contextmanager
def _signals_held_back() -> Iterator[None]:
    """Processes that are started meanwhile are born with the stopping signals blocked.

    Otherwise one that comes before `Notes.begin` ends a worker. SIGTERM stays blocked there, for `_obey_only`.
    """
    if not hasattr(signal, "sigwaitinfo"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _STOPPING)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _obey_only(parent: int) -> None:
    """Waits for SIGTERM, which all threads block, and ends this process if its parent sent it or is gone."""
    while True:
        sender = signal.sigwaitinfo({signal.SIGTERM}).si_pid
        if sender == parent or os.getppid() != parent:
            os._exit(0)


class Failure:
    """An error of a worker on its way to the main process.

    Args:
        error: what was raised; it has to be the exception that is being handled.
    """

    def __init__(self, error: Exception) -> None:
        self.error = error
        self.note = f"raised in worker process {os.getpid()}:\n{traceback.format_exc()}"

    def raise_again(self) -> NoReturn:
        """Raises the error as it was; where the worker raised it stands in a note, not in its text."""
        error = self.error
        error.add_note(self.note)
        try:
            raise error
        finally:
            # An error knows the frames that it passed. If they knew it too, as this one does and by this object the
            # loader's, they would all stay until garbage is collected.
            del error, self.error


class Skipped(NamedTuple):
    """An image that could not be read, so that another one stands in its place."""

    path: str
    reason: str


@runtime_checkable
class Skips(Protocol):
    """A data set that passes over what it cannot read."""

    def take_skipped(self) -> list[Skipped]:
        """What was passed over since this was asked last."""
        ...


class Samples(NamedTuple):
    """The samples of a batch, and after `collate` the batch; and what was passed over on the way to it."""

    samples: Any
    skipped: list[Skipped]


class Answers(Dataset[Any]):
    """The samples of another data set; in a worker, an error comes as a `Failure` in their place.

    DataLoader would put the worker's traceback into the text of the error.

    Args:
        dataset: gives the sample at a position.
    """

    def __init__(self, dataset: Dataset[Any]) -> None:
        self.dataset = dataset
        self._take_skipped: Callable[[], list[Skipped]] = dataset.take_skipped if isinstance(dataset, Skips) else list

    def __getitem__(self, position: int) -> Any:
        """The sample at a position."""
        return self.dataset[position]

    def __getitems__(self, positions: Sequence[int]) -> Samples | Failure:
        """The samples of a batch, or what went wrong."""
        try:
            samples = [self.dataset[position] for position in positions]
            _require_one_size(samples)
        except Exception as error:
            if get_worker_info() is None or not _travels(error):
                raise
            return Failure(error)
        return Samples(samples, self._take_skipped())


def _require_one_size(samples: Sequence[Any]) -> None:
    """Of each domain, as only then they are one tensor; whole images may differ.

    Raises:
        DataError: saying which sizes there are, and what to do.
    """
    if len(samples) == 1 or not isinstance(samples[0], dict):
        return
    for domain in samples[0]:
        shapes = sorted({tuple(sample[domain].shape) for sample in samples})
        if len(shapes) > 1:
            sizes = ", ".join(f"{width}×{height}" for _, height, width in shapes)
            raise DataError(
                f"the images of domain {domain} in one batch are {sizes}, and a batch takes one size: set "
                "data.batch_size=1, or cut squares of one size out of them with data.crop_size"
            )


def _travels(error: Exception) -> bool:
    """Whether an error survives the way between two processes: some cannot be made again from their text."""
    try:
        pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes
    except Exception:
        return False
    return True


def collate(found: Any) -> Samples | Failure:
    """Makes a batch of Samples, as DataLoader does; hands a Failure on."""
    if isinstance(found, Failure):
        return found
    if len(found.samples) == 1 and get_worker_info() is None and isinstance(found.samples[0], dict):
        # The paper's batch of one: no copy is needed, but in a worker, from which it has to travel.
        return Samples({name: tensor[None] for name, tensor in found.samples[0].items()}, found.skipped)
    try:
        return Samples(default_collate(found.samples), found.skipped)
    except Exception as error:  # in a worker, it is made in shared memory, of which there may be too little
        if get_worker_info() is None or not _travels(error):
            raise
        return Failure(error)


class Workers(_MultiProcessingDataLoaderIter):
    """DataLoader's iterator over worker processes, but for what comes when something goes wrong in one of them.

    It raises the worker's own error, or a DataError that tells its death, and ends the other workers.

    Args:
        loader: whose `worker_init_fn` is `notes.begin`.
        notes: of these workers.
    """

    _shutdown = True  # until it has begun: if that fails there is nothing to end

    def __init__(self, loader: DataLoader[Any], notes: Notes) -> None:
        self._notes = notes
        with _signals_held_back(), shortage_told(loader.num_workers):
            super().__init__(loader)

    def _reset(self, loader: DataLoader[Any], first_iter: bool = False) -> None:
        # DataLoader reports a death from a signal handler: amidst whatever the main process is doing, a step or the
        # writing of a checkpoint. Without these process ids it finds it out when it waits for a batch that is missing.
        if self._worker_pids_set:
            _remove_worker_pids(id(self))
            self._worker_pids_set = False
        super()._reset(loader, first_iter)

    def _next_data(self) -> Any:
        with shortage_told(self._num_workers):
            try:
                data = super()._next_data()  # type: ignore[no-untyped-call]
                if isinstance(data, Failure):
                    data.raise_again()
            except StopIteration:
                raise
            except Exception:
                self._shutdown_workers()  # left to the garbage collector, it takes seconds for each worker
                raise
        return data

    def _try_get_data(self, timeout: float = LOOK_EVERY) -> tuple[bool, Any]:
        found: tuple[bool, Any] = super()._try_get_data(timeout)  # type: ignore[no-untyped-call]
        return found

    def _get_data(self) -> Any:
        try:
            return super()._get_data()  # type: ignore[no-untyped-call]
        except Exception as error:
            # A worker's death shows in many ways: it is missing, or its half of a connection is, or the thread that
            # pins memory stumbled over that.
            ended = connection.wait([worker.sentinel for worker in self._workers], timeout=LOOK_EVERY)
            dead = [number for number, worker in enumerate(self._workers) if worker.sentinel in ended]
            if not dead:
                raise
            text = _obituary([(self._workers[number], self._notes.file(number)) for number in dead], self._num_workers)
            self._shutdown_workers()
            raise DataError(text) from error


@contextmanager
def shortage_told(num_workers: int) -> Iterator[None]:
    """Raises an error that means a shortage of what processes need to work together as a DataError with the remedy."""
    try:
        yield
    except (OSError, RuntimeError) as error:
        text = str(error)
        for sign, what, remedy in _SHORTAGES:
            if not isinstance(error, UserError) and (found := sign.search(text)):
                line = next(line for line in text.splitlines() if found[0] in line)
                raise DataError(
                    f"{what} ({line}): {remedy}, or set data.num_workers lower than {num_workers}; 0 needs none. "
                    "resume=auto goes on from the last checkpoint"
                ) from error
        raise


def _obituary(dead: list[tuple[BaseProcess, str | None]], num_workers: int) -> str:
    """Who died, of what, over which file, and what to do."""
    ends, remedies = [], []
    for worker, path in dead:
        worker.join(LOOK_EVERY)  # what says how it ended comes a moment after its end
        ends.append(
            f"worker process {worker.pid} {_end(worker.exitcode)} {f'at {path}' if path else 'between two files'}"
        )
        if path:
            alone = f'python -c "from cyclegan.images import read; read({path!r})"'
            remedies.append(f"If the file is broken, this fails too: {alone}; put a whole image in its place")
    return (
        f"{'; '.join(ends)}. {'. '.join([*remedies, ''])}"
        "If memory ran out (after SIGKILL the machine's: docker run --memory, sbatch --mem; after SIGBUS the workers' "
        "shared memory: docker run --shm-size=8g, or --ipc=host), give it more or set data.num_workers lower than "
        f"{num_workers}. resume=auto goes on from the last checkpoint"
    )


def _end(exitcode: int | None) -> str:
    if exitcode is None or exitcode >= 0:
        return f"ended by itself with exit code {exitcode}"
    known = {number.value: number.name for number in signal.Signals}
    return f"was killed by {known.get(-exitcode, f'signal {-exitcode}')}"
