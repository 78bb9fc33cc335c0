"""Schedule, retention and failures of checkpoint saving."""

import os
import re
import shutil
import signal
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch

from cyclegan.callbacks import checkpointing
from cyclegan.callbacks.checkpointing import Checkpointing
from cyclegan.callbacks.stop_signals import SavingError, StopRequestedError
from cyclegan.checkpoint.reading import read
from cyclegan.errors import CheckpointError, UserError
from cyclegan.loggers.metrics_csv import MetricsCsv
from tests.faults import in_a_child
from tests.small import small_cyclegan
from tests.toy_runs import FullDisk, fit_small, fit_toy, logged, toy_data


class After(pl.Callback):
    """Call a function at the end of a batch."""

    def __init__(self, steps: int, work: Callable[[pl.Trainer], None]) -> None:
        self.steps = steps
        self.work = work

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if trainer.global_step == self.steps:
            self.work(trainer)


def kill_at(step: int, number: signal.Signals = signal.SIGTERM) -> After:
    """Send this process a signal at the end of a batch."""
    return After(step, lambda _: os.kill(os.getpid(), number))


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "checkpoints").iterdir())


@pytest.mark.parametrize(
    ("arguments", "epochs", "expected"),
    [
        # An epoch is three batches of two images; the last epoch's checkpoint is always kept.
        ({}, 2, ["epoch0002", "images000000006", "images000000012", "last"]),
        ({"keep_every_n_epochs": 2, "keep_last": 1}, 5,
         ["epoch0002", "epoch0004", "epoch0005", "images000000030", "last"]),
        ({"every_n_epochs": 2, "keep_last": 9}, 3, ["epoch0003", "images000000012", "images000000018", "last"]),
        # At 4, at the epoch's end (6), where counting restarts, at 10, and at 12.
        ({"every_n_images": 4, "keep_last": 9}, 2,
         ["epoch0002", *(f"images{n:09d}" for n in (4, 6, 10, 12)), "last"]),
    ],
)  # fmt: skip
def test_writes_and_keeps_the_configured_checkpoints(
    tmp_path: Path, arguments: dict[str, Any], epochs: int, expected: list[str]
) -> None:
    fit_small(tmp_path, Checkpointing(str(tmp_path), **arguments), max_epochs=epochs)
    assert names(tmp_path) == [f"{name}.ckpt" for name in expected]
    for name in expected:
        number = int(re.sub(r"\D", "", name) or 0)
        step = 3 * number if name[0] == "e" else number // 2 if name[0] == "i" else 3 * epochs
        assert read(tmp_path / "checkpoints" / f"{name}.ckpt")["global_step"] == step


def test_writes_every_n_minutes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = iter(range(0, 100000, 50))  # 50 s pass between two calls
    monkeypatch.setattr(time, "monotonic", lambda: next(seconds))
    saving = Checkpointing(str(tmp_path), every_n_epochs=None, every_n_minutes=2, keep_last=99)
    fit_toy(small_cyclegan(), toy_data(tmp_path / "toy", train=18), saving)
    # Each batch and each save calls the clock once; the ninth batch ends the epoch.
    assert names(tmp_path) == ["epoch0001.ckpt", *(f"images{n:09d}.ckpt" for n in (6, 12, 18)), "last.ckpt"]


def test_no_checkpoint_is_written_between_accumulated_batches(tmp_path: Path) -> None:
    saving = Checkpointing(str(tmp_path), every_n_images=1, keep_last=99)
    data = toy_data(tmp_path / "toy", train=10)  # five batches: steps after two, four and, at the end, five
    fit_toy(small_cyclegan(), data, saving, accumulate_grad_batches=2)
    assert names(tmp_path) == ["epoch0001.ckpt", *(f"images{n:09d}.ckpt" for n in (4, 8, 10)), "last.ckpt"]


@pytest.mark.parametrize("name", ["every_n_minutes", "give_up_after"])
def test_refuses_numbers_out_of_range(name: str) -> None:
    arguments: dict[str, Any] = {name: 0}
    with pytest.raises(UserError, match=rf"callbacks\.checkpointing\.{name} is 0"):
        Checkpointing("run", **arguments)


def test_a_deleted_folder_is_created_again(tmp_path: Path) -> None:
    remove = After(4, lambda _: shutil.rmtree(tmp_path / "checkpoints"))
    fit_small(tmp_path, remove, Checkpointing(str(tmp_path)), max_epochs=2)
    assert names(tmp_path) == ["epoch0002.ckpt", "images000000012.ckpt", "last.ckpt"]


@pytest.mark.parametrize(
    ("number", "step", "images"),
    [(signal.SIGTERM, 2, 4), (signal.SIGINT, 3, 6)],  # within an epoch and at its end
)
def test_a_signal_ends_the_run_after_its_batch_with_a_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals, step: int, images: int
) -> None:
    before = {n: signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)}
    saving = Checkpointing(str(tmp_path), every_n_epochs=None, keep_every_n_epochs=None)
    logger = MetricsCsv(str(tmp_path))
    ends: list[str] = []
    monkeypatch.setattr(logger, "finalize", ends.append)
    with pytest.raises(StopRequestedError, match=f"stopped by {number.name} at {images} images") as stopped:
        fit_small(tmp_path, kill_at(step, number), saving, max_epochs=3, logger=logger)
    assert ends[0] == "preempted"
    assert stopped.value.newest == tmp_path / "checkpoints" / f"images{images:09d}.ckpt"
    assert not stopped.value.finished
    assert names(tmp_path) == [f"images{images:09d}.ckpt", "last.ckpt"]
    assert read(stopped.value.newest)["global_step"] == step
    assert {n: signal.getsignal(n) for n in before} == before, "handlers are restored"


class KillAtStart(pl.Callback):
    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        os.kill(os.getpid(), signal.SIGTERM)


def test_sigterm_before_the_first_batch_ends_the_process_like_any_other(tmp_path: Path) -> None:
    # Lightning alone would end it after the first batch, without an error: as if it had finished.
    def work() -> None:
        fit_small(tmp_path, KillAtStart(), Checkpointing(str(tmp_path)))

    assert in_a_child(work) == -signal.SIGTERM


def test_a_signal_in_the_very_last_batch_lets_the_run_finish(tmp_path: Path) -> None:
    trainer = fit_small(tmp_path, kill_at(3), Checkpointing(str(tmp_path)))
    assert trainer.state.finished
    assert names(tmp_path) == ["epoch0001.ckpt", "images000000006.ckpt", "last.ckpt"]


def test_a_time_limit_ends_the_run_between_two_batches_as_finished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Lightning alone would count the interrupted epoch as completed.
    logger = MetricsCsv(str(tmp_path))
    ends: list[str] = []
    monkeypatch.setattr(logger, "finalize", ends.append)
    limit = timedelta(microseconds=1)
    with pytest.raises(StopRequestedError, match=r"trainer\.max_time") as stopped:
        fit_small(tmp_path, Checkpointing(str(tmp_path)), max_time=limit, max_epochs=3, logger=logger)
    assert stopped.value.finished
    assert ends[0] == "success"
    assert read(tmp_path / "checkpoints" / "last.ckpt")["loops"]["fit_loop"]["epoch_progress"]["current"] == {
        "ready": 1, "started": 1, "processed": 0, "completed": 0,
    }  # fmt: skip


def test_training_continues_when_a_save_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    disk = FullDisk(monkeypatch, 1, 3, 4)
    trainer = fit_small(tmp_path, Checkpointing(str(tmp_path), keep_last=9, best=None), max_epochs=5)
    assert (trainer.global_step, disk.saves) == (15, 5)
    assert names(tmp_path) == ["epoch0005.ckpt", "images000000012.ckpt", "images000000030.ckpt", "last.ckpt"]
    warnings = logged(caplog)
    assert len(warnings) == 3
    assert "No space left on device" in warnings[0]
    assert "there is none yet" in warnings[0]
    assert "failure 1 of 5" in warnings[1]
    assert f"the last good one is {tmp_path / 'checkpoints' / 'images000000012.ckpt'}" in warnings[2]


def test_training_ends_after_several_failed_saves_in_a_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    FullDisk(monkeypatch, 2, 3)
    with pytest.raises(SavingError, match=r"2 times in a row.*No space left.*last good one is .*images000000006\.ckpt"):
        fit_small(tmp_path, Checkpointing(str(tmp_path), give_up_after=2), max_epochs=9)


def test_the_last_save_is_tried_again_while_the_disk_is_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    disk = FullDisk(monkeypatch, *range(2, 9))  # more failures than give_up_after
    monkeypatch.setattr(checkpointing, "RETRY_SECONDS", 0.0)
    with pytest.raises(StopRequestedError, match="at 8 images"):
        fit_small(tmp_path, kill_at(4), Checkpointing(str(tmp_path), best=None), max_epochs=3)
    assert disk.saves == 9
    assert read(tmp_path / "checkpoints" / "last.ckpt")["global_step"] == 4
    newest, before = (tmp_path / "checkpoints" / f"images{n:09d}.ckpt" for n in (8, 6))
    assert logged(caplog) == [
        "save      failed, retrying for 10 minutes: [Errno 28] No space left on device: "
        f"'{newest}'; the last good one is {before}"
    ]


@pytest.mark.parametrize("arguments", [{}, {"max_time": timedelta(microseconds=1)}], ids=str)
def test_a_run_without_its_last_state_on_disk_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: dict[str, Any]
) -> None:
    disk = FullDisk(monkeypatch, *range(1, 100))
    saving = Checkpointing(str(tmp_path), every_n_epochs=1, retry_minutes=None)
    with pytest.raises(
        SavingError, match=r"its last state could not be saved in .*: .*No space left.*; there is none yet"
    ):
        fit_small(tmp_path, saving, max_epochs=2, **arguments)
    assert disk.saves == (1 if "max_time" in arguments else 2)


def test_weights_that_are_not_finite_end_the_run_and_leave_the_last_good_checkpoint(tmp_path: Path) -> None:
    def spoil(trainer: pl.Trainer) -> None:
        with torch.no_grad():
            next(trainer.lightning_module.parameters())[0] = float("nan")

    with pytest.raises(
        CheckpointError, match=r"state_dict\.gen_ab.*not finite; the last good one is .*images000000006"
    ):
        fit_small(tmp_path, After(6, spoil), Checkpointing(str(tmp_path)), max_epochs=3)
    assert names(tmp_path) == ["images000000006.ckpt", "last.ckpt"]


def test_a_checkpoint_is_removed_only_if_a_newer_one_is_intact(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = pl.Trainer.save_checkpoint

    def save_and_flip_a_bit(trainer: pl.Trainer, path: Path, **named: Any) -> None:
        original(trainer, path, **named)
        if trainer.current_epoch == 2:  # of 0, 1, 2, 3
            content = bytearray(path.read_bytes())
            content[len(content) // 2] ^= 1
            path.write_bytes(content)

    monkeypatch.setattr(pl.Trainer, "save_checkpoint", save_and_flip_a_bit)
    found: list[list[str]] = []
    look = [After(steps, lambda _: found.append(names(tmp_path))) for steps in (7, 10)]  # in the third and fourth epoch
    fit_small(tmp_path, *look, Checkpointing(str(tmp_path), keep_last=1), max_epochs=4)
    assert found[0] == ["images000000012.ckpt", "last.ckpt"]
    assert found[1] == ["images000000012.ckpt", "images000000018.ckpt", "last.ckpt"], "the new one is damaged"
    assert names(tmp_path) == ["epoch0004.ckpt", "images000000024.ckpt", "last.ckpt"]


def test_a_run_that_resumes_from_an_earlier_checkpoint_removes_later_ones(tmp_path: Path) -> None:
    fit_small(tmp_path, Checkpointing(str(tmp_path), keep_every_n_epochs=1), max_epochs=3)
    again, earlier = Checkpointing(str(tmp_path), every_n_images=2), tmp_path / "checkpoints" / "epoch0001.ckpt"
    with pytest.raises(StopRequestedError):
        fit_small(tmp_path, kill_at(4), again, resume=earlier, max_epochs=3)
    kept = ["epoch0001.ckpt", "epoch0002.ckpt", "epoch0003.ckpt", "images000000008.ckpt", "last.ckpt"]
    assert names(tmp_path) == kept
    assert read(tmp_path / "checkpoints" / "last.ckpt")["global_step"] == 4
