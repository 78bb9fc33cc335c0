"""One process at a time in the folder of a run."""

import os
import shlex
import socket
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from cyclegan.errors import RunError
from cyclegan.train.run_folder import is_first_process

try:
    import fcntl
except ImportError:  # Windows has no such locks
    fcntl = None  # type: ignore[assignment]

LOCK = ".lock"


@contextmanager
def held(run_dir: Path) -> Iterator[None]:
    """Keeps other processes out of a run's folder; a folder that stays empty is removed again.

    The system gives the lock up with the process, however it ends, so nothing has to be cleaned up after a kill.
    It is a POSIX record lock, because a lock of the other kind (flock) would go on to the workers that read
    images, and these outlive a killed process for some seconds.

    Raises:
        RunError: another process holds it; the text names that one.
    """
    if fcntl is None or not is_first_process():
        yield
        return
    run_dir.mkdir(parents=True, exist_ok=True)
    # Never opened a second time while it is held: closing any descriptor of the file gives such a lock up.
    with (run_dir / LOCK).open("a+", encoding="utf-8") as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            file.seek(0)
            holder = file.read().strip() or "another process"
            raise RunError(
                f"{run_dir} is in use: {holder}. Wait for it, stop it (Ctrl-C there, or kill with its number: it "
                "saves first), or give this run another name (name=...)"
            ) from None
        except OSError:
            pass  # a file system without locks
        file.truncate(0)
        started = datetime.now().astimezone().strftime("%Y-%m-%d %H:%M")
        command = textwrap.shorten(shlex.join(["cyclegan-train", *sys.argv[1:]]), 80, placeholder=" ...")
        file.write(f"process {os.getpid()} on {socket.gethostname()}, since {started}: {command}\n")
        file.flush()
        try:
            yield
        finally:
            _tidy(run_dir)


def _tidy(run_dir: Path) -> None:
    """Takes back the folder of a run that did not begin."""
    if run_dir.is_dir() and [path.name for path in run_dir.iterdir()] == [LOCK]:
        (run_dir / LOCK).unlink()
        run_dir.rmdir()
