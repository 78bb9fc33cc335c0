"""Images per second of one process and of several, on one machine: how much the processes cost.

Trains narrow networks at 128² on drawn images with `trainer=ddp`, with one thread and a batch of 1 in each process, in
alternating turns. Prints the medians and the efficiency, (images/s of k) / (k × images/s of 1). The speed is that of
metrics.csv, without the first epoch.

python benchmarks/scaling.py --processes 2
"""

import argparse
import csv
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

WORDS = (
    *("experiment=toy", "generator=resnet3_small", "discriminator=patchgan_small", "logger=csv", "trainer=ddp"),
    *("~callbacks.validation", "~callbacks.alarms", "~callbacks.early_stopping", "~callbacks.report"),
    *("callbacks.checkpointing.best=null", "data.source.size=128", "data.load_size=144", "data.crop_size=128"),
    *("data.batch_size=1", "data.num_workers=0", "trainer.log_every_n_steps=1"),
)


def images_per_second(folder: Path, name: str, words: list[str]) -> float:
    """Train, and return the median speed of the batches after the first epoch."""
    done = subprocess.run(
        [sys.executable, "-m", "cyclegan.train", *WORDS, f"name={name}", *words],
        cwd=folder,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    if done.returncode != 0:
        sys.exit(done.stdout + done.stderr)
    with (folder / "runs" / name / "metrics.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row.get("images_per_s")]
    return statistics.median(float(row["images_per_s"]) for row in rows if float(row["epoch"]) > 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--images", type=int, default=20, help="images of each domain")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--accelerator", default="cpu", choices=("cpu", "gpu"))
    args = parser.parse_args()
    speeds: dict[int, list[float]] = {1: [], args.processes: []}
    with tempfile.TemporaryDirectory() as place:
        for turn in range(args.turns):
            for count, found in speeds.items():
                words = [f"trainer.accelerator={args.accelerator}", f"trainer.devices={count}"]
                words += [f"data.source.train={args.images}", f"trainer.max_epochs={args.epochs}"]
                found.append(images_per_second(Path(place), f"{turn}-{count}", words))
                print(f"turn {turn + 1}: {count} processes, {found[-1]:.2f} images/s", flush=True)
    medians = {count: statistics.median(found) for count, found in speeds.items()}
    for count, median in medians.items():
        print(f"{count} processes: {median:.2f} images/s, efficiency {median / (count * medians[1]):.0%}")


if __name__ == "__main__":
    main()
