"""Overhead of the trainer: images per second of complete epochs, compared with the bare step on tensors in memory.

Both train at 128² with batch size 1, in one process, in alternating turns. The networks are small by default, because
overhead has more weight for short steps. The run has all defaults (JPEG files, workers, metrics.csv, wandb offline,
sample grids, checkpoints); the bare step is a loop of forward, backward and Adam.
The time of a run is that from its first batch to the end of its last epoch, with grids and checkpoints.

python benchmarks/overhead.py
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
import numpy as np
import pytorch_lightning as pl
import torch
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig
from PIL import Image

from cyclegan.train.assembly import assemble_trainer
from cyclegan.train.command import quieten
from cyclegan.train.configuration import conf_dir

SMALL = ("generator=resnet3_small", "discriminator=patchgan_small")


class Stopwatch(pl.Callback):
    """Measures the seconds from the end of the first batch, the warm-up, to the end of training."""

    def __init__(self) -> None:
        self.start = self.seconds = 0.0
        self.batches = 0

    def on_train_batch_end(self, *_: Any) -> None:
        if self.start == 0.0:
            self.start = time.monotonic()
        else:
            self.batches += 1

    def on_train_end(self, *_: Any) -> None:
        self.seconds = time.monotonic() - self.start


def draw_photos(root: Path, count: int, size: int) -> None:
    """Write JPEG files of smooth noise, about as large as photographs."""
    rng = np.random.default_rng(0)
    for folder in ("trainA", "trainB", "testA", "testB"):
        (root / folder).mkdir(parents=True)
        for i in range(count):
            coarse = Image.fromarray(rng.integers(0, 256, (size // 4, size // 4, 3), dtype=np.uint8))
            coarse.resize((size, size), Image.Resampling.BICUBIC).save(root / folder / f"{i}.jpg", quality=90)


def whole_run(config: DictConfig) -> float:
    """Return the images per second of a complete run."""
    pl.seed_everything(0, verbose=False)
    data, model = hydra.utils.instantiate(config.data), hydra.utils.instantiate(config.model)
    trainer, watch = assemble_trainer(config, {}), Stopwatch()
    trainer.callbacks.append(watch)  # type: ignore[attr-defined]
    trainer.fit(model, datamodule=data)
    return float(watch.batches * config.data.batch_size / watch.seconds)


def bare_step(config: DictConfig, steps: int) -> float:
    """Return the images per second of the training step alone."""
    pl.seed_everything(0, verbose=False)
    model = hydra.utils.instantiate(config.model)
    device = "cuda" if torch.cuda.is_available() and config.trainer.accelerator != "cpu" else "cpu"
    model.to(device)
    optimizer = model.configure_optimizers()["optimizer"]
    shape = (config.data.batch_size, 3, config.data.crop_size, config.data.crop_size)
    batches = [{d: torch.rand(shape, device=device) * 2 - 1 for d in "AB"} for _ in range(4)]
    start = 0.0
    for step in range(steps):
        cycle = model.cycle(batches[step % 4]["A"], batches[step % 4]["B"])
        losses = model.generator_losses(cycle) | model.discriminator_losses(cycle)
        optimizer.zero_grad()
        torch.stack(list(losses.values())).sum().backward()
        optimizer.step()
        if step == 0:
            synchronise(device)
            start = time.monotonic()
    synchronise(device)
    return float((steps - 1) * config.data.batch_size / (time.monotonic() - start))


def synchronise(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=120, help="images of each domain, so batches of an epoch")
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--turns", type=int, default=6)
    parser.add_argument(
        "overrides", nargs="*", help="for cyclegan-train, such as generator=resnet6 discriminator=patchgan70"
    )
    args = parser.parse_args()
    quieten()

    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        draw_photos(root / "photos", args.images, 256)
        ratios = []
        for turn in range(args.turns):
            with initialize_config_dir(conf_dir(), version_base="1.3"):
                config = compose("train", [
                    "experiment=horse2zebra128", "trainer=cpu", f"data.root={root}/photos", f"run_dir={root}/run{turn}",
                    f"trainer.max_epochs={args.epochs}", *SMALL, *args.overrides,
                ])  # fmt: skip
            # In turns first and second, so that a machine that grows slower or faster favours neither.
            if turn % 2:
                run, bare = whole_run(config), bare_step(config, args.images * args.epochs)
            else:
                bare, run = bare_step(config, args.images * args.epochs), whole_run(config)
            ratios.append(run / bare)
            print(f"bare step {bare:7.3f} img/s   whole run {run:7.3f} img/s   ratio {run / bare:.3f}", flush=True)
    print(
        f"median ratio {statistics.median(ratios):.3f}  (torch {torch.__version__}, {torch.get_num_threads()} threads)"
    )


if __name__ == "__main__":
    main()
