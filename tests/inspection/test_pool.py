"""Processes that work on many files: what comes back, and what happens when one of them dies."""

import multiprocessing
import os
import signal
import sys
from functools import partial
from pathlib import Path

import pytest

from cyclegan.inspection import pool
from cyclegan.inspection.pool import Crew

COUNT = 3 * pool.TOGETHER + 5


def square(number: int) -> int:
    return number * number


def died(number: int, how: str) -> int:
    raise AssertionError(f"{number} {how}")


def square_or_die(number: int) -> int | str:
    if number == 20:
        os.kill(os.getpid(), signal.SIGKILL)
    return square(number)


def obituary(number: int, how: str) -> int | str:
    return f"{number} {how}"


def die_once(number: int, marker: Path) -> int:
    """As under another program's hunger for memory: the second attempt is left alone."""
    if number == 7 and not marker.exists():
        marker.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return square(number)


def refuse(number: int) -> int:
    if number == 3:
        raise OSError(28, "No space left on device")
    return number


def has_torch(number: int) -> bool:
    from cyclegan.inspection import look, scan  # noqa: F401

    return "torch" in sys.modules


def end_at_once(connection: object) -> None:
    sys.exit(3)


def test_results_come_in_the_order_of_the_items() -> None:
    with Crew(2) as workers:
        assert list(workers.map(square, range(COUNT), died)) == [number**2 for number in range(COUNT)]
        assert list(workers.map(square, [5], died)) == [25]  # the same processes again
    assert not multiprocessing.active_children()


def test_an_item_that_kills_its_process_costs_its_own_result_only() -> None:
    with Crew(2) as workers:
        results = list(workers.map(square_or_die, range(COUNT), obituary))
    expected: list[int | str] = [number**2 for number in range(COUNT)]
    expected[20] = "20 was killed by SIGKILL"
    assert results == expected


def test_what_died_among_others_is_tried_again_alone(tmp_path: Path) -> None:
    with Crew(1) as workers:
        results = list(workers.map(partial(die_once, marker=tmp_path / "died"), range(10), died))
    assert (tmp_path / "died").exists()
    assert results == [number**2 for number in range(10)]


def test_an_error_comes_as_it_was_raised() -> None:
    with Crew(1) as workers, pytest.raises(OSError, match="No space left") as raised:
        list(workers.map(refuse, range(5), died))
    assert raised.value.errno == 28
    assert "raised in process" in raised.value.__notes__[0]
    assert not multiprocessing.active_children()


def test_a_process_that_cannot_begin_is_no_fault_of_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "_serve", end_at_once)
    with Crew(1) as workers, pytest.raises(RuntimeError, match="ended with exit code 3 before it could begin"):
        list(workers.map(square, [1], died))


def test_the_processes_that_check_images_do_without_torch() -> None:
    assert "torch" in sys.modules  # here it is there, by the tests' conftest
    with Crew(1) as workers:
        assert list(workers.map(has_torch, [0], died)) == [False]
