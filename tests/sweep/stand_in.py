"""Processes that stand in for trainings, without the seconds that imports take."""

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

Start = Callable[[Path, Path, Mapping[str, str]], "subprocess.Popen[bytes]"]

SAVES = """
import signal, sys, time
def save(*_):
    time.sleep(0.1)
    open("saved", "w").close()
    sys.exit(75)
signal.signal(signal.SIGTERM, save)
open("ready", "w").close()
time.sleep(60)
"""
"""On SIGTERM, takes a moment to save, and ends like a training that was stopped."""


def stand_in(program: str) -> Start:
    """Return a `cyclegan.sweep.child.start` whose process runs a Python program in the job's folder."""

    def start(config_file: Path, output: Path, variables: Mapping[str, str]) -> subprocess.Popen[bytes]:
        with output.open("ab") as file:
            return subprocess.Popen(
                [sys.executable, "-IS", "-c", program],
                cwd=config_file.parent,
                env={**os.environ, **variables},
                stdin=subprocess.PIPE,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    return start
