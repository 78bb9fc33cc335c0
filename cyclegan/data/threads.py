"""Looking at many files, which is waiting for a disk or for a server behind a mount."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from cyclegan.data.source import in_chunks

THREADS = 8
_TOGETHER = 32  # a task of one file would cost more than the file

Item = TypeVar("Item")
Found = TypeVar("Found")


def in_threads(function: Callable[[Item], Found], items: Iterable[Item]) -> Iterator[Found]:
    """The function's results, in the order of the items, computed by a few threads."""

    def each(some: list[Item]) -> list[Found]:
        return [function(item) for item in some]

    with ThreadPoolExecutor(THREADS) as threads:
        for chunk in in_chunks(items):
            parts = [chunk[first : first + _TOGETHER] for first in range(0, len(chunk), _TOGETHER)]
            for found in threads.map(each, parts):
                yield from found
