"""The processes that measure together: each takes its share of the images, and all learn the same metrics."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from torch import distributed

T = TypeVar("T")


def is_distributed() -> bool:
    """Whether there are others."""
    return distributed.is_available() and distributed.is_initialized()


def share(indices: Sequence[int]) -> Sequence[int]:
    """This process's part of some images; every image is in one part."""
    if not is_distributed():
        return indices
    return indices[distributed.get_rank() :: distributed.get_world_size()]


def gathered(part: dict[Any, Any]) -> dict[Any, Any]:
    """The parts of all processes as one, on every process."""
    if not is_distributed():
        return part
    parts: list[Any] = [None] * distributed.get_world_size()
    distributed.all_gather_object(parts, part)
    return {key: value for each in parts for key, value in each.items()}


def from_first(work: Callable[[], T]) -> T:
    """What the first process makes, on every process; also its error, for which the others would wait in vain."""
    if not is_distributed():
        return work()
    box: list[Any] = [None, None]
    if is_first():
        try:
            box[0] = work()
        except Exception as error:
            box[1] = error
    distributed.broadcast_object_list(box, src=0)
    if box[1] is not None:
        raise box[1]
    made: T = box[0]
    return made


@contextmanager
def all_or_none() -> Iterator[None]:
    """Lets an error of one process be raised on all of them."""
    mine: Exception | None = None
    try:
        yield
    except Exception as error:
        if not is_distributed():
            raise
        mine = error
    errors = gathered({distributed.get_rank(): mine} if is_distributed() else {})
    for each in errors.values():
        if each is not None:
            raise each


def is_first() -> bool:
    """Whether this is the process that writes files."""
    return not is_distributed() or distributed.get_rank() == 0
