"""A training in a process of its own: how it is started, and that it ends with its parent."""

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cyclegan.sweep.child import Stop, kill, start

PROGRAM = f"""#!{sys.executable} -S
import json, os, signal, subprocess, sys, time
sys.path.insert(0, {str(Path(__file__).parents[2])!r})
from cyclegan.sweep.child import end_with_parent
def stop(*_):
    print("stopped", flush=True)
    sys.exit(75)
signal.signal(signal.SIGTERM, stop)
end_with_parent()
leads = os.getsid(0) == os.getpid()
print(json.dumps({{"words": sys.argv[1:], "leads": leads, "environment": dict(os.environ)}}), flush=True)
time.sleep(60)
"""


@pytest.fixture
def python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in for the interpreter that would train: it prints what it was given, and waits."""
    program = tmp_path / "python"
    program.write_text(PROGRAM)
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def printed(output: Path) -> dict[str, Any]:
    wait_for(lambda: output.exists() and output.read_text().endswith("\n"))
    found: dict[str, Any] = json.loads(output.read_text().splitlines()[0])
    return found


@pytest.mark.usefixtures("python")
def test_a_child_resumes_a_frozen_configuration_outside_of_the_parents_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("SLURM_PROCID", "MASTER_ADDR", "RANK", "WORLD_SIZE", "PL_GLOBAL_SEED"):
        monkeypatch.setenv(name, "1")
    monkeypatch.setenv("THEIR_VARIABLE", "kept")
    child = start(tmp_path / "config.yaml", tmp_path / "output.txt", {"CUDA_VISIBLE_DEVICES": "3"})
    try:
        found = printed(tmp_path / "output.txt")
    finally:
        kill(child)
    assert found["words"] == ["-m", "cyclegan.train", "--config", str(tmp_path / "config.yaml"), "resume=auto"]
    assert found["leads"], "a terminal's Ctrl-C reaches only its parent"
    environment = found["environment"]
    assert (environment["CUDA_VISIBLE_DEVICES"], environment["THEIR_VARIABLE"]) == ("3", "kept")
    assert not environment.keys() & {"SLURM_PROCID", "MASTER_ADDR", "RANK", "WORLD_SIZE", "PL_GLOBAL_SEED"}
    assert child.returncode == -signal.SIGKILL


@pytest.mark.usefixtures("python")
def test_a_child_stops_when_its_parent_is_gone_whatever_other_children_do(tmp_path: Path) -> None:
    outputs = [tmp_path / "1.txt", tmp_path / "2.txt"]
    children = [start(tmp_path / "config.yaml", output, {}) for output in outputs]
    try:
        for output in outputs:
            printed(output)
        assert children[0].stdin
        children[0].stdin.close()  # as the system does at the end of the parent, if no other process has this pipe
        assert children[0].wait(20) == 75
        assert outputs[0].read_text().endswith("stopped\n")
        assert children[1].poll() is None
    finally:
        for child in children:
            kill(child)


def test_what_prints_is_appended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "python"
    program.write_text("#!/bin/sh\necho out\necho err >&2\n")
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))
    for _ in range(2):
        child = start(tmp_path / "config.yaml", tmp_path / "output.txt", {})
        child.wait(20)
        kill(child)
    assert (tmp_path / "output.txt").read_text() == "out\nerr\n" * 2


# ------------------------------------------------------------------------------------------ signals


def test_signals_are_collected_and_the_handlers_come_back(capfd: pytest.CaptureFixture[str]) -> None:
    stop, before = Stop(), [signal.getsignal(number) for number in Stop.SIGNALS]
    with stop.listening():
        for number in (signal.SIGTERM, signal.SIGUSR2, signal.SIGINT):
            os.kill(os.getpid(), number)
        urgent = [stop.is_urgent]
        os.kill(os.getpid(), signal.SIGINT)
        urgent.append(stop.is_urgent)
    assert urgent == [False, True]
    assert stop.received == [signal.SIGTERM, signal.SIGUSR2, signal.SIGINT, signal.SIGINT]
    assert [signal.getsignal(number) for number in Stop.SIGNALS] == before
    assert capfd.readouterr().err == "\nthe running jobs save and stop; Ctrl-C once more kills them, without saving\n"


def test_a_hangup_that_is_ignored_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with Stop().listening():
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_outside_of_the_main_thread_nothing_is_collected() -> None:
    ran = []

    def work() -> None:
        with Stop().listening():
            ran.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert ran == [signal.getsignal(signal.SIGTERM)]
