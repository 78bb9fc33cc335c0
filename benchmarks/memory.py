"""Memory of training: the estimate beside measurements, and the largest crops and batches by the estimate.

All with the paper's networks (nine blocks, 70 × 70 PatchGAN, image pools of 50). A measurement is the peak of a step in
a process of its own, after a first step of small images: what torch allocates on a GPU, the resident memory on a CPU,
with an allocator that gives freed memory back at once. There are no image pools in it.

python benchmarks/memory.py measure --sizes 128 256
python benchmarks/memory.py table
"""

import argparse
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Any

import torch

from cyclegan.callbacks.memory import Memory, estimate
from cyclegan.callbacks.run_summary import GB, RESERVE
from cyclegan.methods.cyclegan import CycleGAN
from cyclegan.networks.resnet import ResnetGenerator

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
CARDS = (8, 16, 24, 48, 80)
CROP_STEP = 32
MALLOC = {"MALLOC_MMAP_THRESHOLD_": "65536"}
"""Makes glibc return freed tensors to the system; it keeps up to a fifth more by itself."""

SETTINGS = {
    "float32": (None, False),
    "float32, checkpointing": (None, True),
    "bf16-mixed": (torch.bfloat16, False),
    "bf16-mixed, checkpointing": (torch.bfloat16, True),
}


def precision(dtype: torch.dtype | None) -> Callable[[], AbstractContextManager[Any]]:
    return partial(torch.autocast, DEVICE.type, dtype, enabled=dtype is not None)


def cyclegan(checkpointing: bool, pool_size: int = 50) -> CycleGAN:
    return CycleGAN(partial(ResnetGenerator, activation_checkpointing=checkpointing), pool_size=pool_size)


def resident(name: str) -> int:
    """Return an entry of Linux's account of this process, in bytes."""
    found = re.search(rf"{name}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found
    return int(found[1]) * 1024


def peak(size: int, batch_size: int, setting: str) -> int:
    """Return the bytes that training takes in this process, which has done nothing else."""
    dtype, checkpointing = SETTINGS[setting]
    model = cyclegan(checkpointing, pool_size=0).to(DEVICE)
    optimizer = model.configure_optimizers()["optimizer"]

    def step(size: int) -> None:
        a, b = torch.rand(2, batch_size, 3, size, size, device=DEVICE) * 2 - 1
        with precision(dtype)():
            cycle = model.cycle(a, b)
            losses = model.generator_losses(cycle) | model.discriminator_losses(cycle)
            loss = torch.stack(list(losses.values())).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    step(32)
    if DEVICE.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
        step(size)
        step(size)
        return torch.cuda.max_memory_allocated()
    before = resident("VmRSS") - 4 * sum(4 * weight.numel() for weight in model.parameters())  # with gradients and Adam
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts again
    step(size)
    return resident("VmHWM") - before


def measure(sizes: list[int], batches: list[int], settings: list[str]) -> None:
    print(f"| crop | batch size | setting | estimate, MB | measured, MB | measured / estimate |\n|{'---|' * 6}")
    for size in sizes:
        for batch_size in batches:
            for setting in settings:
                dtype, checkpointing = SETTINGS[setting]
                expected = estimate(cyclegan(checkpointing, 0), size, batch_size, DEVICE, precision(dtype)).total
                words = [sys.executable, __file__, "peak", json.dumps([size, batch_size, setting])]
                found = int(subprocess.run(words, env=os.environ | MALLOC, stdout=subprocess.PIPE, check=True).stdout)
                cells = f"{size}² | {batch_size} | {setting} | {expected / 2**20:.0f} | {found / 2**20:.0f}"
                print(f"| {cells} | {found / expected:.2f} |", flush=True)


def table() -> None:
    """Print the formula of each setting, and the largest crops and batches of each card."""
    formulas, crops, batches = [], [], []
    for setting, (dtype, checkpointing) in SETTINGS.items():
        memory = partial(estimate, cyclegan(checkpointing), device=DEVICE, autocast=precision(dtype))
        small, large = memory(256, 1), memory(512, 1)
        pool = small.pools / 256**2
        pixel = (large.total - small.total) / (512**2 - 256**2) - pool
        fixed = small.total - 256**2 * (pool + pixel)
        formulas.append(f"{setting} | {fixed / GB:.2f} | {pool / 1e3:.1f} | {pixel / 1e3:.1f}")

        rooms = [card * GB * (1 - RESERVE) for card in CARDS]
        crops.append(
            f"{setting} | {' | '.join(str(largest_crop(memory, room, fixed, pool + pixel)) for room in rooms)}"
        )
        image = memory(256, 2).total - small.total
        batches.append(f"{setting} | {' | '.join(str(1 + int((room - small.total) / image)) for room in rooms)}")
    cards = [f"{card} GB" for card in CARDS]
    for heads, rows in ((["fixed, GB", "pools, kB", "pixel, kB"], formulas), (cards, crops), (cards, batches)):
        print(f"| | {' | '.join(heads)} |\n|{'---|' * (1 + len(heads))}")
        print(*(f"| {row} |" for row in rows), sep="\n", end="\n\n", flush=True)


def largest_crop(memory: Callable[[int, int], Memory], room: float, fixed: float, pixel: float) -> int:
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
    commands.add_parser("peak", help="a single measurement, in bytes").add_argument("case", type=json.loads)
    args = parser.parse_args()
    if args.command == "measure":
        measure(args.sizes, args.batches, args.settings)
    elif args.command == "table":
        table()
    else:
        print(peak(*args.case))


if __name__ == "__main__":
    main()
