"""--version of every command, and the import of the package."""

import subprocess
import sys
import tomllib
from pathlib import Path

import cyclegan

PROJECT = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
COMMANDS = [script.partition(":")[0] for script in PROJECT["scripts"].values()]


def test_every_command_prints_its_version_without_importing_torch() -> None:
    program = f"""
import sys
from importlib import import_module
sys.modules["torch"] = None
for command in {COMMANDS}:
    sys.argv = [command, "seed=1", "--version"] if command == "cyclegan.train" else [command, "--version"]
    try:
        import_module(command).main()
    except SystemExit:
        pass
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [f"cyclegan {cyclegan.__version__}"] * len(COMMANDS)


def test_the_package_imports_nothing_but_itself_and_the_standard_library() -> None:
    program = "import sys; before = set(sys.modules); import cyclegan; print(*set(sys.modules) - before)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert {name.partition(".")[0] for name in done.stdout.split()} - sys.stdlib_module_names == {"cyclegan"}
