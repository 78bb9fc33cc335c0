"""Memory of training: the estimate beside measurements, and the largest crops and batches by the estimate.

All with the paper's networks: generators of six blocks below 256² and nine from there on, 70 × 70 PatchGAN. The
measurements are those of benchmarks/step.py; the tables are for nine blocks and image pools of 50.

python benchmarks/memory.py measure --sizes 128 256
python benchmarks/memory.py table
"""

import argparse
from collections.abc import Callable
from functools import partial

import torch
from step import DEVICE, FAST, ON_GPU, Row, Shape, autocast, build, cyclegan, memory_on_cpu, prepare

from cyclegan.callbacks.memory import Memory, estimate
from cyclegan.callbacks.run_summary import GB, RESERVE

CARDS = (8, 16, 24, 48, 80)
CROP_STEP = 32
SETTINGS = {
    "float32": f"float32+{FAST}",
    "float32, checkpointing": f"float32+{FAST}+checkpointing",
    "bf16-mixed": f"bf16+{FAST}",
    "bf16-mixed, checkpointing": f"bf16+{FAST}+checkpointing",
}

Estimator = Callable[[int, int], Memory]
"""Returns the memory of a crop and batch size."""


def estimator(shape: Shape, setting: str) -> Estimator:
    """Return the estimator of a setting with the networks for a shape."""
    precision, *options = setting.split("+")
    model, device = cyclegan(shape, options), torch.device(DEVICE)
    return partial(estimate, model, device=device, autocast=partial(autocast, precision))


def measured(shape: Shape, setting: str) -> float:
    """Return the megabytes of the first steps."""
    if not ON_GPU:
        return memory_on_cpu(partial(build, shape, setting))
    row = Row(shape.size, shape.batch, setting)
    prepare(shape, row)
    assert row.memory_mb is not None
    return row.memory_mb


def measure(sizes: list[int], batches: list[int], names: list[str]) -> None:
    print(f"| crop | batch size | setting | estimate, MB | measured, MB | measured / estimate |\n|{'---|' * 6}")
    for size in sizes:
        for batch_size in batches:
            for name in names:
                shape = Shape(size, batch_size, width=64)
                memory = estimator(shape, SETTINGS[name])(size, batch_size)
                expected = (memory.state + memory.step) / 1e6  # image pools are almost empty in the first steps
                found = measured(shape, SETTINGS[name])
                cells = f"{size}² | {batch_size} | {name} | {expected:.0f} | {found:.0f}"
                print(f"| {cells} | {found / expected:.2f} |", flush=True)


def table() -> None:
    """Print the formula of each setting, and the largest crops and batches of each card."""
    formulas, crops, batches = [], [], []
    for name, setting in SETTINGS.items():
        memory = estimator(Shape(size=256, batch=1, width=64), setting)
        small, large = memory(256, 1), memory(512, 1)
        pool = small.pools / 256**2
        pixel = (large.total - small.total) / (512**2 - 256**2) - pool
        fixed = small.total - 256**2 * (pool + pixel)
        formulas.append(f"{name} | {fixed / GB:.2f} | {pool / 1e3:.1f} | {pixel / 1e3:.1f}")

        rooms = [card * GB * (1 - RESERVE) for card in CARDS]
        crops.append(f"{name} | {' | '.join(str(largest_crop(memory, room, fixed, pool + pixel)) for room in rooms)}")
        image = memory(256, 2).total - small.total
        batches.append(f"{name} | {' | '.join(str(1 + int((room - small.total) / image)) for room in rooms)}")
    cards = [f"{card} GB" for card in CARDS]
    for heads, rows in ((["fixed, GB", "pools, kB", "pixel, kB"], formulas), (cards, crops), (cards, batches)):
        print(f"| | {' | '.join(heads)} |\n|{'---|' * (1 + len(heads))}")
        print(*(f"| {row} |" for row in rows), sep="\n", end="\n\n", flush=True)


def largest_crop(memory: Estimator, room: float, fixed: float, pixel: float) -> int:
    """Return the largest crop that fits with a batch of 1, from just above that of the formula downwards."""
    crop = (int(((room - fixed) / pixel) ** 0.5) // CROP_STEP + 1) * CROP_STEP
    while memory(crop, 1).total > room:
        crop -= CROP_STEP
    return crop


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    measuring = commands.add_parser("measure", help="compare the estimate with measurements")
    measuring.add_argument("--sizes", type=int, nargs="+", default=[128, 256])
    measuring.add_argument("--batches", type=int, nargs="+", default=[1])
    measuring.add_argument("--settings", nargs="+", choices=SETTINGS, default=list(SETTINGS))
    commands.add_parser("table", help="largest crops and batches by the estimate")
    args = parser.parse_args()
    if args.command == "measure":
        measure(args.sizes, args.batches, args.settings)
    else:
        table()


if __name__ == "__main__":
    main()
