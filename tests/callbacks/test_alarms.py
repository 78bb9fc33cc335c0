"""Logging of alarms during training and after a resume."""

import logging
import math
from pathlib import Path
from typing import Any

import hydra.utils
import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.loggers.logger import Logger

from cyclegan.alarms import History, Threshold, default_rules
from cyclegan.callbacks.alarms import REMEMBERED, Alarms
from tests.callbacks.given_metrics import GivenMetrics
from tests.small import small_cyclegan
from tests.toy_runs import fit_small, fit_toy, toy_data

NAMES = [rule.name for rule in default_rules()]
COPIES, FINE = {"change_ab": 0.01}, {"change_ab": 0.3}
SCRIPT = [COPIES, COPIES, FINE, COPIES, COPIES, FINE]


class Recorder(Logger):
    """A logger that stores rows and alerts."""

    name = version = "recorder"

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[tuple[int | None, dict[str, float]]] = []
        self.alerts: list[tuple[str, str, int]] = []

    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """Ignore them."""

    def log_metrics(self, metrics: Any, step: int | None = None) -> None:
        self.rows.append((step, dict(metrics)))

    def flag(self, name: str, text: str, step: int) -> None:
        self.alerts.append((name, text, step))

    def curve(self, name: str) -> list[tuple[int | None, float]]:
        return [(step, row[name]) for step, row in self.rows if name in row]


def run(
    folder: Path, script: list[dict[str, float] | None], *callbacks: pl.Callback, rules: Any = None, **arguments: Any
) -> Alarms:
    """Train one epoch of 6 images for each validation of the script."""
    alarms, validation = Alarms(rules), GivenMetrics(*script)
    defaults: dict[str, Any] = {"max_epochs": len(script)}
    fit_toy(small_cyclegan(), toy_data(folder / "toy"), validation, alarms, *callbacks, **defaults | arguments)
    return alarms


def logged(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [message for message in caplog.messages if message.startswith("alarm     ")]


def test_an_alarm_is_logged_when_it_begins_and_when_it_ends(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    logger = Recorder()
    with caplog.at_level(logging.INFO, "cyclegan.callbacks.alarms"):
        run(tmp_path, [COPIES, COPIES, None, COPIES, FINE], logger=logger)
    raised, cleared = logged(caplog)
    text = raised.removeprefix("alarm     copies_input raised: ")
    assert text.startswith("A→B: the generator copies its input, change is 0.01 (alarm: below 0.05")
    assert text.endswith("try a larger model.loss_weights.adversarial, or a smaller model.loss_weights.identity")
    assert cleared == "alarm     copies_input cleared"
    assert logger.alerts == [("alarm/copies_input", text, 12)]
    # The third epoch has no validation.
    assert logger.curve("alarm/copies_input") == [(6, 0), (12, 1), (24, 1), (30, 0)]
    assert logger.curve("epoch") == [(6, 1), (12, 2), (24, 4), (30, 5)]
    assert all(len(logger.curve(f"alarm/{name}")) == 4 for name in NAMES)


def test_an_alarm_is_logged_again_for_another_direction(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    both = {"change_ab": 0.01, "change_ba": 0.02}
    one = {"change_ab": 0.01, "change_ba": 0.3}
    run(tmp_path, [one, both, both, one, both, both])
    first, second = logged(caplog)
    assert "B→A" not in first
    assert "A→B" in second
    assert "; B→A" in second


def test_rules_can_be_set_in_yaml(tmp_path: Path) -> None:
    rule = {"_target_": "cyclegan.alarms.Threshold", "name": "mine", "metric": "change", "below": 0.4, "validations": 1}
    alarms = hydra.utils.instantiate({"_target_": "cyclegan.callbacks.alarms.Alarms", "rules": [rule]})
    logger = Recorder()
    run(tmp_path, [FINE], rules=alarms.rules, logger=logger)
    assert logger.rows == [(6, {"alarm/mine": 1.0, "epoch": 1.0})]
    assert logger.alerts == [("alarm/mine", "A→B: change is 0.3 (alarm: below 0.4, 1 validations in a row)", 6)]


def test_rules_with_the_same_name_are_refused() -> None:
    with pytest.raises(ValueError, match="twin more than once"):
        Alarms([Threshold("twin", "change", below=1), Threshold("twin", "variety", below=1)])


class Reads:
    """A rule that stores the histories it receives."""

    name = "reads"

    def __init__(self) -> None:
        self.received: list[History] = []

    def check(self, history: History) -> dict[str, str]:
        self.received.append(list(history))
        return {}


def test_rules_see_all_metrics_as_plain_numbers(tmp_path: Path) -> None:
    rule = Reads()
    script: list[Any] = [{"kid": torch.tensor(0.5)}, None, {"kid": 0.25, "change_ab": math.nan}]
    alarms = run(tmp_path, script, rules=[rule])
    assert [len(history) for history in rule.received] == [1, 2]
    first, second = rule.received[1]
    assert first == {"kid": 0.5, "images": 6, "epoch": 1.0}
    assert (second["kid"], second["images"], second["epoch"]) == (0.25, 18, 3.0)
    assert all(type(value) in (int, float) for row in alarms.state_dict()["history"] for value in row.values())


def test_the_history_is_bounded_and_alarms_of_removed_rules_are_dropped(tmp_path: Path) -> None:
    alarms = Alarms()
    long = [{"change_ab": 0.3, "epoch": float(epoch), "images": epoch} for epoch in range(1, REMEMBERED + 1)]
    alarms.load_state_dict({"history": long, "raised": {"removed": ["ab"], "outputs_alike": ["ba"]}})
    assert alarms.raised == {"outputs_alike": ["ba"]}
    fit_small(tmp_path, GivenMetrics(FINE), alarms)
    assert len(alarms.history) == REMEMBERED
    assert (alarms.history[0]["images"], alarms.history[-1]["images"]) == (2, 6)


class SaveAt(pl.Callback):
    """Write a checkpoint at the end of an epoch, after the alarms callback."""

    def __init__(self, path: Path, epoch: int) -> None:
        self.path, self.epoch = path, epoch

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.current_epoch + 1 == self.epoch:
            trainer.save_checkpoint(self.path)


@pytest.mark.parametrize("epoch", [1, 5])
def test_a_resumed_run_logs_the_same_alarms_as_an_uninterrupted_run(tmp_path: Path, epoch: int) -> None:
    full, cut, saved = Recorder(), Recorder(), tmp_path / "saved.ckpt"
    uninterrupted = run(tmp_path, list(SCRIPT), SaveAt(saved, epoch), logger=full)
    assert [step for _, _, step in full.alerts] == [12, 30]
    resumed = run(tmp_path, list(SCRIPT), resume=saved, logger=cut)
    assert resumed.state_dict() == uninterrupted.state_dict()
    assert cut.rows == [row for row in full.rows if row[0] and row[0] > 6 * epoch]
    assert cut.alerts == [alert for alert in full.alerts if alert[2] > 6 * epoch]
