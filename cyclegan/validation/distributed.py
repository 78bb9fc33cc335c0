"""Measuring on several processes: each takes a share of the images, and all get the same metrics."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from torch import distributed

T = TypeVar("T")


def is_distributed() -> bool:
    """Return whether this is one of several processes."""
    return distributed.is_available() and distributed.is_initialized()


def is_first() -> bool:
    """Return whether this is the process that writes files."""
    return not is_distributed() or distributed.get_rank() == 0


def share(indices: Sequence[int]) -> Sequence[int]:
    """Return this process's share of the indices; every index is in one share."""
    if not is_distributed():
        return indices
    return indices[distributed.get_rank() :: distributed.get_world_size()]


def gathered(part: dict[Any, Any]) -> dict[Any, Any]:
    """Return the union of the dictionaries of all processes, on every process."""
    if not is_distributed():
        return part
    parts: list[Any] = [None] * distributed.get_world_size()
    distributed.all_gather_object(parts, part)
    return {key: value for each in parts for key, value in each.items()}


def from_first(work: Callable[[], T]) -> T:
    """Run `work` on the first process, and return its result, or raise its error, on every process."""
    with all_or_none():
        made = {0: work()} if is_first() else {}
    result: T = gathered(made)[0]
    return result


@contextmanager
def all_or_none() -> Iterator[None]:
    """Raise an error of one process on all of them, which would otherwise wait for it without end."""
    mine: dict[int, Exception] = {}
    try:
        yield
    except Exception as error:
        if not is_distributed():
            raise
        mine[distributed.get_rank()] = error
    for each in gathered(mine).values():
        raise each
