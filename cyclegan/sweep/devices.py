"""The GPUs of this machine, and their division among the jobs of a sweep."""

import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager


def visible_gpus() -> list[str]:
    """Return the GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them; does not initialise CUDA."""
    import torch

    count = torch.cuda.device_count()
    named = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    return named.split(",")[:count] if named else [str(number) for number in range(count)]


class Devices:
    """GPUs of which each job takes some for its duration.

    Args:
        gpus: their names.
    """

    def __init__(self, gpus: Sequence[str]) -> None:
        self._free = list(gpus)
        self._changed = threading.Condition()

    @contextmanager
    def taken(self, count: int) -> Iterator[list[str]]:
        """Wait until `count` GPUs are free, and take them for this block."""
        with self._changed:
            self._changed.wait_for(lambda: len(self._free) >= count)
            mine, self._free = self._free[:count], self._free[count:]
        try:
            yield mine
        finally:
            with self._changed:
                self._free = sorted([*self._free, *mine])
                self._changed.notify_all()
