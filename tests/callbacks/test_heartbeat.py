"""A process ends when another one of its run has died or frozen, but not when it is merely done earlier."""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from torch import distributed

from cyclegan.callbacks.heartbeat import Heartbeat
from cyclegan.callbacks.stop_signals import EXIT_RESUME, StopRequestedError
from tests.faults import in_a_child

INTERVAL, TIMEOUT, GRACE = 0.05, 0.6, 0.1
WAITED = 42
"""Exit code of a process that nothing has ended."""


def two_ranks(meeting: Path, first: Callable[[Heartbeat], None], second: Callable[[Heartbeat], None]) -> int:
    """Run two processes that listen to each other; return the exit code of the first."""

    def rank(number: int, work: Callable[[Heartbeat], None]) -> None:
        os.environ["GLOO_SOCKET_IFNAME"] = "lo"
        distributed.init_process_group("gloo", init_method=f"file://{meeting}", rank=number, world_size=2)
        trainer: Any = SimpleNamespace(world_size=2)
        beat = Heartbeat(INTERVAL, TIMEOUT, GRACE)
        beat.setup(trainer, trainer, "fit")
        work(beat)

    def both() -> None:
        if other := os.fork():
            code = in_a_child(lambda: rank(0, first))
            os.kill(other, signal.SIGKILL)
            os._exit(code)
        try:
            rank(1, second)
        finally:
            os._exit(0)

    return in_a_child(both)


def end(beat: Heartbeat) -> None:
    trainer: Any = None
    beat.teardown(trainer, trainer, "fit")


def wait(beat: Heartbeat) -> None:
    """Wait as a process does whose partner never answers."""
    time.sleep(2 * (TIMEOUT + GRACE))
    os._exit(WAITED)


def by(number: signal.Signals) -> Callable[[Heartbeat], None]:
    """Return work that ends with a signal."""

    def work(beat: Heartbeat) -> None:
        time.sleep(2 * INTERVAL)
        os.kill(os.getpid(), number)

    return work


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_a_process_ends_soon_after_another_was_killed_or_frozen(
    number: signal.Signals, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert two_ranks(tmp_path / "meeting", wait, by(number)) == EXIT_RESUME
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith("cyclegan-train: another process of this run has died or does not answer: ")
    assert line.endswith("; start again with resume=auto")


def test_a_process_that_works_longer_than_the_timeout_is_waited_for(tmp_path: Path) -> None:
    """Downloads, saves and reports of the first process take minutes, in which the others are in a collective."""

    def work(beat: Heartbeat) -> None:
        time.sleep(2 * TIMEOUT)
        end(beat)
        os._exit(WAITED)

    assert two_ranks(tmp_path / "meeting", work, end) == WAITED


def test_a_process_that_stops_is_not_taken_for_dead(tmp_path: Path) -> None:
    def stop(beat: Heartbeat) -> None:
        trainer: Any = None
        beat.on_exception(trainer, trainer, StopRequestedError("SIGTERM", 1, tmp_path, is_finished=False))

    def work(beat: Heartbeat) -> None:
        time.sleep(TIMEOUT / 2)  # its own stop comes a little later
        stop(beat)
        time.sleep(2 * GRACE)  # in which the other has ended
        os._exit(WAITED)

    assert two_ranks(tmp_path / "meeting", work, stop) == WAITED


def test_a_process_with_an_error_of_its_own_ends_by_it(tmp_path: Path) -> None:
    """Its exit code and traceback say more than that another process has ended."""

    def fail(beat: Heartbeat) -> None:
        time.sleep(GRACE / 2)
        os._exit(1)

    def work(beat: Heartbeat) -> None:
        time.sleep(GRACE)
        os._exit(WAITED)

    assert two_ranks(tmp_path / "meeting", work, fail) == WAITED
