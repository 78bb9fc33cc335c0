"""Time for which saving a checkpoint at 256² interrupts training, and time of the check for non-finite values.

The paper's recipe with averaged weights and full image pools, on drawn images: a few steps, each followed by a save.
A save is everything between two batches: gathering the state, checking for non-finite values, writing, syncing,
renaming, verifying the file and removing an older one.

python benchmarks/saving.py
"""

import argparse
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("WANDB_MODE", "offline")

import hydra
import pytorch_lightning as pl
import torch
from hydra import compose, initialize_config_dir
from overhead import draw_photos

from cyclegan.callbacks.checkpointing import Checkpointing
from cyclegan.callbacks.nonfinite import NonFiniteGuard
from cyclegan.train.assembly import assemble_trainer
from cyclegan.train.command import quieten
from cyclegan.train.configuration import conf_dir

MINUTES = 5


class Stopwatch(pl.Callback):
    """Seconds from the start to the end of each batch, before the checkpoint is written."""

    def __init__(self) -> None:
        self.steps: list[float] = []
        self._since = 0.0

    def on_train_batch_start(self, *_: Any) -> None:
        self._since = time.perf_counter()

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any) -> None:
        synchronise(pl_module)
        self.steps.append(time.perf_counter() - self._since)


def timed(owner: type, name: str, seconds: list[float]) -> None:
    """Record the duration of every call of a method, including the work of a GPU."""
    original = getattr(owner, name)

    def wrapper(self: Any, trainer: pl.Trainer, *arguments: Any) -> None:
        synchronise(trainer.lightning_module)
        start = time.perf_counter()
        original(self, trainer, *arguments)
        synchronise(trainer.lightning_module)
        seconds.append(time.perf_counter() - start)

    setattr(owner, name, wrapper)


def synchronise(module: pl.LightningModule) -> None:
    if module.device.type == "cuda":
        torch.cuda.synchronize()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=7)
    parser.add_argument("--folder", help="where to write, if not in the system's folder for temporary files")
    parser.add_argument("overrides", nargs="*", help="for cyclegan-train")
    args = parser.parse_args()
    quieten()
    saves: list[float] = []
    looks: list[float] = []
    timed(Checkpointing, "save", saves)
    timed(NonFiniteGuard, "on_after_backward", looks)
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        root = Path(folder)
        draw_photos(root / "photos", args.steps, 256)
        with initialize_config_dir(conf_dir(), version_base="1.3"):
            config = compose("train", [
                "experiment=folders", f"data.root={root}/photos", f"run_dir={root}/run", "name=saving", "callbacks=ema",
                "callbacks.checkpointing.every_n_images=1", "trainer.max_epochs=1", "~callbacks.image_grid",
                *args.overrides,
            ])  # fmt: skip
        pl.seed_everything(0, verbose=False)
        data, model = hydra.utils.instantiate(config.data), hydra.utils.instantiate(config.model)
        trainer, watch = assemble_trainer(config, {}), Stopwatch()
        trainer.callbacks.insert(0, watch)  # type: ignore[attr-defined]
        for pool in model.pools().values():
            pool.query(torch.rand(pool.size, 3, 256, 256) * 2 - 1)
        for pool in model.pools().values():
            pool.load_state_dict(pool.state_dict(), trainer.strategy.root_device)
        trainer.fit(model, datamodule=data)
        size = (root / "run" / "checkpoints" / "last.ckpt").stat().st_size

    step, save, look = (statistics.median(values[1:]) for values in (watch.steps, saves, looks))
    longest, every = max(saves), 60 * MINUTES
    print(f"a step             {step:8.3f} s   median of {len(watch.steps) - 1}")
    print(f"a save             {save:8.3f} s   from {min(saves):.3f} to {longest:.3f}; a file of {size / 1e6:.0f} MB")
    print(
        f"share of training  {save / every:8.2%}     at one every {MINUTES} minutes; the longest {longest / every:.2%}"
    )
    print(f"a look at a batch  {look * 1000:8.3f} ms  {look / step:.3%} of a step")
    print(f"(torch {torch.__version__}, {torch.get_num_threads()} threads, {trainer.strategy.root_device})")


if __name__ == "__main__":
    main()
