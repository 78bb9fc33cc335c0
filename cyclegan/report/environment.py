"""environment.json: the versions and the hardware of a run."""

import json
import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from cyclegan.files import write_text

ENVIRONMENT_FILE = "environment.json"

PACKAGES = ("torchvision", "pytorch-lightning")


def environment(device: str) -> dict[str, str | int]:
    """Return versions and hardware, without the names of the host, the user or folders.

    Args:
        device: name of the device that the run computes on.
    """
    import torch  # not at the top: a report is written without it

    return {
        "cyclegan": _version("cyclegan"),
        "Python": platform.python_version(),
        "torch": str(torch.__version__),  # names the build too: 2.11.0+cu130
        **{package: _version(package) for package in PACKAGES},
        "system": f"{platform.system()} {platform.machine()}",
        "device": device,
        "processors of the host": os.cpu_count() or "unknown",
    }


def write_environment(run_dir: Path, device: str) -> Path:
    """Write `run_dir/environment.json`.

    Raises:
        OSError: the file could not be written.
    """
    return write_text(run_dir / ENVIRONMENT_FILE, json.dumps(environment(device), indent=2) + "\n")


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:  # cyclegan itself, used from a checkout without installing it
        return "not installed"
