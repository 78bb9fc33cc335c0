"""One process at a time in a run's folder."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from lightning_fabric.utilities.rank_zero import rank_zero_only

from cyclegan.errors import RunError
from cyclegan.train.run_lock import held

HOLD = """
import multiprocessing, sys, time
from pathlib import Path
from cyclegan.train.run_lock import held

sys.argv = ["cyclegan-train", "name=the first"]
with held(Path(sys.argv[0]).parent / {folder!r}):
    worker = multiprocessing.get_context("fork").Process(target=time.sleep, args=(60,))
    worker.start()
    print(worker.pid, flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path: Path) -> subprocess.Popen[str]:
    """A process that holds tmp_path/run and has a child, as one that reads images."""
    code = HOLD.format(folder=str(tmp_path / "run"))
    return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, start_new_session=True)


def test_a_second_process_is_told_who_is_there(tmp_path: Path, holder: subprocess.Popen[str]) -> None:
    assert holder.stdout is not None
    worker = int(holder.stdout.readline())
    try:
        with (
            pytest.raises(RunError, match=rf"in use: process {holder.pid} on .*'name=the first'"),
            held(tmp_path / "run"),
        ):
            pass
        # Killed, it leaves its worker behind for a while; the folder is free nevertheless.
        holder.kill()
        holder.wait()
        os.kill(worker, 0)
        with held(tmp_path / "run"):
            assert (tmp_path / "run" / ".lock").read_text().startswith(f"process {os.getpid()} on ")
    finally:
        os.killpg(holder.pid, signal.SIGKILL)
        holder.wait()
        holder.stdout.close()


def test_the_next_run_of_a_sweep_may_have_the_same_folder(tmp_path: Path) -> None:
    for _ in range(2):
        with held(tmp_path / "run"):
            (tmp_path / "run" / "config.yaml").write_text("name: run")
    assert sorted(p.name for p in (tmp_path / "run").iterdir()) == [".lock", "config.yaml"]


def test_a_run_that_does_not_begin_leaves_no_folder(tmp_path: Path) -> None:
    with held(tmp_path / "runs" / "a"):
        assert (tmp_path / "runs" / "a" / ".lock").exists()
    assert not (tmp_path / "runs" / "a").exists()


def test_the_processes_of_further_devices_share_the_first_one_s(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rank_zero_only, "rank", 1)
    with held(tmp_path / "run"):
        assert not (tmp_path / "run").exists()
