import multiprocessing
import os
import signal
import sys

import pytest

from cyclegan.errors import DataError
from cyclegan.inspection.pool import process_map

NUMBERS = [str(number) for number in range(12)]


def crash_at_7(path: str) -> str:
    if path == "7":
        os.kill(os.getpid(), signal.SIGKILL)
    return path


def fail_at_3_or_find_torch(path: str) -> bool:
    from cyclegan.inspection import scan  # noqa: F401

    if path == "3":
        raise OSError(28, "No space left on device")
    return "torch" in sys.modules


def test_results_are_in_order_and_processes_do_without_torch() -> None:
    assert "torch" in sys.modules  # in this process
    assert process_map(int, NUMBERS, 2) == list(range(12))
    assert process_map(fail_at_3_or_find_torch, NUMBERS[:3], 1) == [False] * 3


def test_a_crash_names_the_file() -> None:
    before = multiprocessing.active_children()  # of earlier tests
    with pytest.raises(DataError, match=r"^7: the process that decoded it crashed.*memory ran out"):
        process_map(crash_at_7, NUMBERS, 1)
    assert set(multiprocessing.active_children()) <= set(before)


def test_other_errors_are_raised_unchanged() -> None:
    before = multiprocessing.active_children()
    with pytest.raises(OSError, match="No space left") as raised:
        process_map(fail_at_3_or_find_torch, NUMBERS, 1)
    assert raised.value.errno == 28
    assert set(multiprocessing.active_children()) <= set(before)
