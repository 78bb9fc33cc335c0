"""A callback that records what each process of a run trains, and readers of its files."""

import hashlib
import json
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

import pytorch_lightning as pl

from cyclegan.callbacks.run_state import RunState

FILE = "recorded-{rank}.txt"


class Recorder(pl.Callback):
    """Appends what a process of a run trains to a file of its own: its configuration, then the number of every batch.

    Args:
        run_dir: folder of the run.
    """

    def __init__(self, run_dir: str) -> None:
        self._folder = Path(run_dir)

    def _write(self, trainer: pl.Trainer, line: str) -> None:
        with (self._folder / FILE.format(rank=trainer.global_rank)).open("a") as file:
            file.write(f"{line}\n")

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        (state,) = (callback for callback in trainer.callbacks if isinstance(callback, RunState))  # type: ignore[attr-defined]
        text = json.dumps(state.config, sort_keys=True)
        identity = cast(Any, pl_module).loss_weights.identity
        self._write(trainer, f"{hashlib.sha256(text.encode()).hexdigest()} {state.config['seed']} {identity}")

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        self._write(trainer, str(trainer.global_step))


def recorded(run: Path, rank: int = 0) -> list[str]:
    """Return the lines that a Recorder wrote."""
    with suppress(FileNotFoundError):
        return (run / FILE.format(rank=rank)).read_text().splitlines()
    return []


def batches(run: Path) -> list[int]:
    """Return the numbers of the batches that a job trained, in order, over all its starts."""
    return [int(line) for line in recorded(run) if " " not in line]


RECORDER = f"+callbacks.recorder={{_target_: {Recorder.__module__}.Recorder, run_dir: '${{run_dir}}'}}"
