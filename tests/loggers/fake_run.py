"""A stand-in for a wandb run, for tests without server and without wandb's service process."""

import functools
from collections.abc import Callable
from typing import Any

import pytest
import wandb


class FakeRun:
    """Store the arguments of its calls.

    Args:
        failing: name of a call that raises.
        summary: the summary of the run on the server; None: the run is new.
        offline: whether the run is offline.
    """

    disabled = False
    url = "https://wandb.example.org/aaaa1111"
    id = "aaaa1111"
    tags: tuple[str, ...] = ("mine",)

    def __init__(self, failing: str = "", summary: dict[str, Any] | None = None, offline: bool = False) -> None:
        self.failing = failing
        self.resumed, self.summary = summary is not None, summary or {}
        self.offline = offline
        self.calls: list[str] = []
        self.rows: list[dict[str, Any]] = []
        self.alerts: list[tuple[str, str, str]] = []
        self.axes: dict[str, str | None] = {}
        self.hidden: list[str] = []
        self.artifacts: dict[tuple[str, ...], Any] = {}
        self.stored: dict[str, Any] = {}
        self.config = self

    def _call(self, name: str) -> None:
        self.calls.append(name)
        if name == self.failing:
            raise ConnectionResetError("Connection\nlost")

    def define_metric(self, name: str, step_metric: str | None = None, hidden: bool = False) -> None:
        self.axes[name] = step_metric
        self.hidden += [name] if hidden else []
        self._call("define_metric")

    def update(self, config: dict[str, Any], allow_val_change: bool) -> None:
        self.stored |= config
        self._call("config.update")

    def log(self, row: dict[str, Any]) -> None:
        self.rows.append(row)
        self._call("log")

    def alert(self, title: str, text: str, level: str) -> None:
        self.alerts.append((title, text, level))
        self._call("alert")

    def log_artifact(self, artifact: Any, aliases: list[str]) -> None:
        self.artifacts[tuple(aliases)] = artifact
        self._call("log_artifact")

    def mark_preempting(self) -> None:
        self._call("mark_preempting")

    def finish(self, exit_code: int) -> None:
        self.calls.append(f"exit {exit_code}")
        self._call("finish")

    def curve(self, name: str) -> list[tuple[int, float]]:
        """Return (images seen, value) of every row that has the metric."""
        return [(row["images_seen"], row[name]) for row in self.rows if name in row]


def replace_init(monkeypatch: pytest.MonkeyPatch, **by_mode: Callable[..., Any]) -> list[str]:
    """Replace wandb.init and wandb.setup, with a login; return a list that collects the modes of started runs.

    Args:
        by_mode: replacement of wandb.init for each mode.
    """
    started: list[str] = []

    @functools.wraps(wandb.init)
    def init(**arguments: Any) -> Any:
        started.append(arguments["mode"])
        return by_mode[arguments["mode"]](**arguments)

    monkeypatch.setenv("WANDB_MODE", "online")
    monkeypatch.setattr(wandb, "setup", lambda settings: None)
    monkeypatch.setattr(wandb, "init", init)
    return started
