"""Agreement of all devices on what to do between two batches."""

import time

import pytorch_lightning as pl
import torch

SECONDS = 2.0


class Agreement:
    """Finds the largest number that any device wants, by a collective operation about every two seconds.

    One after each batch would make every batch wait for the GPU and for the slowest device. All devices derive the same
    number of batches until the next one from the time that the slowest has measured.
    """

    def __init__(self) -> None:
        self._since = time.monotonic()
        self._batches = 0
        self._interval = 1

    def soon(self, trainer: pl.Trainer, wanted: int) -> int:
        """Return the largest number, or 0 between two collective operations; with one device, its own. Once a batch."""
        self._batches += 1
        return self.now(trainer, wanted) if self._batches >= self._interval else 0

    def now(self, trainer: pl.Trainer, wanted: int) -> int:
        """Return the largest number."""
        if trainer.world_size == 1:
            return wanted
        seconds = (time.monotonic() - self._since) / max(self._batches, 1)
        mine = torch.tensor([wanted, seconds], device=trainer.strategy.root_device)
        largest, slowest = trainer.strategy.reduce(mine, reduce_op="max").tolist()
        self._interval = max(1, int(SECONDS / max(slowest, 1e-3)))
        self._batches, self._since = 0, time.monotonic()
        return int(largest)
