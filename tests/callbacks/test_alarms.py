"""Logging of alarms during training and after a resume."""

import logging
from pathlib import Path
from typing import Any

import hydra.utils
import pytest
import torch
from pytorch_lightning.loggers.logger import Logger

from cyclegan.alarms import Threshold, default_rules
from cyclegan.callbacks.alarms import REMEMBERED, Alarms
from cyclegan.callbacks.checkpointing import Checkpointing
from cyclegan.errors import UserError
from tests.callbacks.given_metrics import GivenMetrics
from tests.toy_runs import fit_small, logged

NAMES = [rule.name for rule in default_rules()]
COPIES, FINE = {"change_ab": 0.01}, {"change_ab": 0.3}


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


def run(folder: Path, script: list[dict[str, float] | None], **arguments: Any) -> Alarms:
    """Train one epoch of 6 images for each validation of the script."""
    alarms, saving = Alarms(), Checkpointing(str(folder), keep_every_n_epochs=1, best=None)
    fit_small(folder, GivenMetrics(*script), alarms, saving, max_epochs=len(script), **arguments)
    return alarms


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


def test_rules_can_be_set_in_yaml() -> None:
    rule = {"_target_": "cyclegan.alarms.Threshold", "name": "mine", "metric": "change", "below": 0.4, "validations": 1}
    alarms = hydra.utils.instantiate({"_target_": "cyclegan.callbacks.alarms.Alarms", "rules": [rule]})
    assert [vars(found) for found in alarms.rules] == [vars(Threshold("mine", "change", below=0.4, validations=1))]


def test_rules_with_the_same_name_are_refused() -> None:
    with pytest.raises(UserError, match="twin, twin; names must differ"):
        Alarms([Threshold("twin", "change", below=1), Threshold("twin", "variety", below=1)])


def test_the_history_is_plain_and_bounded_and_alarms_of_removed_rules_are_dropped(tmp_path: Path) -> None:
    alarms = Alarms()
    long = [{"change_ab": 0.3, "epoch": float(epoch), "images": epoch} for epoch in range(1, REMEMBERED + 1)]
    alarms.load_state_dict({"history": long, "raised": {"removed": ["ab"], "outputs_alike": ["ba"]}})
    assert alarms.raised == {"outputs_alike": ["ba"]}
    script: list[Any] = [None, {"kid": torch.tensor(0.5)}]
    fit_small(tmp_path, GivenMetrics(*script), alarms, max_epochs=2)
    assert alarms.history == [*long[1:], {"kid": 0.5, "epoch": 2.0, "images": 12}]
    assert type(alarms.history[-1]["kid"]) is float


@pytest.mark.parametrize("epoch", [1, 5])
def test_a_resumed_run_logs_the_same_alarms_as_an_uninterrupted_run(tmp_path: Path, epoch: int) -> None:
    full, cut, saved = Recorder(), Recorder(), tmp_path / "checkpoints" / f"epoch{epoch:04d}.ckpt"
    script = [COPIES, COPIES, FINE, COPIES, COPIES, FINE]
    uninterrupted = run(tmp_path, [*script], logger=full)
    assert [step for _, _, step in full.alerts] == [12, 30]
    resumed = run(tmp_path, [*script], resume=saved, logger=cut)
    assert resumed.state_dict() == uninterrupted.state_dict()
    assert cut.rows == [row for row in full.rows if row[0] and row[0] > 6 * epoch]
    assert cut.alerts == [alert for alert in full.alerts if alert[2] > 6 * epoch]
