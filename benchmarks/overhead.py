"""Overhead of cyclegan-train: time of a step in a whole run, compared with the bare step on tensors in memory.

Both have the networks and settings of one configuration: by default the paper's networks for the size and this device's
precision. The run has all defaults: JPEG files, worker processes, metrics.csv, wandb offline, progress. Its time is
that from the end of its first batch to the end of training, without validations, sample grids, reports and
checkpoints, whose times are printed by themselves. The bare step is a loop of forward, backward and optimiser.
They alternate in one process.

python benchmarks/overhead.py --size 128 --images 24 --turns 5
python benchmarks/overhead.py --size 256 --images 8 --turns 5
"""

import argparse
import os
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from types import SimpleNamespace
from typing import Any

os.environ.setdefault("WANDB_MODE", "offline")

import hydra
import numpy as np
import pytorch_lightning as pl
import torch
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf
from PIL import Image

from cyclegan.callbacks.checkpointing import Checkpointing
from cyclegan.callbacks.compilation import Compilation
from cyclegan.callbacks.image_grid import ImageGrid
from cyclegan.callbacks.report import RunReport
from cyclegan.callbacks.validation import Validation
from cyclegan.train.assembly import assemble_trainer
from cyclegan.train.command import quieten
from cyclegan.train.configuration import conf_dir
from cyclegan.train.precision import default_precision

HELD_OUT = 8

APART: dict[str, tuple[type, str]] = {
    f"validation of {2 * HELD_OUT} images": (Validation, "measure"),
    "sample grid of 8 images": (ImageGrid, "draw"),
    "report": (RunReport, "on_validated"),
    "checkpoint": (Checkpointing, "_attempt"),
}
"""What is not part of a step, and the methods that do it."""


class Apart:
    """Measures the time in the methods of `APART`; one within another counts for itself only."""

    def __init__(self) -> None:
        self.seconds: dict[str, list[float]] = defaultdict(list)
        self._within = [0.0]
        for name, (owner, method) in APART.items():
            setattr(owner, method, self._timed(name, getattr(owner, method)))

    @property
    def total(self) -> float:
        """Seconds in all calls so far."""
        return self._within[0]

    def _timed(self, name: str, method: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(method)
        def timed(*args: Any, **kwargs: Any) -> Any:
            start = now()
            self._within.append(0.0)
            try:
                return method(*args, **kwargs)
            finally:
                whole = now() - start
                self.seconds[name].append(whole - self._within.pop())
                self._within[-1] += whole

        return timed


class Stopwatch(pl.Callback):
    """Measures the seconds from the end of the first batch, the warm-up, to the end of training."""

    def __init__(self, apart: Apart) -> None:
        self.apart = apart
        self.start: float | None = None
        self.seconds = 0.0
        self.batches = 0

    def on_train_batch_end(self, *_: Any) -> None:
        if self.start is None:
            self.start = now() - self.apart.total
        else:
            self.batches += 1

    def on_train_end(self, *_: Any) -> None:
        assert self.start is not None
        self.seconds = now() - self.apart.total - self.start


def now() -> float:
    """Return the time in seconds at which the device is done."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


def draw_photos(root: Path, count: int, size: int, held_out: int | None = None) -> None:
    """Write JPEG files of smooth noise, about as large as photographs."""
    rng = np.random.default_rng(0)
    for folder in ("trainA", "trainB", "testA", "testB"):
        (root / folder).mkdir(parents=True)
        for i in range(count if held_out is None or folder.startswith("train") else held_out):
            coarse = Image.fromarray(rng.integers(0, 256, (size // 4, size // 4, 3), dtype=np.uint8))
            coarse.resize((size, size), Image.Resampling.BICUBIC).save(root / folder / f"{i}.jpg", quality=90)


def whole_run(config: DictConfig, apart: Apart) -> float:
    """Return the seconds of a step in a whole run."""
    pl.seed_everything(0, verbose=False)
    data, model = (hydra.utils.instantiate(part, _convert_="all") for part in (config.data, config.model))
    plain: Any = OmegaConf.to_container(config, resolve=True)
    trainer, watch = assemble_trainer(config, plain), Stopwatch(apart)
    trainer.callbacks.insert(0, watch)  # type: ignore[attr-defined] # before the report at the end of training
    trainer.fit(model, datamodule=data)
    return watch.seconds / watch.batches


def bare_step(config: DictConfig, steps: int) -> float:
    """Return the seconds of a training step alone."""
    pl.seed_everything(0, verbose=False)
    model = hydra.utils.instantiate(config.model, _convert_="all")
    trainer = pl.Trainer(accelerator=config.trainer.accelerator, devices=1, precision=config.trainer.precision,
                         logger=False, enable_checkpointing=False)  # fmt: skip
    model.to(trainer.strategy.root_device).train()
    model.log_dict = lambda *_, **__: None
    data: Any = SimpleNamespace(datamodule=SimpleNamespace(crop_size=config.data.crop_size))
    Compilation().on_train_start(data, model)
    optimizer = model.configure_optimizers()["optimizer"]
    shape = (config.data.batch_size, 3, config.data.crop_size, config.data.crop_size)
    batches = [{d: torch.rand(shape, device=model.device) * 2 - 1 for d in "AB"} for _ in range(4)]
    start = 0.0
    for step in range(steps):
        with trainer.precision_plugin.train_step_context():
            loss = model.training_step(batches[step % 4], step)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step == 0:
            start = now()
    return (now() - start) / (steps - 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=128, help="of the crops")
    parser.add_argument("--images", type=int, default=24, help="images of each domain, so batches of an epoch")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("overrides", nargs="*", help="for cyclegan-train, such as generator=resnet3_small")
    args = parser.parse_args()
    quieten()
    apart = Apart()

    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        draw_photos(root / "photos", args.images, 256, HELD_OUT)
        ratios = []
        for turn in range(args.turns):
            with initialize_config_dir(conf_dir(), version_base="1.3"):
                config = compose("train", [
                    "name=overhead", f"run_dir={root}/run{turn}", f"data.root={root}/photos", "trainer.max_epochs=1",
                    f"data.crop_size={args.size}", f"data.load_size={args.size * 286 // 256}",
                    f"generator={'resnet9' if args.size >= 256 else 'resnet6'}", *args.overrides,
                ])  # fmt: skip
            config.trainer.precision = config.trainer.precision or default_precision(config.trainer.accelerator, None)
            # In turns first and second, so that a machine that grows slower or faster favours neither.
            steps = args.images * config.trainer.max_epochs
            if turn % 2:
                run, bare = whole_run(config, apart), bare_step(config, steps)
            else:
                bare, run = bare_step(config, steps), whole_run(config, apart)
            ratios.append(run / bare)
            print(f"bare step {bare:.4f} s   in a run {run:.4f} s   ratio {run / bare:.3f}", flush=True)
        size = max(file.stat().st_size for file in root.glob("run*/checkpoints/*.ckpt"))
    print(f"{args.size}², {config.trainer.precision}, torch {torch.__version__}, {torch.get_num_threads()} threads")
    print(f"ratio: median {statistics.median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f})")
    for name, seconds in apart.seconds.items():
        more = f", {size / 1e6:.0f} MB" if name == "checkpoint" else ""
        print(f"one {name}: median {statistics.median(seconds):.2f} s{more}")


if __name__ == "__main__":
    main()
