"""A resumed run goes on in the same wandb run, which then holds every point of the undisturbed run once."""

import os
import random
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import wandb

from cyclegan.loggers import new_run_id
from cyclegan.loggers.wandb import Wandb
from cyclegan.loggers.wandb_files import whole_records
from cyclegan.train.command import train
from tests.loggers.offline_runs import Stored, stored, stored_runs
from tests.tiny_run import StoppedError, composed, stop_at


def test_ids_are_new_whatever_the_seed() -> None:
    ids = set()
    for _ in range(100):
        random.seed(0)  # as every run does
        ids.add(new_run_id())
    assert len(ids) == 100
    assert all(re.fullmatch("[a-z0-9]{8}", one) for one in ids)


def test_an_id_is_drawn_without_wandb() -> None:
    code = "import sys; from cyclegan.loggers import new_run_id; new_run_id(); sys.exit('wandb' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def logger(run_dir: Path, id: str | None = "aaaa1111") -> Wandb:  # noqa: A002
    return Wandb(str(run_dir), project="p", name="n", id=id)


# -------------------------------------------------------------------------------------------- offline


@pytest.fixture
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PL_GLOBAL_SEED", raising=False)  # which a run sets
    monkeypatch.setattr("sys.argv", ["cyclegan-train"])


def rows(parts: list[Stored]) -> list[dict[str, Any]]:
    """What a run logged, sorted by position, without what a clock fills in and without wandb's own numbers."""
    found = []
    for part in parts:
        for row in part.history:
            kept = {name: value for name, value in row.items() if name[0] != "_" and name != "images_per_s"}
            found.append({"images": len(kept["samples.filenames"])} if "samples.filenames" in kept else kept)
            found[-1]["images_seen"] = row["images_seen"]
    return sorted(found, key=lambda row: (row["images_seen"], "images" in row))


@pytest.mark.usefixtures("quiet")
def test_a_run_that_was_cut_off_twice_holds_every_point_once(tmp_path: Path) -> None:
    root, whole, cut = tmp_path / "toy", tmp_path / "whole", tmp_path / "cut"
    saves = ("callbacks.checkpointing.every_n_epochs=2", "callbacks.checkpointing.best=null")
    options = ("logger=default", "trainer.max_epochs=3", *saves)
    train(composed(whole, root, *options))
    # Three batches an epoch. Checkpoints hold two epochs and the end, so rows and an image are repeated twice.
    for step in (5, 8):
        with pytest.raises(StoppedError):
            train(composed(cut, root, *options, "resume=auto", *stop_at("on_train_batch_start", step)))
    train(composed(cut, root, *options, "resume=auto"))

    parts, undisturbed = stored_runs(cut), rows([stored(whole)])
    assert [row["images_seen"] for row in undisturbed] == [
        *(0, 0, 2, 4, 6, 6, 6, 6, 8, 10, 12, 12, 12, 12, 14, 16, 18, 18, 18, 18)  # losses, metrics, alarms, images
    ]
    assert len({part.id for part in parts}) == 1
    assert [part.exit_code for part in parts] == [1, 1, 0]
    assert [len(part.history) for part in parts] == [10, 6, 4], "none is left out that was not stored before"
    assert rows(parts) == undisturbed


def test_a_run_that_was_killed_holds_every_point_once(tmp_path: Path) -> None:
    """wandb's process, which is killed too, writes blocks: the file may end anywhere, also within a row."""
    first = logger(tmp_path)
    for step in range(100):
        first.log_metrics({f"loss/{i}": step + i for i in range(20)}, step=step)
    first.finalize("failed")
    (killed,) = (tmp_path / "wandb").glob("offline-run-*/run-aaaa1111.wandb")
    ends = [end for record, end in whole_records(killed) if record.HasField("history")]
    os.truncate(killed, ends[60] + 20)

    resumed = logger(tmp_path)
    for step in range(10, 120):
        resumed.log_metrics({f"loss/{i}": step + i for i in range(20)}, step=step)
    resumed.finalize("success")
    assert killed.stat().st_size == ends[60], "wandb sync stops at a torn row"
    one, other = stored_runs(tmp_path)
    assert one.id == other.id
    assert one.curve("loss/3") == [(step, step + 3) for step in range(61)]
    assert other.curve("loss/3") == [(step, step + 3) for step in range(61, 120)]


def test_all_calls_of_a_position_are_stored_each_once(tmp_path: Path) -> None:
    """A row and an image share a position; a run that ended between the two repeats the image only."""
    first = logger(tmp_path)
    first.log_metrics({"loss": 1.0}, step=4)
    first.log_metrics({"val": 2.0}, step=4)
    first.log_metrics({"loss": 0.5}, step=8)
    first.finalize("failed")
    second = logger(tmp_path)
    for step in (4, 8, 12):
        second.log_metrics({"loss": 10.0 * step}, step=step)
        second.log_metrics({"val": 10.0 * step}, step=step)
    second.finalize("success")

    one, other = stored_runs(tmp_path)
    assert one.curve("loss") == [(4, 1.0), (8, 0.5)]
    assert one.curve("val") == [(4, 2.0)]
    assert other.curve("loss") == [(12, 120)]
    assert other.curve("val") == [(8, 80), (12, 120)]


@pytest.mark.parametrize("id", [None, "bbbb2222"])
def test_another_run_in_the_folder_begins_at_its_own_beginning(tmp_path: Path, id: str | None) -> None:  # noqa: A002
    for one in ("aaaa1111", id):
        new = logger(tmp_path, one)
        new.log_metrics({"loss": 1.0}, step=4)
        new.finalize("success")
    assert [part.curve("loss") for part in stored_runs(tmp_path)] == [[(4, 1.0)], [(4, 1.0)]]


# -------------------------------------------------------------------------------------------- online


class Online:
    """Stands in for a run on a server, that knows an earlier part of it."""

    def __init__(self, run_dir: Path, summary: dict[str, Any] | None) -> None:
        self.id, self.url = "aaaa1111", "https://wandb.example.org/p/aaaa1111"
        self.dir = str(run_dir / "wandb" / "run-20261121_120000-aaaa1111" / "files")
        self.resumed, self.summary = summary is not None, summary or {}
        self.rows: list[dict[str, Any]] = []
        self.log = self.rows.append

    def define_metric(self, name: str, step_metric: str | None = None) -> None:
        """Is of no interest here."""


def online(run_dir: Path, summary: dict[str, Any] | None, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The positions that reach the server when 0, 4, 8, 12 and 16 are logged."""
    run, asked = Online(run_dir, summary), {}
    monkeypatch.setenv("WANDB_MODE", "online")
    monkeypatch.setattr(wandb, "setup", lambda settings: None)
    monkeypatch.setattr(wandb, "init", lambda **arguments: asked.update(arguments) or run)
    resumed = logger(run_dir)
    for step in (0, 4, 8, 12, 16):
        resumed.log_metrics({"loss": 1.0}, step=step)
    assert (asked["id"], asked["resume"], asked["mode"]) == ("aaaa1111", "allow", "online")
    return [row["images_seen"] for row in run.rows]


def offline_part(run_dir: Path, last: int) -> Path:
    """A part of the same run, up to a position."""
    part = logger(run_dir)
    part.log_metrics({"loss": 1.0}, step=last)
    part.finalize("failed")
    (path,) = (run_dir / "wandb").glob("offline-run-*")
    return path


def test_the_server_says_which_points_it_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert online(tmp_path, {"images_seen": 8}, monkeypatch) == [12, 16]
    assert online(tmp_path, {"images_seen": 0}, monkeypatch) == [4, 8, 12, 16]
    assert online(tmp_path, {}, monkeypatch) == [0, 4, 8, 12, 16], "resumed before its first point"
    assert online(tmp_path, None, monkeypatch) == [0, 4, 8, 12, 16]


def test_offline_parts_count_too_as_they_are_uploaded_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    offline_part(tmp_path, last=12)
    assert online(tmp_path, {"images_seen": 8}, monkeypatch) == [16]


def test_a_part_that_was_online_counts_as_far_as_the_server_has_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its file holds what a killed process no longer sent: the server gets it now, or never."""
    part = offline_part(tmp_path, last=12)
    part.rename(part.with_name(part.name.removeprefix("offline-")))
    assert online(tmp_path, {"images_seen": 8}, monkeypatch) == [12, 16]
    # Without the server, the file is all that is known.
    monkeypatch.undo()
    monkeypatch.setenv("WANDB_MODE", "offline")
    resumed = logger(tmp_path)
    for step in (12, 16):
        resumed.log_metrics({"loss": 1.0}, step=step)
    resumed.finalize("success")
    assert stored(tmp_path).curve("loss") == [(16, 1.0)]
