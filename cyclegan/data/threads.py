"""Threads for file system calls, which wait for a disk or for a server behind a mount."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

THREADS = 8
_CHUNK = 32  # items per task: a task for each file would cost more than the file

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_threads(function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """Map a function over items in a few threads; yield the results in the order of the items."""
    rest = iter(items)
    chunks = iter(lambda: list(islice(rest, _CHUNK)), [])
    with ThreadPoolExecutor(THREADS) as pool:
        for results in pool.map(lambda chunk: [function(item) for item in chunk], chunks):
            yield from results
