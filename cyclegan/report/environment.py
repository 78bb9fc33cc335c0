"""What a run ran on, in a record that tells nothing about who ran it."""

import json
import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from cyclegan.files import write_text

ENVIRONMENT_FILE = "environment.json"

PACKAGES = ("torchvision", "pytorch-lightning")


def environment(device: str) -> dict[str, str | int]:
    """Versions and hardware; no host name, user name or path.

    Args:
        device: what the run computes on, in words.
    """
    import torch  # a report is made without it

    return {
        "cyclegan": installed("cyclegan"),
        "Python": platform.python_version(),
        "torch": str(torch.__version__),  # which names the build too, as in 2.11.0+cu130
        **{name: installed(name) for name in PACKAGES},
        "system": f"{platform.system()} {platform.machine()}",
        "device": device,
        "processors of the host": os.cpu_count() or "unknown",
    }


def write_environment(run_dir: Path, device: str) -> Path:
    """Writes the record to `run_dir/environment.json`.

    Raises:
        OSError: it could not be written.
    """
    return write_text(run_dir / ENVIRONMENT_FILE, json.dumps(environment(device), indent=2) + "\n")


def installed(package: str) -> str:
    """The version of a package; it may be missing, as cyclegan is where a checkout is run without installing it."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
