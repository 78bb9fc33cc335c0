"""Training runs of a second, with tiny networks and five images a domain, and readers of their files.

`train(composed(tmp_path / "run", tmp_path / "toy", "discriminator=pixel"))` is such a run on the toy set, drawn in
`tmp_path / "toy"`; `data.domains.A.train=FILE` takes other images, relative to that folder.
"""

import csv
import math
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig

from cyclegan.train.configuration import conf_dir

STEPS_PER_EPOCH = 3  # five images in batches of two

SMALL_NETWORKS = (
    "model.generator.width=4",
    "model.generator.blocks=1",
    "model.discriminator.width=4",
    "model.discriminator.layers=1",
)
TINY = (
    "experiment=toy",
    "logger=csv",
    "callbacks=default",
    "callbacks.alarms.rules=[]",  # two images of 16 x 16 are no evidence
    "~callbacks.report",  # a second each time; tests/callbacks/test_report.py has its own
    "data.source.train=5",
    "data.source.test=2",
    "data.source.size=24",
    "data.load_size=20",
    "data.crop_size=16",
    "data.batch_size=2",
    "trainer.max_epochs=2",
    "trainer.precision=32-true",  # on every machine
    "trainer.log_every_n_steps=1",
)

# Words of a tiny run of each method, after those of TINY. Each has a `root` of its own: pix2pix draws pairs, and
# DiscoGAN's networks take 64 x 64.
METHODS: dict[str, tuple[str, ...]] = {
    "cyclegan": SMALL_NETWORKS,
    "pix2pix": (
        "experiment=toy_pix2pix",
        "model.generator.width=4",
        "model.generator.downs=3",
        "model.discriminator.width=4",
        "model.discriminator.layers=1",
    ),
    "cut": ("experiment=toy_cut", *SMALL_NETWORKS, "model.patches=8"),
    "fastcut": ("experiment=toy_fastcut", *SMALL_NETWORKS, "model.patches=8"),
    "discogan": (
        "experiment=toy_discogan",
        "model.generator.width=4",
        "model.discriminator.width=4",
        "data.source.size=64",
        "data.load_size=64",
        "data.crop_size=64",
    ),
    "dualgan": (
        "experiment=toy_dualgan",
        "model.generator.width=4",
        "model.generator.downs=3",
        "model.discriminator.width=4",
        "model.discriminator.layers=1",
    ),
}

# Without held-out images, for runs that are not about them: half of the time of a tiny run.
UNMEASURED = (
    "~callbacks.validation", "~callbacks.alarms", "~callbacks.early_stopping", "callbacks.checkpointing.best=null",
)  # fmt: skip


def composed(run_dir: Path, root: Path, *overrides: str) -> DictConfig:
    """Compose the configuration of a tiny run, with narrow networks of any class."""
    with initialize_config_dir(conf_dir(), version_base="1.3"):
        config = compose("train", [*TINY, f"run_dir={run_dir}", f"data.root={root}", *overrides])
    for part in (config.model.generator, config.model.discriminator):
        small = {"width": 4, "widths": [4] * len(part.get("widths", [])), "blocks": 1, "layers": 1, "downs": 3}
        part.update({key: value for key, value in small.items() if key in part})
    return config


class StoppedError(Exception):
    """StopAt stopped the run."""


class StopAt(pl.Callback):
    """Stop a run in the middle: `+callbacks.stop._target_=tests.tiny_run.StopAt`.

    Args:
        hook: Lightning's name of the moment.
        step: the number of batches done by then.
    """

    def __init__(self, hook: str, step: int) -> None:
        def check(trainer: pl.Trainer, *_: Any) -> None:
            if trainer.global_step == step:
                self.stop()

        setattr(self, hook, check)

    def stop(self) -> None:
        raise StoppedError


def stop_at(hook: str, step: int) -> list[str]:
    """Return the overrides that add a StopAt."""
    target = f"{StopAt.__module__}.{StopAt.__qualname__}"
    return [f"+callbacks.stop={{_target_: {target}, hook: {hook}, step: {step}}}"]


class SnapshotAt(pl.Callback):
    """Copy the run's folder as a kill would leave it at that moment, to a folder named by the moment.

    Args:
        moment: Lightning's name of a hook, and the number of steps done by then, as `on_train_batch_end-3`.
        run_dir: folder of the run.
        folder: of the copies.
    """

    def __init__(self, moment: str, run_dir: str, folder: str) -> None:
        hook, _, step = moment.partition("-")

        def check(trainer: pl.Trainer, *_: Any) -> None:
            if trainer.global_step == int(step) and not (Path(folder) / moment).exists():
                shutil.copytree(run_dir, Path(folder) / moment)

        setattr(self, hook, check)
        self.moment = moment

    @property
    def state_key(self) -> str:
        return f"SnapshotAt {self.moment}"


def snapshot_at(moments: Iterable[str], run_dir: Path, folder: Path) -> list[str]:
    """Return the overrides that add a SnapshotAt for each moment."""
    target = f"_target_: {SnapshotAt.__module__}.{SnapshotAt.__qualname__}"
    return [
        f"+callbacks.snapshot_{moment.replace('-', '_')}="
        f"{{{target}, moment: {moment}, run_dir: '{run_dir}', folder: '{folder}'}}"
        for moment in moments
    ]


class Rates(pl.Callback):
    """Record the learning rate of every epoch."""

    seen: list[float]

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.seen = [*getattr(self, "seen", []), trainer.optimizers[0].param_groups[0]["lr"]]


def rates(trainer: pl.Trainer) -> list[float]:
    """Return the learning rates that the run's Rates recorded."""
    (found,) = [callback for callback in trainer.callbacks if isinstance(callback, Rates)]  # type: ignore[attr-defined]
    return found.seen


def read_checkpoint(run_dir: Path, name: str = "last.ckpt") -> dict[str, Any]:
    """Read a checkpoint without running code."""
    found: dict[str, Any] = torch.load(run_dir / "checkpoints" / name, map_location="cpu", weights_only=True)
    return found


def metrics(run_dir: Path) -> list[dict[str, float]]:
    """Return the rows of metrics.csv, each with the metrics that it has, except the speed."""
    with (run_dir / "metrics.csv").open(newline="") as file:
        # The same NaN object, so that rows with metrics that could not be measured compare equal.
        rows = [
            {name: math.nan if value == "nan" else float(value) for name, value in row.items() if value}
            for row in csv.DictReader(file)
        ]
    return [{name: value for name, value in row.items() if name != "images_per_s"} for row in rows]


def training_rows(run_dir: Path) -> list[dict[str, float]]:
    """Return the rows of batches, without those of validations and alarms."""
    return [row for row in metrics(run_dir) if "train/cycle_a" in row]


def differences(one: Any, other: Any, where: str = "") -> list[str]:
    """List the places at which two nested structures of tensors and plain values differ."""
    if isinstance(one, dict) and isinstance(other, dict):
        missing = [f"{where}.{key} is in one only" for key in one.keys() ^ other.keys()]
        shared = sorted(one.keys() & other.keys())
        return missing + [found for key in shared for found in differences(one[key], other[key], f"{where}.{key}")]
    if isinstance(one, list | tuple) and isinstance(other, list | tuple) and len(one) == len(other):
        return [d for i, (x, y) in enumerate(zip(one, other, strict=True)) for d in differences(x, y, f"{where}.{i}")]
    if isinstance(one, torch.Tensor) and isinstance(other, torch.Tensor):
        return [] if torch.equal(one, other) else [f"{where}: tensors differ"]
    return [] if one == other else [f"{where}: {one!r} and {other!r}"]
