"""A heartbeat between the processes of a run, so that the death of one ends the others."""

import os
import sys
import threading
from datetime import timedelta

import pytorch_lightning as pl
import torch
from torch import distributed

from cyclegan.callbacks.stop_signals import EXIT_RESUME, StopRequestedError


class Heartbeat(pl.Callback):
    """Ends this process within a minute after another process of the run died, froze, or lost the network.

    Otherwise it would wait for the other's gradients until torch's timeout, half an hour. That timeout must be long,
    because processes legitimately wait for one that downloads, saves or measures; the heartbeat goes on meanwhile, in a
    thread and a gloo group of its own.

    Args:
        interval: seconds between two beats.
        timeout: seconds to wait for the other processes in a beat.
        grace: seconds that this process has to end by itself, when the others have ended.
    """

    def __init__(self, interval: float = 5.0, timeout: float = 35.0, grace: float = 10.0) -> None:
        self.interval = interval
        self.timeout = timeout
        self.grace = grace
        self._ends = threading.Event()
        self._thread: threading.Thread | None = None

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        if trainer.world_size > 1:
            group = distributed.new_group(backend="gloo", timeout=timedelta(seconds=self.timeout))
            self._thread = threading.Thread(target=self._beat, args=(group,), name="heartbeat", daemon=True)
            self._thread.start()

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        self._end()

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        if isinstance(exception, StopRequestedError):  # the others stop too; they notice another error by the heartbeat
            self._end()

    def _end(self) -> None:
        self._ends.set()
        if self._thread:
            self._thread.join()  # until the others end too

    def _beat(self, group: distributed.ProcessGroup) -> None:
        all_end = torch.tensor(0)
        try:
            while not all_end:
                self._ends.wait(self.interval)
                all_end.fill_(self._ends.is_set())
                distributed.all_reduce(all_end, distributed.ReduceOp.MIN, group)
        except RuntimeError as error:
            if not self._ends.wait(self.grace):
                text = f"another process of this run has died or does not answer: {error}"
                print(f"cyclegan-train: {text}; start again with resume=auto", file=sys.stderr, flush=True)
                os._exit(EXIT_RESUME)  # the main thread may be waiting within a collective, which nothing interrupts
