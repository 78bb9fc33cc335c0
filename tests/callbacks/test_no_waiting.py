"""A step reads nothing from its device, which would wait for it, except where a row of metrics is due."""

import json
from collections import Counter
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
    *("callbacks=ema", "data.source.train=20", "trainer.max_epochs=1", f"trainer.log_every_n_steps={EVERY}"),
    *("model.pool_size=0", "++model.optimizer.fused=true"),  # else there are reads of the CPU's tensors, on GPUs too
    "data.num_workers=1",  # loading reads tensors of the CPU
)
"""Ten steps with a row after the fourth and the eighth, of a run with every callback that acts on batches."""


class Scalars(TorchDispatchMode):
    """Counts `item`, `bool`, `float` and comparisons that return a Python value, from Python or C++."""

    count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += func in (torch.ops.aten._local_scalar_dense.default, torch.ops.aten.equal.default)
        return func(*args, **(kwargs or {}))


class Copies(TorchFunctionMode):
    """Counts copies of whole tensors to Python or to the CPU, and tensors made from Python's numbers."""

    count = 0

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += func in (Tensor.tolist, Tensor.numpy, Tensor.cpu, Tensor.__array__, torch.tensor)
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
        self._modes: tuple[Scalars, Copies] | None = None

    def on_train_batch_start(self, trainer: pl.Trainer, *_: Any) -> None:
        if self._modes:
            for mode in reversed(self._modes):
                mode.__exit__(None, None, None)
                self.counts[trainer.global_step - 1] += mode.count
            self._modes = None
            Path(self.folder, f"reads{trainer.global_rank}.json").write_text(json.dumps(self.counts))
        if trainer.global_step in self.steps:
            self._modes = Scalars(), Copies()
            for mode in self._modes:
                mode.__enter__()


def counting(first: int, last: int, folder: Path) -> str:
    """Return the override that adds a Reads."""
    return (
        f"+callbacks.reads={{_target_: {Reads.__module__}.Reads, first: {first}, last: {last}, folder: '{folder}'}}"
    )


def test_only_a_step_with_a_row_reads_from_the_device(tmp_path: Path) -> None:
    train(composed(tmp_path / "run", tmp_path / "toy", *STEPS, counting(EVERY, 2 * EVERY - 1, tmp_path)))
    counts = json.loads((tmp_path / "reads0.json").read_text())
    assert counts == {"4": 0, "5": 0, "6": 0, "7": 2}, "the check for non-finite values and the row"
