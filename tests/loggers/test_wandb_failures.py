"""Failures of wandb: one warning, and training continues."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import wandb

from cyclegan.loggers.wandb import Wandb
from cyclegan.train.command import train
from tests.loggers.fake_run import FakeRun, replace_init
from tests.tiny_run import UNMEASURED, composed, training_rows
from tests.toy_runs import logged


@pytest.fixture(autouse=True)
def online(monkeypatch: pytest.MonkeyPatch, quiet: None) -> None:
    monkeypatch.setenv("WANDB_MODE", "online")


def failing(error: Exception) -> Callable[..., Any]:
    def init(**arguments: Any) -> Any:
        raise error

    return init


def logger_at(folder: Path) -> Wandb:
    return Wandb(str(folder), project="p", name="n", id="aaaa1111")


def used(folder: Path) -> Wandb:
    """Log hyperparameters and two rows to a new logger, and finalize it."""
    logger = logger_at(folder)
    logger.log_hyperparams({"seed": 1})
    for step in (4, 8):
        logger.log_metrics({"loss": 1.0}, step=step)
    logger.finalize("success")
    return logger


def test_a_server_that_cannot_be_reached_makes_the_run_offline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    run = FakeRun(offline=True)
    no_server = failing(wandb.errors.CommError("no\nroute to host"))
    started = replace_init(monkeypatch, online=no_server, offline=lambda **_: run)
    monkeypatch.setattr(wandb, "teardown", lambda: started.append("teardown"))
    used(tmp_path)
    assert logged(caplog) == [
        f"wandb     offline, CommError: no route to host; to upload: wandb sync {tmp_path}/wandb/offline-run-*"
    ]
    assert started == ["online", "teardown", "offline", "teardown"], "the id is in use until wandb's process ends"
    assert run.curve("loss") == [(4, 1.0), (8, 1.0)]


def test_training_continues_if_offline_mode_fails_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    full = OSError(28, "No space left on device")
    key = wandb.errors.AuthenticationError("key")
    started = replace_init(monkeypatch, online=failing(key), offline=failing(full))
    train(composed(tmp_path / "run", tmp_path / "toy", "logger=default", *UNMEASURED))
    assert [row["images_seen"] for row in training_rows(tmp_path / "run")] == [2, 4, 6, 8, 10, 12]
    assert logged(caplog, "cyclegan.loggers.wandb") == [
        "wandb     off from here on, training continues: OSError: [Errno 28] No space left on device"
    ]
    assert started == ["online", "offline"], "each mode is tried once"


@pytest.mark.parametrize("name", ["define_metric", "config.update", "log", "finish"])
def test_after_a_failed_call_only_the_run_is_finished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    run = FakeRun(name)
    started = replace_init(monkeypatch, online=lambda **_: run)
    logger = used(tmp_path)
    logger.flag("alarm/copies_input", "A→B", step=8)
    logger.experiment.summary.update({"a": 1})
    logger.finalize("success")
    assert logged(caplog) == ["wandb     off from here on, training continues: ConnectionResetError: Connection lost"]
    after = run.calls[run.calls.index(name) + 1 :]
    assert after == ([] if name == "finish" else ["exit 0", "finish"])
    assert started == ["online"]


def test_a_failed_alert_is_one_warning_and_metrics_are_still_logged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    run = FakeRun("alert")
    replace_init(monkeypatch, online=lambda **_: run)
    logger = logger_at(tmp_path)
    logger.flag("alarm/copies_input", "A→B", step=4)
    logger.log_metrics({"loss": 1.0}, step=4)
    assert run.curve("loss") == [(4, 1.0)]
    assert logged(caplog) == ["wandb     an alert could not be sent: ConnectionResetError: Connection lost"]


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ("success", ["exit 0", "finish"]),
        ("preempted", ["mark_preempting", "exit 1", "finish"]),
        ("failed", ["exit 1", "finish"]),
    ],
)
def test_the_run_ends_once_and_with_its_status(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: str, expected: list[str]
) -> None:
    run = FakeRun()
    started = replace_init(monkeypatch, online=lambda **_: run)
    logger = logger_at(tmp_path)
    logger.finalize(status)
    assert started == [], "no run was started"
    logger.log_metrics({"loss": 1.0}, step=4)
    logger.finalize(status)
    logger.finalize("failed")  # as Lightning does after an error
    assert run.calls == ["define_metric", "define_metric", "log", *expected]


def test_an_upload_that_takes_too_long_is_abandoned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class Slow(FakeRun):
        def finish(self, exit_code: int) -> None:
            raise TimeoutError("Timed out finishing run.")  # as wandb does

    replace_init(monkeypatch, online=lambda **_: Slow())
    used(tmp_path)
    assert logged(caplog) == ["wandb     uploads stopped after 120 s, the last points may be missing"]


def test_an_image_that_wandb_cannot_write_is_one_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    replace_init(monkeypatch, online=lambda **_: FakeRun())
    logger_at(tmp_path).log_image("samples", [str(tmp_path / "missing.jpg")], step=4)
    (line,) = logged(caplog)
    assert line.startswith("wandb     off from here on, training continues: FileNotFoundError: ")
