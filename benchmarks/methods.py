"""All methods on the toy set in the same minutes of training: the table of docs/methods.md.

Measures a step of each method's toy experiment, in turns, and its memory; then trains each with each seed for as many
epochs as fit into the time, validations apart. So the epochs depend on the machine, and the time of a run does not
depend on what else it does. Finished runs are reused when the command is started again, and others are resumed.

OMP_NUM_THREADS=1 python benchmarks/methods.py --folder runs/methods
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, cast

import hydra
import pytorch_lightning as pl
import torch
from ablation import spread
from hydra import compose, initialize_config_dir
from torch.utils.data import DataLoader

from cyclegan.callbacks.memory import estimate
from cyclegan.methods.translator import Translator
from cyclegan.report.run_files import read_rows
from cyclegan.train.command import quieten
from cyclegan.train.configuration import conf_dir
from cyclegan.train.precision import default_precision

METHODS = {
    "toy": "CycleGAN",
    "toy_pix2pix": "pix2pix, on pairs",
    "toy_cut": "CUT",
    "toy_fastcut": "FastCUT",
    "toy_discogan": "DiscoGAN",
    "toy_dualgan": "DualGAN",
}
"""Experiments, with the name of the method."""

IMAGES = 400
"""Images of a domain."""


class Step(NamedTuple):
    """What a step costs."""

    ms: float
    batch_size: int
    parameters: int
    megabytes: float


class Stopwatch(pl.Callback):
    """Measures the processor seconds of each batch: with one thread, the time that it takes on a quiet machine."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    def on_train_batch_start(self, *_: Any) -> None:
        self.start = time.process_time()

    def on_train_batch_end(self, *_: Any) -> None:
        self.seconds.append(time.process_time() - self.start)


def composed(experiment: str) -> tuple[Any, Translator]:
    """Return the configuration of an experiment and its model."""
    with initialize_config_dir(conf_dir(), version_base="1.3"):
        config = compose("train", [f"experiment={experiment}", "trainer.max_epochs=8"])
    return config, hydra.utils.instantiate(config.model, _convert_="all")


def steps(experiment: str, precision: Any, count: int) -> list[float]:
    """Return the processor seconds of steps on random images, without the first two."""
    config, model = composed(experiment)
    size = config.data.crop_size
    batches = [{d: torch.rand(config.data.batch_size, 3, size, size) * 2 - 1 for d in "AB"} for _ in range(count + 2)]
    watch = Stopwatch()
    trainer = pl.Trainer(
        accelerator="cpu", precision=precision, max_epochs=1, logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, callbacks=[watch],
    )  # fmt: skip
    loader: DataLoader[Any] = DataLoader(cast("Any", batches), batch_size=None)
    trainer.fit(model, loader)
    return watch.seconds[2:]


def measure(experiments: Iterable[str], turns: int) -> dict[str, Step]:
    """Return what a step of each experiment costs; the time is the median over turns in which they alternate."""
    precision = default_precision("cpu", None)
    autocast = partial(torch.autocast, "cpu", torch.bfloat16, enabled=precision == "bf16-mixed")
    medians: dict[str, list[float]] = {experiment: [] for experiment in experiments}
    for _ in range(turns):
        for experiment, found in medians.items():
            found.append(statistics.median(steps(experiment, precision, 12)))
    measured = {}
    for experiment, found in medians.items():
        config, model = composed(experiment)
        memory = estimate(model, config.data.crop_size, config.data.batch_size, torch.device("cpu"), autocast)
        count = sum(parameter.numel() for parameter in model.parameters())
        bytes_ = memory.state + memory.step + memory.pools
        measured[experiment] = Step(1000 * statistics.median(found), config.data.batch_size, count, bytes_ / 1e6)
    return measured


def train(folder: Path, data: Path, experiment: str, epochs: int, seed: int) -> dict[str, float]:
    """Train a run, unless it is finished, and return its last metrics."""
    run_dir = folder / f"{experiment}_{seed}"
    words = [
        f"experiment={experiment}", f"trainer.max_epochs={epochs}", f"seed={seed}", f"data.root={data}",
        f"callbacks.validation.every_n_epochs={epochs}", f"run_dir={run_dir}", "logger=csv", "resume=auto",
    ]  # fmt: skip
    subprocess.run([sys.executable, "-m", "cyclegan.train", *words], check=True)
    return [row.metrics for row in read_rows(run_dir / "metrics.csv") if "val/psnr_ab" in row.metrics][-1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path("runs/methods"))
    parser.add_argument("--data", type=Path, default=Path("data/toy"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--minutes", type=float, default=3.0, help="of training steps of each run")
    parser.add_argument("--turns", type=int, default=5, help="in which the time of a step is measured")
    args = parser.parse_args()
    quieten()
    args.folder.mkdir(parents=True, exist_ok=True)

    file = args.folder / "steps.json"
    if not file.exists():
        file.write_text(json.dumps({name: step._asdict() for name, step in measure(METHODS, args.turns).items()}))
    measured = {name: Step(**step) for name, step in json.loads(file.read_text()).items()}
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, {args.minutes:g} minutes of training")
    columns = {"psnr_ab": 2, "psnr_ba": 2, "kid_ab": 4, "kid_ba": 4}
    print(
        "| experiment | epochs | " + " | ".join(columns) + " | ms a step | batch | M parameters | MB |\n|" + "---|" * 10
    )
    for name in args.methods:
        step = measured[name]
        epochs = round(60_000 * args.minutes / (step.ms * (IMAGES // step.batch_size)))
        data = args.data.with_name(f"{args.data.name}_pairs") if name == "toy_pix2pix" else args.data
        runs = [train(args.folder, data, name, epochs, seed) for seed in args.seeds]
        cells = [
            spread([run[f"val/{column}"] for run in runs], digits) if f"val/{column}" in runs[0] else ""
            for column, digits in columns.items()
        ]
        costs = f"{step.ms:.0f} | {step.batch_size} | {step.parameters / 1e6:.2f} | {step.megabytes:.0f}"
        print(f"| `{name}` ({METHODS[name]}) | {epochs} | " + " | ".join(cells) + f" | {costs} |", flush=True)


if __name__ == "__main__":
    main()
