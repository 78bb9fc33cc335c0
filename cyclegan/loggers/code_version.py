"""The version of this package's code."""

import subprocess
from pathlib import Path

import cyclegan


def code_version() -> dict[str, str]:
    """Return the package's `version`, and the `commit` if it is imported from a git checkout.

    A commit is 40 hexadecimal digits, followed by `-dirty` if tracked files differ from it.
    """
    found = {"version": cyclegan.__version__}
    root = Path(cyclegan.__file__).parents[1]
    if (root / ".git").exists():
        command = ["git", "-C", str(root), "describe", "--always", "--abbrev=40", "--exclude=*", "--dirty"]
        try:
            answer = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)  # noqa: S603
        except (OSError, subprocess.SubprocessError):  # no git, or a checkout of another user
            return found
        found["commit"] = answer.stdout.strip()
    return found
