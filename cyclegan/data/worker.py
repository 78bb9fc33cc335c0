"""Worker processes of a loader: their signals, and error messages with the file that a dead worker was reading."""

import ctypes
import multiprocessing
import os
import re
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import connection
from multiprocessing.process import BaseProcess
from multiprocessing.sharedctypes import RawArray

from cyclegan.errors import UserError

PATH_BYTES = 4096  # Linux opens no longer path
_row: "ctypes.Array[ctypes.c_char] | None" = None  # in a worker: its row of CurrentFiles

# Semaphores are files in /dev/shm too; the text of their errors, at the end here, has no file name.
_SHORTAGE = re.compile(
    r"shared memory|No space left on device|Too many open files|ancdata|Resource temporarily unavailable"
    r"|can't start new thread|^\[Errno (2|13|38)\] [\w ]*$"
)


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
        """Prepare a new worker process: take its row, and ignore the signals that ask the main process to stop.

        The terminal and SLURM send them to the workers as well. Only a SIGTERM of the main process ends a worker;
        where the sender of a signal is unknown (macOS), any SIGTERM does.
        """
        global _row
        self._pids[worker] = os.getpid()
        _row = self._rows[worker]
        _row.value = b""
        for number in (signal.SIGINT, signal.SIGUSR1, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        if hasattr(signal, "sigwaitinfo"):
            signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
            threading.Thread(target=_obey_parent, daemon=True).start()


def _obey_parent() -> None:
    while signal.sigwaitinfo([signal.SIGTERM]).si_pid != os.getppid():
        pass
    os._exit(0)


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


class Workers:
    """The worker processes of a loader.

    Args:
        num_workers: number of processes; with 0, the methods have no effect.
    """

    def __init__(self, num_workers: int) -> None:
        self.num_workers = num_workers
        self.files = CurrentFiles(num_workers)
        self._processes: list[BaseProcess] = []

    @contextmanager
    def starting(self) -> Iterator[None]:
        """Keep track of the workers that start within this block; those of the last epoch may persist."""
        others = set(multiprocessing.active_children())
        try:
            yield
        finally:
            self._processes = [*set(multiprocessing.active_children()) - others] or self._processes
        if self._processes and threading.current_thread() is threading.main_thread():
            # DataLoader raises an error about a death in a signal handler, which may interrupt a training step or the
            # writing of a checkpoint. Without the handler the error is raised where the next batch is requested.
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)

    def end(self, error: Exception, batches: object) -> str:
        """End all workers after an error; return a message if a worker died or they lack a resource, else "".

        Args:
            error: the error. Its traceback keeps the iterator alive, which therefore does not end the workers itself.
            batches: DataLoader's iterator; None if it could not be made.
        """
        if self.num_workers == 0:
            return ""
        message = "" if isinstance(error, UserError) else self._message(error)
        getattr(batches, "_shutdown_workers", lambda: None)()
        for process in self._processes:
            process.terminate()
        for process in self._processes:
            process.join()
        self._processes = []
        return message

    def _message(self, error: Exception) -> str:
        last_line = str(error).rstrip().rpartition("\n")[2]  # after the worker's traceback
        if dead := self._dead():
            what = ". ".join(_death(process, self.files[process.pid]) for process in dead)
            remedy = (
                "If memory ran out (after SIGKILL the machine's: docker run --memory, sbatch --mem; after SIGBUS the "
                "workers' shared memory: docker run --shm-size=8g, or --ipc=host), give it more"
            )
        elif isinstance(error, OSError | RuntimeError) and _SHORTAGE.search(last_line):
            what = f"the worker processes lack a resource: {last_line}"
            remedy = (
                "Raise the limit of the container's shared memory (docker run --shm-size=8g, or --ipc=host), of open "
                "files (ulimit -n 65536) or of processes (ulimit -u, docker run --pids-limit)"
            )
        else:
            return ""
        fewer = f"set data.num_workers lower than {self.num_workers}; 0 needs no processes"
        return f"{what}. {remedy}, or {fewer}. resume=auto continues from the last checkpoint"

    def _dead(self) -> list[BaseProcess]:
        # An error may be raised before the worker that caused it has exited.
        ended = connection.wait([process.sentinel for process in self._processes], timeout=1 if self._processes else 0)
        dead = [process for process in self._processes if process.sentinel in ended]
        for process in dead:
            process.join()
        return dead


def _death(process: BaseProcess, path: str | None) -> str:
    code = process.exitcode or 0
    known = {number.value: number.name for number in signal.Signals}
    how = f"was killed by {known.get(-code, f'signal {-code}')}" if code < 0 else f"exited with code {code}"
    if path is None:
        return f"worker process {process.pid} {how} between two files"
    alone = f'python -c "from cyclegan.images import read; read({path!r})"'
    return (
        f"worker process {process.pid} {how} at {path}. If the file is broken, this fails too: {alone}; put an intact "
        "image in its place"
    )
