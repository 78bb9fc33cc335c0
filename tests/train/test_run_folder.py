"""A run's folder: its lock, what overwrite=true removes, and which process of a job may write there."""

import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning_fabric.utilities.rank_zero import rank_zero_only
from omegaconf import OmegaConf

from cyclegan.errors import RunError
from cyclegan.train.run_folder import SWEEP_FILE, claim, clear, held, is_alone
from tests.faults import in_use

WRITTEN = (
    *("config.yaml", "environment.json", "metrics.csv", "train.log", "report.html"),
    *("checkpoints/last.ckpt", "checkpoints/best.ckpt", "samples/epoch0001.jpg", "wandb/latest-run/run-1.wandb"),
    *("tensorboard/events", "validation/protocol.json", "validation/epoch0001.csv"),
)


def test_clear_removes_the_files_of_a_run_and_keeps_others(tmp_path: Path) -> None:
    for name in (*WRITTEN, "notes.txt", "mine/image.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "config.yaml").write_text("# cyclegan-train name=mine\nname: mine\n")
    clear(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["mine", "notes.txt"]
    assert (tmp_path / "mine" / "image.png").exists()
    clear(tmp_path)  # and where there is nothing


@pytest.mark.parametrize("config", [None, "name: somebody else's\n"])
@pytest.mark.parametrize("theirs", ["wandb/run-1/files.txt", "samples/1.png", "metrics.csv", "report.html"])
def test_a_folder_that_no_run_wrote_is_refused_and_not_cleared(tmp_path: Path, theirs: str, config: str | None) -> None:
    for name, text in ((theirs, "theirs"), ("train.log", "theirs"), ("config.yaml", config)):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        if text is not None:
            (tmp_path / name).write_text(text)
    for overwrite in (True, False):
        with pytest.raises(RunError, match=rf"holds .*{theirs.split('/')[0]}.*, but no config\.yaml that begins"):
            claim(tmp_path, None, overwrite)
    clear(tmp_path)
    assert (tmp_path / theirs).read_text() == (tmp_path / "train.log").read_text() == "theirs"


def test_a_folder_with_a_log_alone_is_free(tmp_path: Path) -> None:
    (tmp_path / "train.log").write_text("resume    no checkpoint found, so this is a new run\n")
    claim(tmp_path, None, overwrite=True)
    clear(tmp_path)


@pytest.mark.parametrize(
    ("trainer", "gpus", "alone"),
    [
        ({"devices": 1}, 8, True),
        ({"devices": [3]}, 8, True),
        ({"devices": "3,"}, 8, True),
        ({"devices": -1}, 1, True),
        ({"devices": "auto", "accelerator": "cpu"}, 8, True),
        ({"devices": "auto"}, 8, False),
        ({"devices": 2}, 8, False),
        ({"devices": [0, 3]}, 8, False),
        ({"devices": 1, "num_nodes": 2}, 1, False),
        ({"devices": 1, "strategy": "ddp"}, 1, False),
    ],
    ids=str,
)
def test_a_run_is_alone_on_one_device(
    monkeypatch: pytest.MonkeyPatch, trainer: dict[str, Any], gpus: int, alone: bool
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    default = {"accelerator": "auto", "devices": 1, "num_nodes": 1, "strategy": "auto"}
    assert is_alone(OmegaConf.create(default | trainer)) == alone


# ------------------------------------------------------------------------------------------ the lock


def test_a_second_process_is_refused_with_the_number_of_the_first(tmp_path: Path) -> None:
    with in_use(tmp_path / "run") as (holder, worker):
        with pytest.raises(RunError, match=rf"in use: process {holder} on .*'name=the first'"), held(tmp_path / "run"):
            pass
        # Killed, it leaves its worker behind for a while; the folder is free nevertheless.
        os.kill(holder, signal.SIGKILL)
        os.waitid(os.P_PID, holder, os.WEXITED | os.WNOWAIT)
        os.kill(worker, 0)
        with held(tmp_path / "run"):
            assert (tmp_path / "run" / ".lock").read_text().startswith(f"process {os.getpid()} on ")


def test_a_run_that_does_not_begin_leaves_no_folder(tmp_path: Path) -> None:
    with held(tmp_path / "a"):
        assert (tmp_path / "a" / ".lock").exists()
    assert not (tmp_path / "a").exists()


def test_further_processes_of_a_run_take_no_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rank_zero_only, "rank", 1)
    with held(tmp_path / "run"):
        assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(("resume", "overwrite"), [(None, False), (None, True), ("auto", False)])
def test_the_folder_of_a_sweep_is_refused(tmp_path: Path, resume: str | None, overwrite: bool) -> None:
    (tmp_path / SWEEP_FILE).touch()
    with pytest.raises(RunError, match="is the folder of a sweep: give this run another name"):
        claim(tmp_path, resume, overwrite)
