"""Time of an evaluation and of a translation, on 120 + 140 images of 256².

Three passes over the same images, in alternating turns; on a CPU in processor time, on which other processes have less
influence:

- *translate*: every image is read, translated to the other domain, and its translation rounded to uint8;
- *forward*: images are read and pass the generators three times, as cycle and identity metrics need, without metrics;
- *evaluate*: a validation with the metrics of paired ground truth (PSNR, SSIM, L1), cycle, identity and the alarms.

python benchmarks/evaluation.py
"""

import argparse
import statistics
import tempfile
import time
from functools import partial
from pathlib import Path

import torch

from cyclegan.data.datamodule import ImageDataModule
from cyclegan.data.held_out import HeldOut
from cyclegan.datasets.toy import draw
from cyclegan.images.tensors import to_uint8
from cyclegan.methods.cyclegan import CycleGAN
from cyclegan.networks.resnet import ResnetGenerator
from cyclegan.validation.evaluate import evaluate
from cyclegan.validation.one_pass import batches


def images(root: Path, count_a: int, count_b: int, size: int) -> HeldOut:
    draw(root, train=1, test=max(count_a, count_b), size=size, seed=0)
    for domain, count in (("A", count_a), ("B", count_b)):
        for file in sorted((root / f"test{domain}").iterdir())[count:]:
            file.unlink()
    data = ImageDataModule(root, load_size=size, crop_size=size, pairing="by_name")
    data.setup()
    found = data.held_out()
    assert found is not None
    return found


def unread(held_out: HeldOut, pairing: str = "none") -> HeldOut:
    """Return the same images, none of them in memory."""
    return HeldOut(held_out.split, held_out.domains, pairing=pairing)


@torch.no_grad()
def translate(model: CycleGAN, held_out: HeldOut, batch_size: int) -> None:
    for source, target in model.directions:
        for _, images, _ in batches(unread(held_out), source, batch_size):
            to_uint8(model.translate(images.to(model.device), source, target)).cpu()


@torch.no_grad()
def forward(model: CycleGAN, held_out: HeldOut, batch_size: int) -> None:
    for source, target in model.directions:
        for _, images, _ in batches(unread(held_out), source, batch_size):
            images = images.to(model.device)
            model.translate(model.translate(images, source, target), target, source)
            model.translate(images, target, source)
    if model.device.type == "cuda":
        torch.cuda.synchronize()


def measured(model: CycleGAN, held_out: HeldOut, batch_size: int) -> None:
    evaluate(model, unread(held_out, "by_name"), batch_size=batch_size)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, nargs=2, default=(120, 140), metavar="N")
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--width", type=int, default=64, help="of the generators")
    parser.add_argument("--blocks", type=int, default=9)
    parser.add_argument("--batch-size", type=int, default=4)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    args = parser.parse_args()

    with tempfile.TemporaryDirectory() as folder:
        held_out = images(Path(folder), args.images[0], args.images[1], args.size)
        generator = partial(ResnetGenerator, width=args.width, blocks=args.blocks)
        model = CycleGAN(generator=generator).to(args.device).eval()
        clock = time.perf_counter if args.device.startswith("cuda") else time.process_time
        ways = {"translate": translate, "forward": forward, "evaluate": measured}
        seconds: dict[str, list[float]] = {name: [] for name in ways}
        for turn in range(args.turns):
            for name, way in ways.items():
                start = clock()
                way(model, held_out, args.batch_size)
                seconds[name].append(clock() - start)
            print(f"turn {turn + 1}: " + ", ".join(f"{name} {each[-1]:.2f} s" for name, each in seconds.items()))
    total = sum(args.images)
    networks = f"generators of width {args.width} with {args.blocks} blocks"
    print(f"\n{total} images of {args.size}², {networks}, {args.device}")
    for name, each in seconds.items():
        middle = statistics.median(each)
        print(f"{name:10} median {middle:7.2f} s, {1000 * middle / total:7.1f} ms an image")
    ratios = [e / f for e, f in zip(seconds["evaluate"], seconds["forward"], strict=True)]
    once = [e / f for e, f in zip(seconds["evaluate"], seconds["translate"], strict=True)]
    print(f"evaluate / forward: median {statistics.median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f})")
    print(f"evaluate / translate: median {statistics.median(once):.3f} ({min(once):.3f} to {max(once):.3f})")


if __name__ == "__main__":
    main()
