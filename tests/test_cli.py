"""Standard streams: unencodable characters, closed pipes and closed terminals."""

import errno
import importlib
import io
import os
import sys
import tomllib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hydra.core.global_hydra import GlobalHydra

from cyclegan.cli import Screen, open_screen

PROJECT = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8"))["project"]


@pytest.mark.usefixtures("unlogged")
@pytest.mark.parametrize("script", PROJECT["scripts"])
def test_every_command_prints_to_an_ascii_terminal(script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    files = {name: io.BytesIO() for name in ("stdout", "stderr")}
    for name, file in files.items():
        monkeypatch.setattr(sys, name, io.TextIOWrapper(file, "ascii"))
    monkeypatch.setattr(sys, "argv", [script, "--help"])
    monkeypatch.setenv("HYDRA_FULL_ERROR", "0")  # set by the command
    GlobalHydra.instance().clear()
    module, _, function = PROJECT["scripts"][script].partition(":")
    with suppress(SystemExit):
        getattr(importlib.import_module(module), function)()
    for stream in (sys.stdout, sys.stderr):
        print("猫 to 犬", file=stream, flush=True)
    assert script.encode() in files["stdout"].getvalue()
    for file in files.values():
        assert file.getvalue().endswith(b"? to ?\n")


@pytest.fixture
def pipe() -> Iterator[tuple[int, Screen]]:
    """The read end of a pipe, and a Screen on its write end."""
    read, write = os.pipe()
    with os.fdopen(write, "wb") as buffer, Screen(buffer, "utf-8") as screen:
        yield read, screen


@pytest.mark.parametrize("length", [10, 100_000])  # below and above the size of the buffer
def test_output_to_a_closed_pipe_is_discarded(pipe: tuple[int, Screen], length: int) -> None:
    read, screen = pipe
    print("first", file=screen, flush=True)
    assert os.read(read, 100) == b"first\n"
    os.close(read)
    for _ in range(3):
        print("x" * length, file=screen)
        screen.flush()
    assert os.fstat(screen.fileno()).st_rdev == Path(os.devnull).stat().st_rdev


def test_a_closed_terminal_is_ignored_and_a_full_disk_is_not(
    pipe: tuple[int, Screen], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Failing(io.BytesIO):
        code = errno.ENOSPC

        def fileno(self) -> int:
            return pipe[1].fileno()

        def write(self, data: Any, /) -> int:
            raise OSError(self.code, os.strerror(self.code))

    file = Failing()
    screen = Screen(file, "utf-8", write_through=True)
    with pytest.raises(OSError, match="No space left"):
        screen.write("a")
    file.code = errno.EIO
    assert screen.write("abc") == 3
    os.close(pipe[0])


def test_replaced_streams_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    own = io.StringIO()
    monkeypatch.setattr(sys, "stdout", own)
    monkeypatch.setattr(sys, "stderr", None)  # as without a console
    open_screen()
    assert (sys.stdout, sys.stderr) == (own, None)
