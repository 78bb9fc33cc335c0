"""--version is this package's, in every command, and needs none of the slow libraries."""

import contextlib
import subprocess
import sys
from importlib import import_module

import pytest

import cyclegan

COMMANDS = ("train", "translate", "evaluate", "data_tool", "demo")


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_prints_its_version(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["seed=1", "--version"] if command == "train" else ["--version"]
    monkeypatch.setattr("sys.argv", [f"cyclegan-{command}", *words])
    with contextlib.suppress(SystemExit):
        import_module(f"cyclegan.{command}").main()
    assert capsys.readouterr() == (f"cyclegan {cyclegan.__version__}\n", "")


def test_help_speaks_of_this_packages_version(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")  # which the command sets
    monkeypatch.setattr("sys.argv", ["cyclegan-train", "--help"])
    with contextlib.suppress(SystemExit):
        import_module("cyclegan.train.command").main()
    said = capsys.readouterr().out
    assert "--version" in said
    assert "Hydra's version" not in said


def test_it_does_not_wait_for_torch() -> None:
    program = f"""
import sys
from importlib import import_module
sys.modules["torch"] = None
for command in {COMMANDS}:
    sys.argv = [command, "--version"]
    try:
        import_module(f"cyclegan.{{command}}").main()
    except SystemExit:
        pass
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [f"cyclegan {cyclegan.__version__}"] * len(COMMANDS)
