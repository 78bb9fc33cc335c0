"""Images per second and core, compared with a plain pipeline; time and memory of a list of a million images.

The plain pipeline is that of the authors' code and of most others: Pillow decodes and converts, torchvision's
transforms resize to 286, crop 256, flip, convert to a float tensor and normalise. Both read the same JPEG files in one
process with one thread, in alternating turns; a batch has one image of each domain.

python benchmarks/data.py speed --photos data/horse2zebra
python benchmarks/data.py million
"""

import argparse
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms as T

from cyclegan.data.datamodule import ImageDataModule

PLAIN = T.Compose(
    [
        T.Resize((286, 286), T.InterpolationMode.BICUBIC),
        T.RandomCrop(256),
        T.RandomHorizontalFlip(),
        T.ToTensor(),
        T.Normalize((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
    ]
)


class Plain(Dataset[dict[str, torch.Tensor]]):
    """Unpaired images of the plain pipeline."""

    def __init__(self, root: Path) -> None:
        self.files = {domain: sorted((root / f"train{domain}").iterdir()) for domain in "AB"}

    def __len__(self) -> int:
        return max(len(files) for files in self.files.values())

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        return {
            domain: PLAIN(Image.open(files[index % len(files)]).convert("RGB")) for domain, files in self.files.items()
        }


# ---------------------------------------------------------------------------------------------- speed


def copy_photos(photos: Path, root: Path, count: int) -> None:
    """Copy the first photographs of each domain."""
    for domain in "AB":
        folder = root / f"train{domain}"
        folder.mkdir(parents=True)
        for path in sorted((photos / f"train{domain}").iterdir())[:count]:
            shutil.copy(path, folder)


def enlarge_photos(photos: Path, root: Path, count: int, size: int = 2000) -> None:
    """Write large JPEG files, each a mosaic of photographs, so that they have as much detail as those of a camera."""
    for domain in "AB":
        folder = root / f"train{domain}"
        folder.mkdir(parents=True)
        tiles = sorted((photos / f"train{domain}").iterdir())
        for number in range(count):
            large = Image.new("RGB", (size, size))
            for place in range(16):
                tile = Image.open(tiles[(number * 16 + place) % len(tiles)]).convert("RGB")
                corner = (place % 4 * size // 4, place // 4 * size // 4)
                large.paste(tile.resize((size // 4, size // 4), Image.Resampling.BICUBIC), corner)
            large.save(folder / f"{number:04d}.jpg", quality=92)


def rate(loader: Any, images: int) -> float:
    """Return the images per second of both domains together, in batches of one image of each."""
    batches = endless(loader)
    start = time.perf_counter()
    for _ in range(images // 2):
        next(batches)
    return images / (time.perf_counter() - start)


def endless(loader: Any) -> Iterator[Any]:
    """Yield the batches of one epoch after another."""
    while True:
        yield from loader


class Ours:
    """The batches of training, without worker processes."""

    def __init__(self, root: Path, **arguments: Any) -> None:
        self.data = ImageDataModule(root, num_workers=0, header_checks=0, **arguments)
        self.data.setup()
        self.loader = self.data.train_dataloader()

    def __iter__(self) -> Iterator[Any]:
        return (self.data.on_after_batch_transfer(batch, 0) for batch in self.loader)


def speed(args: argparse.Namespace) -> None:
    """Print a row for each way of reading."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        small, large, prepared = (Path(name, folder) for folder in ("small", "large", "prepared"))
        copy_photos(args.photos, small, args.count)
        enlarge_photos(args.photos, large, args.count // 10)
        command = [sys.executable, "-m", "cyclegan.data_tool", "prepare", str(large), str(prepared)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        print(f"{'files':<12}{'pipeline':<34}{'images/s':>11}{'over plain':>12}{'least to most':>16}")
        compare(
            "256² JPEG",
            args,
            2 * args.count,
            plain=DataLoader(Plain(small), batch_size=1, shuffle=True),
            uncached=Ours(small),
            **{"cache=disk": Ours(small, cache="disk")},
        )
        compare(
            "2000² JPEG",
            args,
            2 * (args.count // 10),
            plain=DataLoader(Plain(large), batch_size=1, shuffle=True),
            uncached=Ours(large),
            **{
                "uncached, reducing_gap=null": Ours(large, reducing_gap=None),
                "cache=disk": Ours(large, cache="disk"),
                "prepared": Ours(prepared),
            },
        )
        compare(
            "prepared",
            args,
            2 * args.count,
            plain=DataLoader(Plain(prepared), batch_size=1, shuffle=True),
            uncached=Ours(prepared),
            **{"cache=disk": Ours(prepared, cache="disk")},
        )


def compare(files: str, args: argparse.Namespace, images: int, **loaders: Any) -> None:
    """Measure the loaders in alternating turns over the same number of images, after a warm-up turn."""
    rates: dict[str, list[float]] = {name: [] for name in loaders}
    for turn in range(args.turns + 1):
        for name, loader in loaders.items():
            found = rate(loader, images)
            if turn:
                rates[name].append(found)
    for name, all_found in rates.items():
        ratios = [ours / plain for ours, plain in zip(all_found, rates["plain"], strict=True)]
        middle = statistics.median(ratios)
        spread = f"{min(ratios):.2f}–{max(ratios):.2f}"
        print(f"{files:<12}{name:<34}{statistics.median(all_found):>11.0f}{middle:>12.2f}{spread:>16}", flush=True)


# ---------------------------------------------------------------------------------------------- a million


FEW = 2000


def million(args: argparse.Namespace) -> None:
    """Print the time and memory for long list files, compared with short ones."""
    with tempfile.TemporaryDirectory() as name:
        columns = []
        for count in (FEW, args.count):
            root = Path(name, str(count))
            link_files(root, count)
            command = [sys.executable, __file__, "ready", str(root)]
            columns.append(json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout))
        for key in columns[0]:
            print(f"{key:<60}" + "".join(f"{column[key]!s:>16}" for column in columns))


def link_files(root: Path, count: int) -> None:
    """Write list files of `count` paths in total, half of them in each domain: hard links to a few images."""
    rng = np.random.default_rng(0)
    for domain in "AB":
        listed = []
        (root / domain).mkdir(parents=True)
        for number in range(count // 2):
            folder = root / domain / f"{number // 10_000:04d}"
            path = folder / f"photograph_{number:07d}.jpg"
            if number % 10_000 == 0:  # a file takes some ten thousand links
                folder.mkdir(parents=True)
                pixels = rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)
                Image.fromarray(pixels).resize((256, 256)).save(path, quality=90)
                first = path
            else:
                os.link(first, path)
            listed.append(f"{path.relative_to(root)}\n")
        (root / f"{domain}.txt").write_text("".join(listed))


def ready(args: argparse.Namespace) -> None:
    """Set up the data, take batches from workers, and print the time and memory; runs in its own process."""
    from cyclegan.data.domains import Domain

    before, start = resident(), time.perf_counter()
    domains = {domain: Domain(train=str(args.root / f"{domain}.txt")) for domain in "AB"}
    data = ImageDataModule(args.root, num_workers=2, domains=domains)
    data.setup()
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024 - before
    loader = data.train_dataloader()
    batches = iter(loader)
    next(batches)
    first = time.perf_counter() - start
    workers = worker_memory()
    for _ in range(200):
        next(batches)
    print(
        json.dumps(
            {
                "images": sum(data.counts.values()),
                "seconds until ready (lists read, 10,000 headers a domain)": round(seconds, 2),
                "seconds until the first batch of two workers": round(first, 2),
                "MB more in the main process, at most while setting up": round(peak),
                "MB more in the main process afterwards": round(resident() - before),
                "MB that are a worker's own, after its first batch": [round(m) for m in workers],
                "and after 100 more": [round(m) for m in worker_memory()],
            }
        )
    )


def resident() -> float:
    """Return the memory of this process in MB."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def worker_memory() -> list[float]:
    """Return the private memory of each child process in MB."""
    children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    return [
        sum(int(line.split()[1]) for line in Path(f"/proc/{child}/smaps_rollup").read_text().splitlines()
            if line.startswith("Private_")) / 1024
        for child in children
    ]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    command = commands.add_parser("speed")
    command.add_argument("--photos", type=Path, default=Path("data/horse2zebra"), help="holds trainA and trainB")
    command.add_argument("--count", type=int, default=400, help="photographs of each domain")
    command.add_argument("--turns", type=int, default=5)
    command.set_defaults(run=speed)
    command = commands.add_parser("million")
    command.add_argument("--count", type=int, default=1_000_000)
    command.set_defaults(run=million)
    command = commands.add_parser("ready")
    command.add_argument("root", type=Path)
    command.set_defaults(run=ready)
    args = parser.parse_args()
    run: Callable[[argparse.Namespace], None] = args.run
    run(args)


if __name__ == "__main__":
    main()
