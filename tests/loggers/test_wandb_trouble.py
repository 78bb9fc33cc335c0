"""Whatever happens to wandb, the training ends as it would without it, and one line says what happened."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import wandb

from cyclegan.loggers.wandb import Wandb
from cyclegan.train.command import train
from tests.loggers.offline_runs import stored
from tests.tiny_run import composed, training_rows

POSITIONS = [2, 4, 6, 8, 10, 12]  # of the rows of a tiny run


class Run:
    """Stands in for a wandb run, and writes down what is asked of it; some of it fails."""

    def __init__(self, failing: str = "") -> None:
        self.failing = failing
        self.id, self.url, self.dir, self.resumed = "aaaa1111", "https://wandb.example.org", "/nowhere/files", False
        self.asked: list[str] = []
        self.config = self

    def _ask(self, what: str) -> None:
        self.asked.append(what)
        if what == self.failing:
            raise ConnectionResetError("Connection\nlost")

    def define_metric(self, name: str, step_metric: str | None = None) -> None:
        self._ask("define_metric")

    def update(self, config: dict[str, Any], allow_val_change: bool) -> None:
        self._ask("config.update")

    def log(self, row: dict[str, Any]) -> None:
        self._ask("log")

    def mark_preempting(self) -> None:
        self._ask("mark_preempting")

    def finish(self, exit_code: int) -> None:
        self.asked.append(f"exit {exit_code}")
        self._ask("finish")


@pytest.fixture
def begun(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What happened between this process and wandb's: runs that were begun, and the end of that process."""
    monkeypatch.delenv("PL_GLOBAL_SEED", raising=False)
    monkeypatch.setattr("sys.argv", ["cyclegan-train"])
    monkeypatch.setenv("WANDB_MODE", "online")
    events: list[Any] = []
    teardown = wandb.teardown

    def noted() -> None:
        events.append("teardown")
        teardown()

    monkeypatch.setattr(wandb, "teardown", noted)
    return events


def replace_init(monkeypatch: pytest.MonkeyPatch, begun: list[Any], **by_mode: Callable[..., Any]) -> None:
    """Lets wandb.init do something else, by the mode that it is asked for."""

    def init(**arguments: Any) -> Any:
        begun.append(arguments["mode"])
        return by_mode[arguments["mode"]](**arguments)

    monkeypatch.setattr(wandb, "init", init)


def failing(error: Exception) -> Callable[..., Any]:
    def init(**arguments: Any) -> Any:
        raise error

    return init


def trained(folder: Path, caplog: pytest.LogCaptureFixture) -> list[str]:
    """Trains with both default loggers; the warnings that this gave, after a look at metrics.csv."""
    train(composed(folder / "run", folder / "toy", "logger=default"))
    assert [row["images_seen"] for row in training_rows(folder / "run")] == POSITIONS
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


# ------------------------------------------------------------------------------------ the beginning


def test_a_server_that_cannot_be_reached_makes_the_run_offline(
    tmp_path: Path, begun: list[Any], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    no_server = failing(wandb.errors.CommError("no\nroute to host"))
    replace_init(monkeypatch, begun, online=no_server, offline=wandb.init)
    assert trained(tmp_path, caplog) == [
        f"wandb     offline, CommError: no route to host; to upload: wandb sync {tmp_path}/run/wandb/offline-run-*"
    ]
    assert begun == ["online", "teardown", "offline", "teardown"], "an id is in use until wandb's process has ended"
    run = stored(tmp_path / "run")
    assert [seen for seen, _ in run.curve("train/cycle_a")] == POSITIONS
    assert run.exit_code == 0


def test_a_wandb_that_cannot_even_work_offline_is_left_out(
    tmp_path: Path, begun: list[Any], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    full = OSError(28, "No space left on device")
    replace_init(monkeypatch, begun, online=failing(wandb.errors.AuthenticationError("key")), offline=failing(full))
    assert trained(tmp_path, caplog) == [
        "wandb     off from here on, training continues: OSError: [Errno 28] No space left on device"
    ]
    assert [event for event in begun if event != "teardown"] == ["online", "offline"], "and is not tried again"


@pytest.mark.parametrize("mode", ["offline", "disabled"])
def test_no_other_mode_is_tried_after_these(
    tmp_path: Path, begun: list[Any], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, mode: str
) -> None:
    monkeypatch.setenv("WANDB_MODE", mode)
    replace_init(monkeypatch, begun, **{mode: failing(RuntimeError("what"))})
    logger = Wandb(str(tmp_path), project="p", name="n")
    logger.log_metrics({"loss": 1.0}, step=4)
    assert begun == [mode]
    assert len(caplog.messages) == 1


def test_nobody_is_asked_to_log_in(tmp_path: Path, begun: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """wandb does, on a terminal, if only the run is silent; and nothing is waited for without end."""
    settings: list[Any] = []
    monkeypatch.setattr(wandb, "setup", settings.append)

    def init(**arguments: Any) -> Run:
        settings.append(arguments["settings"])
        return Run()

    replace_init(monkeypatch, begun, online=init)
    Wandb(str(tmp_path), project="p", name="n").log_metrics({"loss": 1.0}, step=4)
    for found in settings:
        assert found.silent
    assert len(settings) == 2
    assert (settings[1].init_timeout, settings[1].finish_timeout) == (60, 120)
    assert settings[1].finish_timeout_raises


def test_a_mode_that_wandb_does_not_know_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    wandb.teardown()  # it reads the variable once a process
    monkeypatch.setenv("WANDB_MODE", "onlin")
    (line,) = trained(tmp_path, caplog)
    assert line.startswith("wandb     off from here on, training continues: ValidationError: ")
    assert "'onlin'" in line


# ------------------------------------------------------------------------------------ in between


@pytest.mark.parametrize("failing", ["define_metric", "config.update", "log", "finish"])
def test_a_call_that_fails_is_the_last_one(
    tmp_path: Path,
    begun: list[Any],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    failing: str,
) -> None:
    run = Run(failing)
    replace_init(monkeypatch, begun, online=lambda **arguments: run)
    assert trained(tmp_path, caplog) == [
        "wandb     off from here on, training continues: ConnectionResetError: Connection lost"
    ]
    assert run.asked.count(failing) == 1
    after = run.asked[run.asked.index(failing) + 1 :]
    assert after == ([] if failing == "finish" else ["exit 0", "finish"]), "it is ended, and nothing else"
    assert begun == ["online", "teardown"], "so that the next job of a sweep gets a run of its own"


def test_a_run_that_fails_as_it_begins_can_be_asked_for(
    tmp_path: Path, begun: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lightning does, before it fits."""
    run = Run("define_metric")
    replace_init(monkeypatch, begun, online=lambda **_: run)
    Wandb(str(tmp_path), project="p", name="n").experiment.log({"loss": 1.0})
    assert run.asked == ["define_metric"]


def test_an_image_that_cannot_be_read_is_one_line(
    tmp_path: Path, begun: list[Any], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(wandb, "Image", broken)
    replace_init(monkeypatch, begun, online=lambda **_: Run())
    assert trained(tmp_path, caplog) == [
        "wandb     off from here on, training continues: OSError: [Errno 5] Input/output error"
    ]


def test_what_is_asked_of_a_failed_run_does_nothing(
    tmp_path: Path, begun: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Run("log")
    replace_init(monkeypatch, begun, online=lambda **_: run)
    logger = Wandb(str(tmp_path), project="p", name="n", id="aaaa1111")
    logger.log_metrics({"loss": 1.0}, step=4)
    asked = list(run.asked)
    logger.log_metrics({"loss": 1.0}, step=8)
    logger.log_image("samples", ["missing.jpg"], step=8)
    logger.log_hyperparams({"seed": 1})
    logger.watch(None)  # type: ignore[arg-type]
    logger.save()
    logger.experiment.summary.update({"a": 1})
    assert run.asked == asked
    assert (logger.name, logger.version) == ("p", "aaaa1111")
    logger.finalize("success")
    logger.log_metrics({"loss": 1.0}, step=12)
    assert run.asked == [*asked, "exit 0", "finish"]
    assert begun.count("online") == 1


# ------------------------------------------------------------------------------------ the end


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ("success", ["exit 0", "finish"]),
        ("preempted", ["mark_preempting", "exit 1", "finish"]),
        ("failed", ["exit 1", "finish"]),
    ],
)
def test_the_run_ends_once_and_as_it_went(
    tmp_path: Path, begun: list[Any], monkeypatch: pytest.MonkeyPatch, status: str, expected: list[str]
) -> None:
    run = Run()
    replace_init(monkeypatch, begun, online=lambda **_: run)
    logger = Wandb(str(tmp_path), project="p", name="n")
    logger.finalize(status)
    assert begun == [], "none was begun"
    logger.log_metrics({"loss": 1.0}, step=4)
    logger.finalize(status)
    logger.finalize("failed")  # as Lightning does after an error, such as the one that ends a preempted run
    assert run.asked == ["define_metric", "define_metric", "log", *expected]


def test_a_preempted_run_is_stored_as_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    logger = Wandb(str(tmp_path), project="p", name="n")
    logger.log_metrics({"loss": 1.0}, step=4)
    logger.finalize("preempted")
    run = stored(tmp_path)
    assert (run.is_preempted, run.exit_code) == (True, 1)


def test_an_upload_that_takes_too_long_is_given_up(
    tmp_path: Path, begun: list[Any], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class Slow(Run):
        def finish(self, exit_code: int) -> None:
            raise TimeoutError("Timed out finishing run.")  # as wandb does

    replace_init(monkeypatch, begun, online=lambda **_: Slow())
    assert trained(tmp_path, caplog) == ["wandb     uploads stopped after 120 s, wandb may lack the last points"]
