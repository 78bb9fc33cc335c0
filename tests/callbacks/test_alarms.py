"""Alarms in a run: when they are told, where, and that a run that was cut off tells the same."""

import json
import logging
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import hydra.utils
import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.loggers.logger import Logger

from cyclegan.alarms import CopiesInput, History, OutputsAlike
from cyclegan.callbacks.alarms import REMEMBERED, Alarms
from cyclegan.callbacks.validation import Validation
from cyclegan.loggers.wandb import Wandb
from tests.faults import largest_file
from tests.small import small_cyclegan
from tests.toy_runs import fit_toy, toy_data

NAMES = ["discriminator_won", "copies_input", "outputs_alike", "luminance_inverted", "identity_rising", "checkerboard"]


class Measured(Validation):
    """Stands in for the validation: each epoch has the metrics of a script; none: it is not validated."""

    def __init__(self, script: Sequence[dict[str, float]]) -> None:
        self.script = script
        self.metrics = {}

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.metrics = {"change_ab": 0.0} if trainer.current_epoch == 0 else {}

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.metrics = dict(self.script[trainer.current_epoch])


class Rows(Logger):
    """Keeps what is logged."""

    name = version = "rows"

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[tuple[int | None, dict[str, float]]] = []

    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """Is of no interest here."""

    def log_metrics(self, metrics: Any, step: int | None = None) -> None:
        self.rows.append((step, dict(metrics)))

    def curve(self, name: str) -> list[tuple[int | None, float]]:
        return [(step, row[name]) for step, row in self.rows if name in row]


class Flags(Wandb):
    """wandb, as far as alarms see of it."""

    def __init__(self) -> None:
        self.flags: list[tuple[str, str, int]] = []
        self.order: list[str] = []

    def flag(self, name: str, text: str, step: int) -> None:
        self.flags.append((name, text, step))
        self.order.append("flag")

    def log_metrics(self, metrics: Any, step: int | None = None) -> None:
        self.order.append("log")

    def log_hyperparams(self, params: Any) -> None:
        """Is of no interest here."""

    def finalize(self, status: str) -> None:
        """Is of no interest here."""


COPIES, FINE = {"change_ab": 0.01}, {"change_ab": 0.3}


def run(
    folder: Path, script: Sequence[dict[str, float]], *more: pl.Callback, rules: Any = None, **arguments: Any
) -> Alarms:
    """A training with one epoch, of 6 images, for each validation of the script."""
    alarms = Alarms(str(folder), rules)
    defaults: dict[str, Any] = {"max_epochs": len(script)}
    fit_toy(small_cyclegan(), toy_data(folder / "toy"), Measured(script), alarms, *more, **defaults | arguments)
    return alarms


def rows(folder: Path) -> list[tuple[int, float, str, str]]:
    """What alarms.jsonl holds, but for the texts."""
    found = [json.loads(line) for line in (folder / "alarms.jsonl").read_text().splitlines()]
    return [(row["images"], row["epoch"], row["alarm"], row["state"]) for row in found]


def test_an_alarm_is_told_when_it_begins_and_when_it_ends(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    logger, wandb = Rows(), Flags()
    with caplog.at_level(logging.INFO, "cyclegan.callbacks.alarms"):
        run(tmp_path, [COPIES, COPIES, {}, COPIES, FINE], logger=[logger, wandb])

    assert rows(tmp_path) == [(12, 2, "copies_input", "raised"), (30, 5, "copies_input", "cleared")]
    raised, cleared = (record for record in caplog.records if record.getMessage().startswith("alarm     "))
    text = json.loads((tmp_path / "alarms.jsonl").read_text().splitlines()[0])["text"]
    assert text.startswith("A→B: the generator copies its input")
    assert (raised.levelname, raised.getMessage()) == ("WARNING", f"alarm     copies_input raised: {text}")
    assert (cleared.levelname, cleared.getMessage()[:31]) == ("INFO", "alarm     copies_input cleared:")
    # The third epoch was not validated.
    assert logger.curve("alarm/copies_input") == [(6, 0), (12, 1), (24, 1), (30, 0)]
    assert logger.curve("epoch") == [(6, 1), (12, 2), (24, 4), (30, 5)]
    for name in NAMES:
        assert len(logger.curve(f"alarm/{name}")) == 4, name
    assert wandb.flags == [("alarm/copies_input", text, 12)]
    assert wandb.order == ["log", "flag", "log", "log", "log"], "wandb knows by the curve which flags it has"


def test_a_further_direction_is_told_and_one_that_comes_and_goes_is_not(tmp_path: Path) -> None:
    both = {"change_ab": 0.01, "change_ba": 0.02}
    one = {"change_ab": 0.01, "change_ba": 0.3}
    run(tmp_path, [one, both, both, one, both, both])
    found = [json.loads(line) for line in (tmp_path / "alarms.jsonl").read_text().splitlines()]
    assert [(row["epoch"], row["state"]) for row in found] == [(2, "raised"), (3, "raised")]
    assert "B→A" not in found[0]["text"]
    assert "A→B" in found[1]["text"]
    assert "; B→A" in found[1]["text"]


def test_a_run_that_goes_well_writes_no_file(tmp_path: Path) -> None:
    logger = Rows()
    run(tmp_path, [FINE, FINE, FINE], logger=logger)
    assert not (tmp_path / "alarms.jsonl").exists()
    assert {value for name in NAMES for _, value in logger.curve(f"alarm/{name}")} == {0.0}


def test_without_a_validation_there_are_no_alarms(tmp_path: Path) -> None:
    logger, alarms = Rows(), Alarms(str(tmp_path))
    fit_toy(small_cyclegan(), toy_data(tmp_path / "toy"), alarms, logger=logger)
    assert logger.curve("alarm/copies_input") == []
    assert alarms.history == []


# ------------------------------------------------------------------------------------------ which rules


def test_yaml_names_its_own_rules(tmp_path: Path) -> None:
    target = "cyclegan.alarms.CopiesInput"
    alarms = hydra.utils.instantiate(
        {
            "_target_": "cyclegan.callbacks.alarms.Alarms",
            "run_dir": str(tmp_path),
            "rules": [{"_target_": target, "change": 0.4, "validations": 1}],
        }
    )
    (rule,) = alarms.rules
    assert type(rule) is CopiesInput
    assert (rule.change, rule.validations) == (0.4, 1)
    assert [rule.name for rule in Alarms("run").rules] == NAMES
    logger = Rows()
    run(tmp_path, [FINE], rules=alarms.rules, logger=logger)
    assert rows(tmp_path) == [(6, 1, "copies_input", "raised")]
    assert [name for _, row in logger.rows for name in row if name.startswith("alarm/")] == ["alarm/copies_input"]


def test_two_rules_of_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match="copies_input more than once"):
        Alarms("run", [CopiesInput(), OutputsAlike(), CopiesInput(change=0.1)])


# ------------------------------------------------------------------------------------------ the history


class Reads:
    """A rule that keeps what it is shown."""

    name = "reads"

    def __init__(self) -> None:
        self.shown: list[History] = []

    def check(self, history: History) -> dict[str, str]:
        self.shown.append(list(history))
        return {}


def test_rules_see_all_metrics_as_plain_numbers(tmp_path: Path) -> None:
    rule = Reads()
    script: list[Any] = [{"kid": torch.tensor(0.5)}, {}, {"kid": 0.25, "change_ab": math.nan}]
    alarms = run(tmp_path, script, rules=[rule])
    assert [len(history) for history in rule.shown] == [1, 2]
    first, second = rule.shown[1]
    assert first == {"kid": 0.5, "images": 6, "epoch": 1.0}
    assert (second["kid"], second["images"], second["epoch"]) == (0.25, 18, 3.0)
    assert all(type(value) in (int, float) for row in alarms.state_dict()["history"] for value in row.values())


def test_the_history_has_an_end(tmp_path: Path) -> None:
    alarms = Alarms(str(tmp_path))
    long = [{"change_ab": 0.3, "epoch": float(epoch), "images": epoch} for epoch in range(1, REMEMBERED + 1)]
    alarms.load_state_dict({"history": long, "raised": {}})
    fit_toy(small_cyclegan(), toy_data(tmp_path / "toy"), Measured([FINE]), alarms)
    assert len(alarms.history) == REMEMBERED
    assert (alarms.history[0]["images"], alarms.history[-1]["images"]) == (2, 6)


# ------------------------------------------------------------------------------------------ going on


class SaveAt(pl.Callback):
    """Writes a checkpoint at an epoch's end, after the alarms."""

    def __init__(self, path: Path, epoch: int) -> None:
        self.path, self.epoch = path, epoch

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.current_epoch + 1 == self.epoch:
            trainer.save_checkpoint(self.path)


SCRIPT = [COPIES, COPIES, FINE, COPIES, COPIES, FINE]


@pytest.mark.parametrize("epoch", [1, 2, 3, 5])
def test_a_resumed_run_ends_like_the_undisturbed_one_and_repeats_nothing(
    tmp_path: Path, epoch: int, caplog: pytest.LogCaptureFixture
) -> None:
    whole, cut, saved = tmp_path / "whole", tmp_path / "cut", tmp_path / "saved.ckpt"
    undisturbed = run(whole, SCRIPT)
    assert [row[1] for row in rows(whole)] == [2, 3, 5, 6]

    # It goes on after the checkpoint for a while, and is killed as it writes a row.
    run(cut, SCRIPT[:5], SaveAt(saved, epoch))
    with (cut / "alarms.jsonl").open("a") as file:
        file.write('{"images": 1, "epoch": 0.5, "alarm": "copies')
    before = sum(row[1] <= epoch for row in rows(whole))
    caplog.clear()
    with caplog.at_level(logging.INFO, "cyclegan.callbacks.alarms"):
        resumed = run(cut, SCRIPT, resume=saved)
    assert (cut / "alarms.jsonl").read_bytes() == (whole / "alarms.jsonl").read_bytes()
    assert resumed.state_dict() == undisturbed.state_dict()
    told = [message for message in caplog.messages if message.startswith("alarm     ")]
    assert len(told) == 4 - before


def test_checkpoints_hold_plain_values(tmp_path: Path) -> None:
    run(tmp_path, [COPIES, COPIES], SaveAt(tmp_path / "saved.ckpt", 2))
    state = torch.load(tmp_path / "saved.ckpt", weights_only=True)["callbacks"]["Alarms"]
    assert state["raised"] == {"copies_input": ["ab"]}
    assert [row["images"] for row in state["history"]] == [6, 12]


def test_an_alarm_whose_rule_was_taken_away_is_forgotten(tmp_path: Path) -> None:
    alarms = Alarms(str(tmp_path), [OutputsAlike()])
    alarms.load_state_dict({"history": [], "raised": {"copies_input": ["ab"], "outputs_alike": ["ba"]}})
    assert alarms.raised == {"outputs_alike": ["ba"]}


# ------------------------------------------------------------------------------------------ the disk


def test_on_a_full_disk_training_goes_on_and_rows_come_later(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Room for one row and a part of the next."""

    class Full(pl.Callback):
        """Between the measuring and the alarms of epochs 3 to 5, the disk is full."""

        def __init__(self) -> None:
            self.limit: Any = None

        def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
            if trainer.current_epoch == 2:
                self.limit = largest_file((tmp_path / "alarms.jsonl").stat().st_size + 40)
                self.limit.__enter__()
            if trainer.current_epoch == 5:
                self.limit.__exit__(None, None, None)

    run(tmp_path, SCRIPT, Full())
    assert [(row[1], row[3]) for row in rows(tmp_path)] == [
        (2, "raised"),
        (3, "cleared"),
        (5, "raised"),
        (6, "cleared"),
    ]
    lines = [message for message in caplog.messages if message.startswith("alarms    ")]
    assert len(lines) == 3, "at each validation that still had something to write"
    assert f"alarms    {tmp_path}/alarms.jsonl was not written, training goes on: [Errno 2" in lines[0]


def test_a_folder_that_cannot_be_made_does_not_end_the_training(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    alarms = Alarms(str(tmp_path / "file" / "run"))
    fit_toy(small_cyclegan(), toy_data(tmp_path / "toy"), Measured([COPIES] * 2), alarms, max_epochs=2)
    assert alarms.raised == {"copies_input": ["ab"]}
    assert any("was not written, training goes on" in message for message in caplog.messages)
