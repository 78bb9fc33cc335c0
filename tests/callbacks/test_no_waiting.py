"""A step reads nothing from its device, which would wait for it, except where a row of metrics is due."""

import json
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from cyclegan.train.command import train
from tests.tiny_run import UNMEASURED, composed

EVERY = 4
STEPS = (
    *UNMEASURED,
    *("callbacks=ema_images", "diff_augment=ada", "penalty=r1"),
    *("data.source.train=20", "trainer.max_epochs=1", f"trainer.log_every_n_steps={EVERY}"),
    "model.pool_size=0",  # its draws are read from the CPU, on GPUs too
    "data.num_workers=1",  # loading, too
)
"""Ten steps with a row after the fourth and the eighth, of a run with all parts and callbacks that act on batches."""


class Scalars(TorchDispatchMode):
    """Counts `item`, `bool`, `float` and comparisons that return a Python value, from Python or C++."""

    def __init__(self, counts: Counter[int], step: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.counts, self.step = counts, step

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.counts[self.step] += func in (torch.ops.aten._local_scalar_dense.default, torch.ops.aten.equal.default)
        return func(*args, **(kwargs or {}))


class Copies(TorchFunctionMode):
    """Counts copies of whole tensors to Python or to the CPU, and tensors made from Python's numbers."""

    def __init__(self, counts: Counter[int], step: int) -> None:
        super().__init__()
        self.counts, self.step = counts, step

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.counts[self.step] += func in (Tensor.tolist, Tensor.numpy, Tensor.cpu, Tensor.__array__, torch.tensor)
        return func(*args, **(kwargs or {}))


class Reads(pl.Callback):
    """Count by the number of steps done what is read in the next step, with all that lies between two steps.

    Args:
        first: number of steps done when counting begins.
        last: the last step that is counted.
        folder: the counts go to `reads<rank>.json` there.
    """

    def __init__(self, first: int, last: int, folder: str) -> None:
        self.steps = range(first, last + 1)
        self.folder = folder
        self.counts: Counter[int] = Counter()
        self._counting = ExitStack()

    def on_train_batch_start(self, trainer: pl.Trainer, *_: Any) -> None:
        self._counting.close()
        if trainer.global_step in self.steps:
            self._counting.callback(self._write, trainer.global_rank)
            self._counting.enter_context(Scalars(self.counts, trainer.global_step))
            self._counting.enter_context(Copies(self.counts, trainer.global_step))

    def _write(self, rank: int) -> None:
        Path(self.folder, f"reads{rank}.json").write_text(json.dumps(self.counts))


def counting(first: int, last: int, folder: Path) -> str:
    """Return the override that adds a Reads."""
    return f"+callbacks.reads={{_target_: {Reads.__module__}.Reads, first: {first}, last: {last}, folder: '{folder}'}}"


def test_only_a_step_with_a_row_reads_from_the_device(tmp_path: Path) -> None:
    train(composed(tmp_path / "run", tmp_path / "toy", *STEPS, counting(EVERY, 2 * EVERY - 1, tmp_path)))
    counts = json.loads((tmp_path / "reads0.json").read_text())
    assert counts == {"4": 0, "5": 0, "6": 0, "7": 2}, "the check for non-finite values and the row"
