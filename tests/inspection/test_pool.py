import multiprocessing
import os
import signal
import sys
from pathlib import Path

import pytest

from cyclegan.inspection.pool import process_map

COUNT = 40


def square_or_crash(number: int) -> int | str:
    if number in (20, 21):
        os.kill(os.getpid(), signal.SIGKILL)
    return number**2


def crash_once(marker: str) -> str:
    """Crash at the first attempt only, as when another program takes the memory."""
    if not Path(marker).exists():
        Path(marker).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return marker


def refuse_or_find_torch(number: int) -> bool:
    from cyclegan.inspection import scan  # noqa: F401

    if number == 3:
        raise OSError(28, "No space left on device")
    return "torch" in sys.modules


def crashed(item: int | str) -> str:
    return f"{item} crashed"


def test_an_item_that_crashes_its_process_costs_its_own_result_only() -> None:
    expected: list[int | str] = [number**2 for number in range(COUNT)]
    expected[20:22] = ["20 crashed", "21 crashed"]
    assert list(process_map(square_or_crash, range(COUNT), 2, crashed)) == expected
    assert not multiprocessing.active_children()


def test_an_item_whose_process_crashed_is_tried_again(tmp_path: Path) -> None:
    assert list(process_map(crash_once, [str(tmp_path / "marker")], 1, crashed)) == [str(tmp_path / "marker")]


def test_errors_are_raised_as_they_are_and_processes_do_without_torch() -> None:
    assert "torch" in sys.modules  # in this process
    results = process_map(refuse_or_find_torch, range(5), 1, lambda number: True)
    assert [next(results) for _ in range(3)] == [False] * 3
    with pytest.raises(OSError, match="No space left") as raised:
        next(results)
    assert raised.value.errno == 28
    assert not multiprocessing.active_children()
