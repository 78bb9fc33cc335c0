"""Seconds until a command answers: the median of several starts, after one that fills the disk cache.

python benchmarks/startup.py
"""

import statistics
import subprocess
import sys
import time
from pathlib import Path

COMMANDS = (
    "cyclegan-train --help",
    "cyclegan-train --cfg job",
    "cyclegan-train trainer.max_epoch=1",  # a misspelt key
    "cyclegan-translate --help",
    "cyclegan-demo --help",
)
REPEATS = 5


def seconds(command: str) -> float:
    name, *arguments = command.split()
    start = time.monotonic()
    subprocess.run([str(Path(sys.executable).with_name(name)), *arguments], capture_output=True, check=False)
    return time.monotonic() - start


def main() -> None:
    for command in COMMANDS:
        seconds(command)
        print(f"{statistics.median(seconds(command) for _ in range(REPEATS)):6.2f} s  {command}", flush=True)


if __name__ == "__main__":
    main()
