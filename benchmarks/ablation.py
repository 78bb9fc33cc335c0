"""The effect of each loss term on the toy set: the tables of docs/ablation.md.

Trains each setting with each seed, keeps a checkpoint of each epoch, and measures all of them. Finished runs and
measurements are reused when the command is started again. A run takes about 5 minutes on two cores.

python benchmarks/ablation.py --folder runs/ablation
"""

import argparse
import json
import statistics
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from tqdm import tqdm

import cyclegan
from cyclegan.checkpoint.reading import read
from cyclegan.data.datamodule import ImageDataModule
from cyclegan.methods.translator import Translator
from cyclegan.metrics.random_features import RandomFeatures
from cyclegan.validation.evaluate import evaluate
from cyclegan.validation.feature_cache import References

SETTINGS = {
    "cycle_alone": "cycle alone",
    "gan_alone": "GAN alone",
    "gan_forward": "GAN + forward cycle",
    "gan_backward": "GAN + backward cycle",
    "no_identity": "all of the paper's equation 3",
    "no_pool": "… + identity, without pool",
    "all": "… + identity (the default)",
}
"""Settings and their titles: options of the group `loss_weights`, and those of `OVERRIDES`."""

OVERRIDES = {"no_pool": "model.pool_size=0", "all": "loss_weights=paper"}

COMPLETE = ("no_identity", "no_pool", "all")
"""Settings with all terms of equation 3."""

LAST = "epoch0008.ckpt"

Metrics = dict[str, float]
Curve = dict[int, Metrics]
"""Metrics by epoch."""


def train(folder: Path, data: Path, setting: str, seed: int) -> Path:
    """Train a run, unless it is finished."""
    run_dir = folder / f"{setting}_{seed}"
    if (run_dir / "checkpoints" / LAST).exists():
        return run_dir
    change = OVERRIDES.get(setting, f"loss_weights={setting}")
    words = ["experiment=toy", change, f"run_dir={run_dir}", f"data.root={data}", f"seed={seed}"]
    keep = ["callbacks.checkpointing.keep_every_n_epochs=1", "logger=csv", "resume=auto"]
    subprocess.run([sys.executable, "-m", "cyclegan.train", *words, *keep], check=True)
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


def print_terms(curves: Mapping[tuple[str, int], Curve], seeds: list[int]) -> None:
    """Print the table of the ablation."""
    columns = {
        "psnr_ab": 2, "psnr_ba": 2, "ssim_ab": 3, "ssim_ba": 3, "cycle": 3, "kid": 3, "change_ab": 3, "luminance_ab": 2
    }  # fmt: skip
    print("| | " + " | ".join(columns) + " |\n|---|" + "---|" * len(columns))
    for setting, title in SETTINGS.items():
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
    print("| rule | " + " | ".join(SETTINGS[setting] for setting in settings) + " |")
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
    parser.add_argument("--settings", nargs="+", choices=SETTINGS, default=list(SETTINGS))
    args = parser.parse_args()

    curves = {}
    for seed in args.seeds:
        for setting in args.settings:
            run_dir = train(args.folder, args.data, setting, seed)
            curves[setting, seed] = curve(run_dir, args.data, averaged, LAST)
    print_terms(curves, args.seeds)
    for load in (averaged, as_trained):
        print(f"\ndB lost by choosing, weights {load.__name__}")
        chosen = [key for key in curves if key[0] in COMPLETE]
        print_rules({key: curve(args.folder / f"{key[0]}_{key[1]}", args.data, load) for key in chosen})


if __name__ == "__main__":
    main()
