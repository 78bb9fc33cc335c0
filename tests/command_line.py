"""Command lines of cyclegan-train for tests, and what they leave; the fixture `command` runs one in this process."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from tests.tiny_run import SMALL_NETWORKS, TINY, UNMEASURED


class Finished(NamedTuple):
    """Exit code and screen of a command that has ended."""

    code: int
    screen: str


Command = Callable[..., Finished]


def measured(name: str, *words: str) -> list[str]:
    """Return the words of a tiny run with held-out images."""
    return [f"name={name}", "data.root=toy", *TINY, *SMALL_NETWORKS, *words]


def tiny(name: str, *words: str) -> list[str]:
    """Return the words of a tiny run."""
    return measured(name, *UNMEASURED, *words)


def contents(folder: Path) -> dict[str, str]:
    """Return the hash of every file below the folder, by its name there."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
