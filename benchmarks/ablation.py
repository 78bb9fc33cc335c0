"""The effect of each loss term, and of parts for small data sets, on the toy set: the tables of docs/ablation.md.

Trains each setting with each seed, and measures its checkpoints. Finished runs and measurements are reused when the
command is started again, and other runs are resumed. A run takes a few minutes on two cores.

python benchmarks/ablation.py --folder runs/ablation
python benchmarks/ablation.py --folder runs/ablation_small --suite small
"""

import argparse
import json
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

import cyclegan
from cyclegan.checkpoint.reading import read
from cyclegan.data.datamodule import ImageDataModule
from cyclegan.methods.translator import Translator
from cyclegan.metrics.random_features import RandomFeatures
from cyclegan.validation.evaluate import evaluate
from cyclegan.validation.feature_cache import References

TERMS = {
    "cycle_alone": ("cycle alone", "loss_weights=cycle_alone"),
    "gan_alone": ("GAN alone", "loss_weights=gan_alone"),
    "gan_forward": ("GAN + forward cycle", "loss_weights=gan_forward"),
    "gan_backward": ("GAN + backward cycle", "loss_weights=gan_backward"),
    "no_identity": ("all of the paper's equation 3", "loss_weights=no_identity"),
    "no_pool": ("… + identity, without pool", "model.pool_size=0"),
    "all": ("… + identity (the default)", "loss_weights=paper"),
}
"""Settings, with the title and the override of each."""

SMALL = {
    "default": ("the default", ""),
    "diff_augment": ("DiffAugment", "diff_augment=color_translation_cutout"),
    "ada": ("ADA", "diff_augment=ada model.diff_augment.images=1000"),
    "spectral_norm": ("spectral norm", "model.discriminator.spectral_norm=true model.discriminator.norm=none"),
    "r1": ("R1", "penalty=r1"),
    "r1_weak": ("R1, weight 0.2", "penalty=r1 model.penalty.weight=0.2"),
    "n_critic": ("n_critic 2", "model.n_critic=2"),
    "ema_images": ("EMA in images", "callbacks=ema_images"),
}
"""Parts for small data sets."""

SETTINGS = TERMS | SMALL

COMPLETE = ("no_identity", "no_pool", "all")
"""Settings with all terms of equation 3."""


@dataclass(frozen=True)
class Suite:
    """Settings that are compared in runs of the same length.

    Args:
        settings: their names.
        words: overrides of all runs.
        last: name of the checkpoint of a run's end.
    """

    settings: Iterable[str]
    words: str
    last: str


SUITES = {
    "terms": Suite(TERMS, "callbacks.checkpointing.keep_every_n_epochs=1", "epoch0008.ckpt"),
    "small": Suite(
        SMALL,
        "data.max_images=40 trainer.max_epochs=40 trainer.log_every_n_steps=10 callbacks.validation.every_n_epochs=40 "
        "callbacks.image_grid.every_n_epochs=40 callbacks.checkpointing.every_n_epochs=10 ~callbacks.report",
        "epoch0040.ckpt",
    ),
}

Metrics = dict[str, float]
Curve = dict[int, Metrics]
"""Metrics by epoch."""


def train(folder: Path, data: Path, suite: Suite, setting: str, seed: int) -> Path:
    """Train a run, unless it is finished."""
    run_dir = folder / f"{setting}_{seed}"
    if (run_dir / "checkpoints" / suite.last).exists():
        return run_dir
    # In float32 on every machine, and so comparable.
    words = ["experiment=toy", "trainer.precision=32-true", *suite.words.split(), *SETTINGS[setting][1].split()]
    place = [f"run_dir={run_dir}", f"data.root={data}", f"seed={seed}", "logger=csv", "resume=auto"]
    subprocess.run([sys.executable, "-m", "cyclegan.train", *words, *place], check=True)
    return run_dir


def averaged(path: Path) -> Translator:
    """Load a checkpoint's translator with averaged weights, as all commands do."""
    return cyclegan.load(path)


def as_trained(path: Path) -> Translator:
    """Load it with the weights of the last step, which differ more between epochs."""
    translator = cyclegan.load(path)
    translator.load_state_dict(read(path)["state_dict"])
    return translator


def curve(run_dir: Path, data: Path, load: Callable[[Path], Translator], names: str = "epoch*.ckpt") -> Curve:
    """Measure the checkpoints of these names, unless their metrics are stored."""
    file = run_dir / f"metrics_{load.__name__}.json"
    known = json.loads(file.read_text()) if file.exists() else {}
    wanted = sorted((run_dir / "checkpoints").glob(names))
    images = ImageDataModule(data, load_size=64, crop_size=64, num_workers=0, pairing="by_name")
    images.setup()
    held_out = images.held_out()
    assert held_out is not None
    references = References(RandomFeatures(), data / ".cache" / "features")
    for path in tqdm([path for path in wanted if path.stem not in known], run_dir.name):
        known[path.stem] = evaluate(load(path), held_out, references, batch_size=8).metrics
        file.write_text(json.dumps(known))
    return {int(path.stem.removeprefix("epoch").removeprefix("=")): known[path.stem] for path in wanted}


def spread(values: list[float], digits: int = 2) -> str:
    """Return the mean and the standard deviation over the seeds."""
    deviation = statistics.stdev(values) if len(values) > 1 else 0.0
    return f"{statistics.mean(values):.{digits}f} ± {deviation:.{digits}f}"


def last(found: Curve) -> Metrics:
    """Return the metrics of the last epoch."""
    return found[max(found)]


def print_settings(curves: Mapping[tuple[str, int], Curve], seeds: list[int]) -> None:
    """Print the table of the ablation."""
    columns = {
        "psnr_ab": 2, "psnr_ba": 2, "ssim_ab": 3, "ssim_ba": 3, "cycle": 3, "kid": 3, "change_ab": 3, "luminance_ab": 2
    }  # fmt: skip
    print("| | " + " | ".join(columns) + " |\n|---|" + "---|" * len(columns))
    for setting, (title, _) in SETTINGS.items():
        runs = [last(curves[setting, seed]) for seed in seeds if (setting, seed) in curves]
        if runs:
            cells = [spread([run[name] for run in runs], digits) for name, digits in columns.items()]
            print(f"| {title} ({len(runs)} seeds) | " + " | ".join(cells) + " |")


def ranks(found: Curve, name: str, sign: int = 1) -> dict[int, int]:
    """Return the rank of each epoch by a metric, 0 for the smallest."""
    return {epoch: place for place, epoch in enumerate(sorted(found, key=lambda e: sign * found[e][name]))}


RULES: dict[str, Callable[[Curve], int]] = {
    "last": max,
    "kid": lambda found: min(found, key=lambda e: found[e]["kid"]),
    "fid": lambda found: min(found, key=lambda e: found[e]["fid"]),
    "cycle": lambda found: min(found, key=lambda e: found[e]["cycle"]),
    "identity": lambda found: min(found, key=lambda e: found[e]["identity"]),
    "kid and cycle, sum of places": lambda found: min(
        found, key=lambda e: (ranks(found, "kid")[e] + ranks(found, "cycle")[e], found[e]["kid"])
    ),
}
"""Ways to choose an epoch without paired ground truth."""


def print_rules(curves: Mapping[tuple[str, int], Curve]) -> None:
    """Print how many dB of PSNR each way of choosing a checkpoint loses against the best."""
    settings = list(dict.fromkeys(setting for setting, _ in curves))
    print("| rule | " + " | ".join(SETTINGS[setting][0] for setting in settings) + " |")
    print("|---|" + "---|" * len(settings))
    for rule, choose in RULES.items():
        lost: dict[str, list[float]] = {setting: [] for setting in settings}
        for (setting, _), found in curves.items():
            best = max(metrics["psnr"] for metrics in found.values())
            lost[setting].append(best - found[choose(found)]["psnr"])
        cells = ["/".join(f"{loss:.2f}" for loss in losses) for losses in lost.values()]
        print(f"| {rule} | " + " | ".join(cells) + " |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path("runs/ablation"))
    parser.add_argument("--data", type=Path, default=Path("data/toy"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--suite", choices=SUITES, default="terms")
    parser.add_argument("--settings", nargs="+", choices=SETTINGS, help="some of the suite's settings; default: all")
    args = parser.parse_args()

    suite = SUITES[args.suite]
    curves = {}
    for seed in args.seeds:
        for setting in args.settings or suite.settings:
            run_dir = train(args.folder, args.data, suite, setting, seed)
            curves[setting, seed] = curve(run_dir, args.data, averaged, suite.last)
    print_settings(curves, args.seeds)
    if args.suite != "terms":
        return
    for load in (averaged, as_trained):
        print(f"\ndB lost by choosing, weights {load.__name__}")
        chosen = [key for key in curves if key[0] in COMPLETE]
        print_rules({key: curve(args.folder / f"{key[0]}_{key[1]}", args.data, load) for key in chosen})


if __name__ == "__main__":
    main()
