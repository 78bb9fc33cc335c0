"""Jobs of a sweep in forked processes, which need not import anything: for tests that start many."""

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import IO, ClassVar

import cyclegan.sweep.job
from cyclegan.sweep.child import VARIABLE, Stop
from cyclegan.train import main
from tests.train.torture import run_command


class Forked:
    """Stands in for the subprocess.Popen of `cyclegan.sweep.child.start`."""

    _one_at_a_time = threading.Lock()
    _pipes: ClassVar[list[IO[bytes]]] = []

    def __init__(self, config_file: Path, output: Path, variables: Mapping[str, str]) -> None:
        with self._one_at_a_time:
            reading, writing = os.pipe()
            self.stdin = os.fdopen(writing, "wb")
            self._pipes.append(self.stdin)
            self._process = multiprocessing.get_context("fork").Process(
                target=self._train, args=(config_file, output, variables, reading)
            )
            self._process.start()
            os.close(reading)
        assert self._process.pid is not None
        self.pid = self._process.pid

    def _train(self, config_file: Path, output: Path, variables: Mapping[str, str], reading: int) -> None:
        os.setsid()
        for number in Stop.SIGNALS:
            signal.signal(number, signal.SIG_DFL)
        for pipe in self._pipes:  # else this process would keep the others', and its own, open after their parent's end
            pipe.close()
        os.dup2(reading, 0)
        with output.open("ab") as file:
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
        os.environ |= {VARIABLE: "1", **variables}
        sys.argv = ["cyclegan-train", "--config", str(config_file), "resume=auto"]
        code: object = 0
        try:
            main()
        except SystemExit as end:
            code = end.code
        if isinstance(code, str):
            print(code)
        sys.stdout.flush()
        os._exit(code if isinstance(code, int) else int(code is not None))  # Python would wait for the sweep's threads

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    def poll(self) -> int | None:
        return self.returncode

    def wait(self) -> None:
        self._process.join()

    def send_signal(self, number: int) -> None:
        os.kill(self.pid, number)


def run_forking(words: list[str], folder: Path, variables: dict[str, str], screen: Path) -> None:
    """Run the command like the console script, in a process group of its own; a sweep forks its jobs."""
    cyclegan.sweep.job.__dict__["start"] = Forked
    run_command(words, folder, variables, screen)
