"""Ordered map over worker processes."""

import multiprocessing
import os
import signal
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

from tqdm import tqdm

from cyclegan.errors import DataError

Result = TypeVar("Result")


def process_map(work: Callable[[str], Result], paths: Sequence[str], workers: int) -> list[Result]:
    """Apply a function to the paths of images in worker processes, with a progress bar on a terminal.

    Raises:
        DataError: a worker process crashed.
        Exception: any other exception that `work` raises.
    """
    # spawn: a forked process would inherit torch and the locks of its threads. Only the main process handles Ctrl-C.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, context, initializer=signal.signal, initargs=(signal.SIGINT, signal.SIG_IGN))
    results: list[Result] = []
    try:
        for result in tqdm(pool.map(work, paths), total=len(paths), unit="image", disable=None, leave=False):
            results.append(result)
    except BrokenProcessPool as error:
        others = "" if workers == 1 else " or one of the next files (--num-workers 1 tells which)"
        raise DataError(
            f"{paths[len(results)]}{others}: the process that decoded it crashed: the file crashes the decoder, or "
            "memory ran out (then: fewer --num-workers)"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)
    return results


def processors() -> int:
    """Return the number of processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
