"""Alarms: checks of every validation for a training that goes wrong."""

import logging
from collections.abc import Sequence
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.utilities.rank_zero import rank_zero_only

from cyclegan.alarms import Rule, default_rules
from cyclegan.callbacks.validation import Validated
from cyclegan.errors import UserError
from cyclegan.methods.translator import Translator

log = logging.getLogger(__name__)

REMEMBERED = 100
"""Validations that the rules see, so that checkpoints do not grow with the run."""


class Alarms(pl.Callback):
    """Checks the metrics of every validation against rules, and logs when a rule begins or ceases to hold.

    An alarm is logged as a warning with the method's advice, as the column `alarm/<name>` (1 while the rule holds, else
    0) of every logger, and as an alert in wandb. It does not change the training.

    Args:
        rules: objects as in `cyclegan.alarms`; None: `cyclegan.alarms.default_rules`.

    Raises:
        UserError: two rules have the same name.
    """

    def __init__(self, rules: Sequence[Rule] | None = None) -> None:
        self.rules = default_rules() if rules is None else list(rules)
        names = [rule.name for rule in self.rules]
        if len(set(names)) < len(names):
            raise UserError(f"callbacks.alarms.rules are named {', '.join(names)}; names must differ")
        self.history: list[dict[str, float]] = []
        self.raised: dict[str, list[str]] = {}
        """Directions or domains in which each alarm was logged, by its name."""

    def on_validated(self, trainer: pl.Trainer, pl_module: pl.LightningModule, validated: Validated) -> None:
        """Check a validation; untrained networks raise no alarm."""
        if validated.epoch == 0:
            return
        assert isinstance(pl_module, Translator)
        plain = {name: float(value) for name, value in validated.metrics.items()}
        row = {**plain, "images": validated.images, "epoch": float(validated.epoch)}
        self.history = [*self.history, row][-REMEMBERED:]
        for rule in self.rules:
            found, before = rule.check(self.history), self.raised.pop(rule.name, [])
            places = sorted({*found, *before}) if found else []
            if found:
                self.raised[rule.name] = places
            if places != before:
                advice = pl_module.advice.get(rule.name)
                self._report(trainer, rule.name, list(found.values()), advice, validated.images)
        columns = {f"alarm/{rule.name}": float(rule.name in self.raised) for rule in self.rules}
        for logger in trainer.loggers:
            logger.log_metrics({**columns, "epoch": float(validated.epoch)}, step=validated.images)

    @rank_zero_only
    def _report(self, trainer: pl.Trainer, name: str, found: list[str], advice: str | None, step: int) -> None:
        if not found:
            log.info("alarm     %s cleared", name)
            return
        text = "; ".join(found) + (f"; try {advice}" if advice else "")
        log.warning("alarm     %s raised: %s", name, text)
        for logger in trainer.loggers:
            if hasattr(logger, "flag"):  # our wandb logger, or another that can notify people
                logger.flag(f"alarm/{name}", text, step=step)

    def state_dict(self) -> dict[str, Any]:
        return {"history": self.history, "raised": self.raised}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the state, without alarms whose rule was removed."""
        names = [rule.name for rule in self.rules]
        self.history = state_dict["history"]
        self.raised = {name: found for name, found in state_dict["raised"].items() if name in names}
