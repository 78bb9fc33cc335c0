"""Progress bar on a terminal, one line per epoch elsewhere."""

import io
import logging
import re
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import pytorch_lightning as pl

from cyclegan.callbacks import progress
from cyclegan.callbacks.progress import RunProgress
from tests.small import small_cyclegan
from tests.tiny_run import StopAt, StoppedError
from tests.toy_runs import fit_small, fit_toy, logged, toy_data


class Screen(io.StringIO):
    """A terminal that stores its output."""

    def isatty(self) -> bool:
        return True

    def frames(self) -> list[str]:
        """Return successive states of the bar."""
        return [frame.rstrip() for frame in re.split(r"[\r\n]", self.getvalue()) if frame.strip()]


def terminal(monkeypatch: pytest.MonkeyPatch) -> Screen:
    """Replace stderr by a terminal. Not a fixture, as pytest sets stderr after a test's setup."""
    fake = Screen()
    monkeypatch.setattr(sys, "stderr", fake)
    monkeypatch.setenv("COLUMNS", "200")
    return fake


def summed(trainer: pl.Trainer) -> str:
    """Format the losses, summed over directions and domains."""
    value = {name: float(loss) for name, loss in trainer.callback_metrics.items()}
    return " ".join(
        f"{term} {value[f'train/{term}_{one}'] + value[f'train/{term}_{other}']:.3f}"
        for term, one, other in (("adv", "ab", "ba"), ("cycle", "a", "b"), ("identity", "a", "b"), ("disc", "a", "b"))
    )


def test_on_a_terminal_a_bar_counts_the_images_of_the_whole_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    screen = terminal(monkeypatch)
    trainer = fit_small(tmp_path, RunProgress(), max_epochs=2)
    first, last = screen.frames()[0], screen.frames()[-1]
    assert "0/12 [" in first  # two epochs of three batches of two
    assert last.startswith("epoch 2 of 2: 100%")
    assert "12/12 [" in last
    assert "img" in last
    assert summed(trainer) in last
    assert screen.getvalue().endswith("\n")


def test_a_resumed_bar_starts_at_the_position_of_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    screen = terminal(monkeypatch)
    data = toy_data(tmp_path / "toy")
    fit_toy(small_cyclegan(), data).save_checkpoint(tmp_path / "first.ckpt")
    assert screen.frames() == []
    fit_toy(small_cyclegan(), data, RunProgress(), max_epochs=2, resume=tmp_path / "first.ckpt")
    assert "6/12 [" in screen.frames()[0]
    assert "12/12 [" in screen.frames()[-1]


def test_the_bar_counts_every_half_second_and_reads_losses_when_their_row_is_due(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal(monkeypatch)
    data = toy_data(tmp_path / "toy", train=20)  # ten batches
    monkeypatch.setattr(progress, "time", SimpleNamespace(monotonic=lambda: 100 + data.images_seen / 10))
    read_at: list[int] = []
    shown_at: list[int] = []

    def count(trainer: pl.Trainer) -> str:
        read_at.append(data.images_seen)
        return "losses"

    def count_frame(trainer: pl.Trainer) -> str:
        shown_at.append(data.images_seen)
        return "epoch"

    monkeypatch.setattr(progress, "losses", count)
    monkeypatch.setattr(progress, "_epoch", count_frame)
    fit_toy(small_cyclegan(), data, RunProgress(), log_every_n_steps=3)
    # Batches of two images take 0.2 s. Reading losses makes a GPU wait: only at rows, and at the end of the epoch.
    assert shown_at == [2, 8, 14, 20, 20]
    assert read_at == [6, 12, 18, 20]


def test_an_error_closes_the_bar(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    screen = terminal(monkeypatch)
    with pytest.raises(StoppedError):
        fit_small(tmp_path, RunProgress(), StopAt("on_train_batch_start", 2))
    assert screen.frames() != []
    assert screen.getvalue().endswith("\n")


def test_without_a_terminal_a_line_per_epoch_shows_losses_speed_and_time_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    data = toy_data(tmp_path / "toy")
    monkeypatch.setattr(progress, "time", SimpleNamespace(monotonic=lambda: 1000.0 + 20 * data.images_seen))
    with caplog.at_level(logging.INFO, "cyclegan"):
        trainer = fit_toy(small_cyclegan(), data, RunProgress(), max_epochs=3)
    lines = logged(caplog, progress.__name__)
    assert [re.sub(r"  adv .*  ", " … ", line) for line in lines] == [
        "epoch 1 of 3 … 0.1 img/s, 04:00 left",  # 12 of 18 images at 0.05 a second
        "epoch 2 of 3 … 0.1 img/s, 02:00 left",
        "epoch 3 of 3 … 0.1 img/s",
    ]
    assert summed(trainer) in lines[-1]


def test_a_disabled_bar_shows_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    screen = terminal(monkeypatch)
    bar = RunProgress()
    bar.disable()
    with caplog.at_level(logging.INFO, "cyclegan"):
        fit_small(tmp_path, bar)
    assert screen.getvalue() == ""
    assert logged(caplog, progress.__name__) == []
