"""MB on disk and seconds of import of what the base install adds to PyTorch.

python benchmarks/dependencies.py
"""

import statistics
import subprocess
import sys
from collections.abc import Iterable
from importlib.metadata import distribution, requires
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

MODULES = {"hydra-core": "hydra", "pytorch-lightning": "pytorch_lightning"}
REPEATS = 3


def needed(name: str, extra: str = "") -> set[str]:
    """Return the distributions that one, or an extra of it, requires in this environment."""
    found = (Requirement(text) for text in requires(name) or [])
    return {
        str(canonicalize_name(requirement.name))
        for requirement in found
        if requirement.marker is None or requirement.marker.evaluate({"extra": extra})
    }


def closure(names: Iterable[str], without: frozenset[str] = frozenset()) -> frozenset[str]:
    """Return the distributions with all that they require, except those in `without` and what only these require."""
    found: set[str] = set()
    waiting = set(names) - without
    while waiting:
        found.add(name := waiting.pop())
        waiting |= needed(name) - found - without
    return frozenset(found)


def megabytes(names: Iterable[str]) -> float:
    files = (Path(str(file.locate())) for name in names for file in distribution(name).files or [])
    return sum(file.stat().st_size for file in files if file.is_file()) / 1e6


def seconds(module: str) -> float:
    """Return the time of importing a module after torch and torchvision."""
    program = "import time, torch, torchvision\nstart = time.perf_counter()\n"
    program += f"import {module}\nprint(time.perf_counter() - start)"
    runs = [subprocess.run([sys.executable, "-c", program], capture_output=True, check=True) for _ in range(REPEATS)]
    return statistics.median(float(run.stdout) for run in runs)


def main() -> None:
    base = needed("cyclegan")
    torch = closure({"torch", "torchvision"})
    added = closure(base, torch)
    print(f"{'':20} {'alone':>7} {'only for it':>12} {'import':>8}")
    for name in sorted(base - torch):
        others = closure(base - {name}, torch)
        print(f"{name:20} {megabytes([name]):7.1f} {megabytes(added - others):12.1f} {seconds(module(name)):8.2f}")
    print(f"{len(added)} distributions, {megabytes(added):.0f} MB")


def module(name: str) -> str:
    return MODULES.get(name, name.replace("-", "_"))


if __name__ == "__main__":
    main()
