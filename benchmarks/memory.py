"""Memory of training: the estimate beside measurements, and the largest crops and batches by the estimate.

All with the paper's networks (nine blocks, 70 × 70 PatchGAN, image pools of 50). A measurement is the peak of two steps
in a process of its own, after a first step of small images: what torch allocates on a GPU, the resident memory on a
CPU. Pools are empty at the start and are not counted.

python benchmarks/memory.py measure --sizes 128 256
python benchmarks/memory.py table
"""

import argparse
import json
import re
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Any

import torch

from cyclegan.callbacks.memory import estimate
from cyclegan.callbacks.run_summary import GB, RESERVE
from cyclegan.methods.cyclegan import CycleGAN
from cyclegan.networks.resnet import ResnetGenerator

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
CARDS = (8, 16, 24, 48, 80)
CROPS = range(64, 4096, 32)

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
                found = int(subprocess.run(words, stdout=subprocess.PIPE, check=True).stdout)
                cells = f"{size}² | {batch_size} | {setting} | {expected / 2**20:.0f} | {found / 2**20:.0f}"
                print(f"| {cells} | {found / expected:.2f} |", flush=True)


def table() -> None:
    """Print the formula of each setting, and the largest crops and batches of each card."""
    formulas, crops, batches = [], [], []
    for setting, (dtype, checkpointing) in SETTINGS.items():
        model = cyclegan(checkpointing)

        def memory(size: int, batch_size: int, model: CycleGAN = model, dtype: torch.dtype | None = dtype) -> int:
            return estimate(model, size, batch_size, DEVICE, precision(dtype)).total

        one, two = memory(256, 1), memory(256, 2)
        large = memory(512, 1)
        pixels = (large - one) / (512**2 - 256**2)
        formulas.append(
            f"{setting} | {(one - 256**2 * pixels) / GB:.2f} | {pixels / 1e3:.1f} | {(two - one) / 1e6:.0f}"
        )
        rooms = [card * GB * (1 - RESERVE) for card in CARDS]
        largest = []
        for room in rooms:
            fixed = one - 256**2 * pixels
            guess = ((room - fixed) / pixels) ** 0.5
            crop = int(guess) // 32 * 32 + 32
            while memory(crop, 1) > room:
                crop -= 32
            largest.append(f"{crop}")
        crops.append(f"{setting} | {' | '.join(largest)}")
        batches.append(f"{setting} | {' | '.join(str(1 + int((room - one) / (two - one))) for room in rooms)}")
    print(
        "| | fixed, GB | kB for each pixel of a crop, batch 1 | MB for each further image of 256² |\n|---|---|---|---|"
    )
    print(*(f"| {row} |" for row in formulas), sep="\n")
    for rows in (crops, batches):
        print(f"\n| | {' | '.join(f'{card} GB' for card in CARDS)} |\n|{'---|' * (1 + len(CARDS))}")
        print(*(f"| {row} |" for row in rows), sep="\n", flush=True)


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
