"""Ordered map over worker processes that survives the crash of a worker."""

import multiprocessing
import os
import signal
from collections import deque
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

ITEMS_PER_WORKER = 8
"""Items that are submitted ahead, for each worker."""


def process_map(
    work: Callable[[Item], Result], items: Iterable[Item], workers: int, on_crash: Callable[[Item], Result]
) -> Generator[Result, None, None]:
    """Apply a function to items in worker processes and yield the results in the order of the items.

    A decoder that crashes on a damaged file takes its process along, and with it the pool. The items that were then
    submitted run again one by one, which shows the item that is to blame; the rest runs in a new pool. Close the
    generator to stop early.

    Args:
        work: picklable function, called in a worker process.
        items: picklable arguments; consumed a little ahead of the results.
        workers: number of processes.
        on_crash: called in this process with an item whose worker crashed; returns the result of that item.

    Raises:
        Exception: whatever `work` raises.
        BrokenProcessPool: the worker processes cannot start.
    """
    remaining = iter(items)
    while True:
        submitted: deque[Item] = deque()
        futures: deque[Future[Result]] = deque()
        pool = _pool(workers)
        try:
            while True:
                for item in islice(remaining, workers * ITEMS_PER_WORKER - len(submitted)):
                    submitted.append(item)
                    futures.append(pool.submit(work, item))
                if not submitted:
                    return
                result = futures[0].result()
                futures.popleft()
                submitted.popleft()
                yield result
        except BrokenProcessPool:
            pass
        finally:
            pool.shutdown(cancel_futures=True)
        yield from _one_by_one(work, submitted, on_crash)


def processors() -> int:
    """Return the number of processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _one_by_one(
    work: Callable[[Item], Result], items: Sequence[Item], on_crash: Callable[[Item], Result]
) -> Generator[Result, None, None]:
    todo = deque(items)
    while todo:
        with _pool(1) as pool:
            pool.submit(os.getpid).result()  # raises if no process can start, for which no item is to blame
            while todo:
                try:
                    result = pool.submit(work, todo[0]).result()
                except BrokenProcessPool:
                    yield on_crash(todo.popleft())
                    break
                todo.popleft()
                yield result


def _pool(workers: int) -> ProcessPoolExecutor:
    # spawn: a forked process would hold torch and the locks of its threads. Ctrl-C is for the main process alone.
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(workers, context, initializer=signal.signal, initargs=(signal.SIGINT, signal.SIG_IGN))
