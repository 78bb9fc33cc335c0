"""Settings of the whole test suite. It brings its own environment: what is set on the machine changes nothing."""

import atexit
import gc
import logging
import os
import shutil
import signal
import site
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

FOREIGN = (
    *("SLURM_", "RANK", "LOCAL_RANK", "NODE_RANK", "GROUP_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "MASTER_"),
    *("CYCLEGAN_", "TORCHELASTIC_", "LSB_", "JSM_", "PL_", "WANDB_", "NETRC", "HYDRA_", "XDG_"),
    *("LANG", "LC_", "NO_COLOR", "FORCE_COLOR", "COLUMNS", "PYTHONWARNINGS", "PYTHONIOENCODING", "OMP_NUM_THREADS"),
)
"""Beginnings of the names of variables that would change what a test sees."""

home = tempfile.mkdtemp(prefix="cyclegan-tests-")  # in which nobody is logged in
atexit.register(shutil.rmtree, home, ignore_errors=True)

# Downloaded weights, and packages that pip put into the old home, are found where they are.
cache = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser()
os.environ.setdefault("TORCH_HOME", str(cache / "torch"))
os.environ.setdefault("PYTHONUSERBASE", site.getuserbase())
for name in [name for name in os.environ if name.startswith(FOREIGN)]:
    del os.environ[name]
os.environ |= {
    "HOME": home,
    "LC_ALL": "C.UTF-8",
    # One thread: the networks here are tiny, and on a busy machine torch's threads mostly wait for each other.
    "OMP_NUM_THREADS": "1",
    "WANDB_MODE": "offline",
    # For the commands that tests start; pyproject.toml says the same for the tests themselves.
    "PYTHONWARNINGS": "ignore:The `srun` command is available:UserWarning",
}

# Checkpoints and studies are synced to disk, for which tests would wait: a sixth of their time. Memory needs no sync.
MEMORY = Path("/dev/shm")
if MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > 4 * 2**30:  # a container may have 64 MB
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(MEMORY))

signal.signal(signal.SIGINT, signal.default_int_handler)  # which a job in the background ignores
if hasattr(signal, "SIGHUP"):
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # which nohup ignores

# After the environment, which some of them read as they are imported.
import pytest  # noqa: E402
import torch  # noqa: E402
from hypothesis import settings  # noqa: E402

if TYPE_CHECKING:
    from tests.command_line import Command

torch.set_num_threads(1)
settings.register_profile("ci", max_examples=25, deadline=None)
settings.register_profile("thorough", max_examples=200, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))


def pytest_collection_finish() -> None:
    """Leave the objects of imported modules out of garbage collections, which would walk through all of them."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide the seed of an earlier run and the command line of the test runner."""
    for name in ("PL_GLOBAL_SEED", "WANDB_DATA_DIR", "WANDB_CACHE_DIR"):  # which a run sets
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("sys.argv", ["cyclegan-train"])


@pytest.fixture(autouse=True)
def unlogged() -> Iterator[None]:
    """Undo what Hydra and the command do to the logging of the process."""
    names = [None, "cyclegan", "cyclegan.file", "pytorch_lightning", "lightning_fabric"]
    loggers = [logging.getLogger(name) for name in names]
    before = [(logger, logger.level, list(logger.handlers), logger.propagate) for logger in loggers]
    yield
    for logger, level, handlers, propagate in before:
        for handler in set(logger.handlers) - set(handlers):
            handler.close()
        logger.setLevel(level)
        logger.handlers, logger.propagate = handlers, propagate


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a test file's toy set is drawn."""
    return tmp_path_factory.mktemp("data") / "toy"


@pytest.fixture
def command(
    unlogged: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> "Command":
    """cyclegan-train in this process, in an empty folder: as the console script, but without seconds of imports."""
    # Not above: Lightning would be imported before pytest sets the logging up, and add a handler of its own.
    from hydra.core.global_hydra import GlobalHydra

    from cyclegan.train.command import main
    from tests.command_line import Finished

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HYDRA_FULL_ERROR", "0")  # which the command sets
    monkeypatch.delenv("PL_GLOBAL_SEED", raising=False)  # which a run sets

    def call(*words: str) -> Finished:
        monkeypatch.setattr(sys, "argv", ["cyclegan-train", *words])
        GlobalHydra.instance().clear()
        code, message = 0, ""
        try:
            main()
        except SystemExit as end:
            # sys.exit with a text prints it, and the code is 1.
            code, message = (1, end.code) if isinstance(end.code, str) else (end.code or 0, "")
        captured = capsys.readouterr()
        return Finished(code, (captured.out + captured.err + message).rstrip("\n"))

    return call
