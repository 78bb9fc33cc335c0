"""Alarms: what the metrics of every validation say about a training that goes wrong."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytorch_lightning as pl

from cyclegan.alarms import Rule, every_rule
from cyclegan.alarms.file import AlarmFile
from cyclegan.callbacks.position import images_seen
from cyclegan.callbacks.validation import metrics_of
from cyclegan.errors import UserError
from cyclegan.loggers import RaisesAlerts

log = logging.getLogger(__name__)

REMEMBERED = 100
"""Validations that the rules look back on: checkpoints do not grow with the run."""


class Alarms(pl.Callback):
    """Holds every validation's metrics against rules, and says when one begins or ceases to hold.

    In the log, in `alarms.jsonl`, as the curve `alarm/<name>` (1 while it holds) and as an alert in wandb. An alarm
    changes nothing in the training. Stands after the callback that measures.

    Args:
        run_dir: the file is `run_dir/alarms.jsonl`.
        rules: objects as in `cyclegan.alarms`; None: all that are there.

    Raises:
        UserError: two rules have one name.
    """

    def __init__(self, run_dir: str, rules: Sequence[Rule] | None = None) -> None:
        self.rules = every_rule() if rules is None else list(rules)
        names = [rule.name for rule in self.rules]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise UserError(f"callbacks.alarms.rules has {', '.join(twice)} more than once; names are told apart by")
        self.history: list[dict[str, float]] = []
        self.raised: dict[str, list[str]] = {}
        """Directions or domains of which it was told, by the name of the alarm."""
        self._file = AlarmFile(Path(run_dir) / "alarms.jsonl")

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Drops rows of the file that the run is about to write again."""
        if trainer.is_global_zero:
            self._safely(lambda: self._file.continue_from(images_seen(trainer)))

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Checks, if this epoch was validated."""
        metrics = metrics_of(trainer)
        if not metrics:
            return
        images, epoch = images_seen(trainer), trainer.current_epoch + 1.0
        plain = {name: float(value) for name, value in metrics.items()}
        self.history = [*self.history, {**plain, "images": images, "epoch": epoch}][-REMEMBERED:]
        news = [
            {"images": images, "epoch": epoch, "alarm": name, "state": state, "text": text}
            for name, state, text in self._news()
        ]
        if trainer.is_global_zero:
            self._tell(trainer, news, images)

    def state_dict(self) -> dict[str, Any]:
        """The metrics so far, and the alarms that are raised."""
        return {"history": self.history, "raised": self.raised}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Goes on from there; an alarm whose rule is gone is forgotten."""
        names = [rule.name for rule in self.rules]
        self.history = state_dict["history"]
        self.raised = {name: found for name, found in state_dict["raised"].items() if name in names}

    def _news(self) -> list[tuple[str, str, str]]:
        """Name, state and text of every alarm that is raised or cleared now, also raised in a further direction."""
        news = []
        for rule in self.rules:
            found, told = rule.check(self.history), self.raised.get(rule.name, [])
            if not found:
                self.raised.pop(rule.name, None)
                if told:
                    news.append((rule.name, "cleared", "the rule no longer holds"))
                continue
            self.raised[rule.name] = sorted({*found, *told})
            if self.raised[rule.name] != told:
                news.append((rule.name, "raised", "; ".join(found.values())))
        return news

    def _tell(self, trainer: pl.Trainer, news: list[dict[str, Any]], images: int) -> None:
        for row in news:
            level = logging.WARNING if row["state"] == "raised" else logging.INFO
            log.log(level, "alarm     %s %s: %s", row["alarm"], row["state"], row["text"])
        self._safely(lambda: self._file.append(news))
        states = {f"alarm/{rule.name}": float(rule.name in self.raised) for rule in self.rules}
        for logger in trainer.loggers:
            if isinstance(logger, RaisesAlerts):
                for row in news:
                    if row["state"] == "raised":
                        logger.flag(f"alarm/{row['alarm']}", row["text"], step=images)
            logger.log_metrics({**states, "epoch": self.history[-1]["epoch"]}, step=images)

    def _safely(self, write: Any) -> None:
        try:
            write()
        except OSError as error:
            log.warning("alarms    %s was not written, training goes on: %s", self._file.path, error)
