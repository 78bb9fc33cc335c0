"""Faults during training: a process that ends, a folder in use, a full disk."""

import os
import resource
import signal
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from lightning_fabric.utilities.rank_zero import rank_zero_only

from cyclegan.train.run_folder import held


def in_a_child(work: Callable[[], None]) -> int:
    """Run a function in a forked process; return its exit code, negative for a signal."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 warns of forking beside threads
        child = os.fork()
    if child == 0:
        try:
            work()
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """Let the system refuse to write files longer than `size`, as a full disk does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@contextmanager
def in_use(run_dir: Path) -> Iterator[tuple[int, int]]:
    """Hold a run's folder in a forked process, which forks a worker; yield the process ids of both."""
    receiving, sending = os.pipe()
    holder = os.fork()
    if holder == 0:
        try:
            os.setsid()
            sys.argv = ["cyclegan-train", "name=the first"]
            rank_zero_only.rank = 0  # type: ignore[attr-defined]
            with held(run_dir):
                worker = os.fork()
                if worker:
                    os.write(sending, str(worker).encode())
                time.sleep(60)
        finally:
            os._exit(0)
    try:
        yield holder, int(os.read(receiving, 20))
    finally:
        os.close(receiving)
        os.close(sending)
        os.killpg(holder, signal.SIGKILL)
        os.waitpid(holder, 0)
