"""A training in a process of its own: its start, the signals that it is handed, and its end with its parent."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

NOTICE = b"\nthe running jobs save and stop; Ctrl-C once more kills them, without saving\n"

VARIABLE = "CYCLEGAN_ENDS_WITH_STDIN"
"""Set in a child, and in the processes that Lightning adds to it for further devices."""

CLUSTER = ("SLURM_", "MASTER_", "RANK", "LOCAL_RANK", "NODE_RANK", "GROUP_RANK", "WORLD_SIZE", "TORCHELASTIC_", "PL_")
"""Beginnings of the variables of a cluster, which number the processes of another job than the child."""


def start(config_file: Path, output: Path, variables: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """Start a training of a frozen configuration, or resume it; what it prints is appended to `output`.

    It leads a session of its own, so that a terminal's Ctrl-C does not reach it: signals come from its parent.
    """
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(CLUSTER)}
    with output.open("ab") as file:
        return subprocess.Popen(  # noqa: S603
            [sys.executable, "-m", "cyclegan.train", "--config", str(config_file), "resume=auto"],
            stdin=subprocess.PIPE,
            stdout=file,
            stderr=subprocess.STDOUT,
            env={**inherited, "PYTHONUNBUFFERED": "1", VARIABLE: "1", **variables},
            start_new_session=True,
        )


def kill(child: subprocess.Popen[bytes]) -> None:
    """Kill what is left of a child with all its processes, and wait for it."""
    with suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()
    if child.stdin:
        child.stdin.close()


def end_with_parent() -> None:
    """In a child: when the parent ends, however it ends, stop as on SIGTERM. Else do nothing.

    The system closes the pipe to standard input when the parent is gone.
    """
    if VARIABLE in os.environ:
        threading.Thread(target=_watch, daemon=True).start()


def _watch() -> None:
    while os.read(0, 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


class Stop:
    """The signals that ask a process to stop its children, in the order of their arrival."""

    SIGNALS = tuple(
        getattr(signal, name) for name in ("SIGTERM", "SIGINT", "SIGUSR1", "SIGUSR2", "SIGHUP") if hasattr(signal, name)
    )

    def __init__(self) -> None:
        self.received: list[int] = []

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Collect signals within this block. Only in the main thread, where Python allows it."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.getsignal(number) for number in self.SIGNALS}
        for number, handler in before.items():
            if number.name != "SIGHUP" or handler != signal.SIG_IGN:  # ignored under nohup
                signal.signal(number, self._record)
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    @property
    def is_urgent(self) -> bool:
        """Whether Ctrl-C was pressed twice. Clusters, in contrast, send SIGTERM repeatedly while a job saves."""
        return self.received.count(signal.SIGINT) > 1

    def _record(self, number: int, frame: FrameType | None) -> None:
        self.received.append(number)
        if number == signal.SIGINT and not self.is_urgent:
            os.write(2, NOTICE)  # print is not safe in a signal handler
