"""PSNR to the paired ground truth of the toy set: the default experiment with several seeds.

python benchmarks/toy.py --seeds 0 1 2
python benchmarks/toy.py --seeds 0 1 2 --output runs/bench_float32 trainer.precision=32-true
"""

import argparse
import csv
import json
import logging
import statistics
import time
from pathlib import Path

import torch

from cyclegan import demo
from cyclegan.train.command import quieten


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--output", type=Path, default=Path("runs/bench_toy"))
    parser.add_argument("--data", type=Path, default=Path("data/toy"))
    parser.add_argument("overrides", nargs="*", help="for cyclegan-train, such as trainer.precision=32-true")
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    quieten()

    results = []
    for seed in args.seeds:
        run_dir = args.output / f"seed{seed}"
        start = time.monotonic()
        psnrs = demo.run(args.data, run_dir, seed, epochs=None, overrides=args.overrides)
        row = {"seed": seed, "minutes": (time.monotonic() - start) / 60, "images_per_s": speed(run_dir)}
        for (source, target), (copied, translated) in psnrs.items():
            name = f"{source}2{target}"
            row |= {f"copied_{name}": copied, f"translated_{name}": translated, f"gain_{name}": translated - copied}
        results.append(row)
        (args.output / "toy.json").write_text(json.dumps(results, indent=2))
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads")
    for name in results[0]:
        print(f"{name:16}" + "".join(f"{row[name]:9.2f}" for row in results))


def speed(run_dir: Path) -> float:
    """Return the median of the images per second that the run logged."""
    with (run_dir / "metrics.csv").open() as file:
        return statistics.median(float(row["images_per_s"]) for row in csv.DictReader(file) if row["images_per_s"])


if __name__ == "__main__":
    main()
