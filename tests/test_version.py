"""--version of every command."""

import subprocess
import sys

import cyclegan

COMMANDS = ("train", "translate", "evaluate", "data_tool", "weights_tool", "sweep.command", "demo")


def test_every_command_prints_its_version_without_importing_torch() -> None:
    program = f"""
import sys
from importlib import import_module
sys.modules["torch"] = None
for command in {COMMANDS}:
    sys.argv = [command, "seed=1", "--version"] if command == "train" else [command, "--version"]
    try:
        import_module(f"cyclegan.{{command}}").main()
    except SystemExit:
        pass
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [f"cyclegan {cyclegan.__version__}"] * len(COMMANDS)
