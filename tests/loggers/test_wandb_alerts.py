"""Alarms as alerts of wandb: each is sent once, and one that fails costs nothing else."""

from pathlib import Path
from typing import Any

import pytest
import wandb

from cyclegan.loggers.wandb import Wandb
from tests.loggers.offline_runs import records, stored_runs


def logger(run_dir: Path) -> Wandb:
    return Wandb(str(run_dir), project="p", name="n", id="aaaa1111")


def alerts(run_dir: Path) -> list[list[tuple[str, str, str]]]:
    """Title, text and level of every part's alerts, as wandb will upload them."""
    return [
        [
            (record.alert.title, record.alert.text, record.alert.level)
            for record in records(part)
            if record.WhichOneof("record_type") == "alert"
        ]
        for part in sorted((run_dir / "wandb").glob("offline-run-*"))
    ]


def test_an_alert_is_stored_and_a_resumed_run_does_not_repeat_it(tmp_path: Path) -> None:
    for last in (8, 12):  # the second part begins again at 4
        part = logger(tmp_path)
        for step in range(4, last + 1, 4):
            if step != 4:
                part.flag("alarm/copies_input", f"A→B copies at {step}", step=step)
            part.log_metrics({"alarm/copies_input": float(step != 4)}, step=step)
        part.finalize("failed")
    first, second = alerts(tmp_path)
    assert first == [("alarm/copies_input", "A→B copies at 8", "WARN")]
    assert second == [("alarm/copies_input", "A→B copies at 12", "WARN")]
    assert [run.curve("alarm/copies_input") for run in stored_runs(tmp_path)] == [[(4, 0), (8, 1)], [(12, 1)]]


class NoAlerts:
    """Stands in for a run of a version or server that has none."""

    def __init__(self) -> None:
        self.id, self.url, self.dir, self.resumed = "aaaa1111", "https://wandb.example.org", "/nowhere/files", False
        self.rows: list[dict[str, Any]] = []
        self.log = self.rows.append

    def define_metric(self, name: str, step_metric: str | None = None) -> None:
        """Is of no interest here."""


def test_without_alerts_the_metrics_are_logged_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    run = NoAlerts()
    monkeypatch.setenv("WANDB_MODE", "online")
    monkeypatch.setattr(wandb, "setup", lambda settings: None)
    monkeypatch.setattr(wandb, "init", lambda **arguments: run)
    one = logger(tmp_path)
    one.log_metrics({"loss": 1.0}, step=4)
    one.flag("alarm/copies_input", "A→B", step=8)
    one.log_metrics({"loss": 2.0}, step=8)
    assert [row["loss"] for row in run.rows] == [1.0, 2.0]
    (line,) = caplog.messages
    assert line.startswith("wandb     took no alert, and goes on without: AttributeError: ")
    assert "alert" in line


def test_a_wandb_that_is_off_takes_alerts_and_does_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refused(**arguments: Any) -> Any:
        raise ConnectionResetError("Connection lost")

    monkeypatch.setattr(wandb, "init", refused)
    one = logger(tmp_path)
    one.flag("alarm/copies_input", "A→B", step=8)
    assert [line.partition(",")[0] for line in caplog.messages] == ["wandb     off from here on"]
