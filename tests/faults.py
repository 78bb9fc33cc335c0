"""What goes wrong around a training, for the tests of several parts: a process that ends, a disk that is full."""

import os
import resource
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager


def in_a_child(work: Callable[[], None]) -> int:
    """Runs it in a forked process and returns the signal that ended it, or 0."""
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
    """What a full disk does to a file, as far as a test may go: the system refuses what is longer."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
