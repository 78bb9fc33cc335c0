"""MB on disk and seconds of import of what the base install adds to PyTorch.

python benchmarks/dependencies.py
"""

import statistics
import subprocess
import sys
from collections.abc import Iterable, Set
from importlib.metadata import distribution, requires
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

MODULES = {"hydra-core": "hydra", "pytorch-lightning": "pytorch_lightning"}
REPEATS = 3


def needed(name: str, extra: str = "") -> set[tuple[str, str]]:
    """Return the distributions, each with "" or an extra of it, that one requires in this environment."""
    found = [Requirement(text) for text in requires(name) or []]
    return {
        (str(canonicalize_name(requirement.name)), wanted)
        for requirement in found
        if requirement.marker is None or requirement.marker.evaluate({"extra": extra})
        for wanted in ("", *requirement.extras)
    }


def closure(waiting: Iterable[tuple[str, str]], without: Set[str] = frozenset()) -> set[str]:
    """Return the names of distributions and of all that they require, except those in `without`."""
    found: set[tuple[str, str]] = set()
    waiting = set(waiting)
    while waiting:
        found.add(next_one := waiting.pop())
        waiting |= needed(*next_one) - found
    return {name for name, _ in found} - without


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
    torch = closure({("torch", ""), ("torchvision", "")})
    added = closure(base, torch)
    print(f"{'':20} {'alone':>7} {'only for it':>12} {'import':>8}")
    for name in sorted({name for name, _ in base} - torch):
        others = closure((one for one in base if one[0] != name), torch)
        print(f"{name:20} {megabytes([name]):7.1f} {megabytes(added - others):12.1f} {seconds(module(name)):8.2f}")
    print(f"{len(added)} distributions, {megabytes(added):.0f} MB")


def module(name: str) -> str:
    return MODULES.get(name, name.replace("-", "_"))


if __name__ == "__main__":
    main()
