"""The processes that measure together: each takes its share of the pictures, and all learn the same figures."""

from collections.abc import Sequence
from typing import Any

from torch import distributed


def is_distributed() -> bool:
    """Whether there are others."""
    return distributed.is_available() and distributed.is_initialized()


def share(indices: Sequence[int]) -> Sequence[int]:
    """This process's part of some pictures; every picture is in one part."""
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


def from_first(value: Any) -> Any:
    """What the first process has, on every process."""
    if not is_distributed():
        return value
    box = [value]
    distributed.broadcast_object_list(box, src=0)
    return box[0]


def is_first() -> bool:
    """Whether this is the process that writes files."""
    return not is_distributed() or distributed.get_rank() == 0
