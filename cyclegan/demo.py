"""cyclegan-demo: trains on the toy set, translates its test images and measures the distance to the known answers."""

from __future__ import annotations

import argparse
import logging
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cyclegan.callbacks.stop_signals import StopRequestedError
from cyclegan.cli import add_version, open_screen, plan, positive
from cyclegan.data.file_list import find_files
from cyclegan.errors import UserError
from cyclegan.train.command import quieten, train
from cyclegan.train.configuration import conf_dir
from cyclegan.translate import translate_files

if TYPE_CHECKING:
    from PIL import Image
    from torch import Tensor

PROGRAM = "cyclegan-demo"
CAPTIONS = ("input", "translation", "answer")
SHOWN = 5
SCALE = 2
HEAD = 20  # pixels above the images, for captions


@dataclass(frozen=True)
class Distance:
    """How far a direction's images are from the known answers: mean PSNR in dB, higher is nearer."""

    direction: tuple[str, str]
    copied: float  # the input taken for the answer
    translated: float

    @property
    def name(self) -> str:
        """A2B."""
        return "2".join(self.direction)

    @property
    def gain(self) -> float:
        """What translating brought."""
        return self.translated - self.copied


def run(root: Path, output: Path, seed: int, epochs: int | None, overrides: Sequence[str] = ()) -> list[Distance]:
    """Trains, translates both ways, draws `demo.png`, and returns the distances.

    Args:
        root: where the toy set is drawn, or is already.
        output: the run folder; a run that stands there is replaced.
        seed: of the run.
        epochs: None takes those of `experiment=toy`.
        overrides: further settings of `cyclegan-train`, such as `adversarial=hinge`.
    """
    from hydra import compose, initialize_config_dir

    import cyclegan

    with initialize_config_dir(conf_dir(), version_base="1.3"):
        config = compose("train", ["experiment=toy", "name=demo", "overwrite=true", "logger=csv", *overrides])
    # Not as overrides, whose grammar gives a meaning to some characters of a path.
    config.run_dir, config.data.root, config.seed = str(output), str(root), seed
    if epochs is not None:
        config.trainer.max_epochs = epochs
    train(config)

    translator = cyclegan.load(output / "checkpoints" / "last.ckpt")
    distances = []
    for direction in translator.directions:
        folder = output / "translated" / "2".join(direction)
        files = find_files(root / f"test{direction[0]}")
        translate_files(translator, plan(files.base, files.names(), folder, ".png"), direction, batch_size=8)
        distances.append(measure(root, folder, direction))
    side_by_side(root, output, translator.directions).save(output / "demo.png")
    return distances


def measure(root: Path, translated: Path, direction: tuple[str, str]) -> Distance:
    """Compares every translated file with the test image of the same name in the target domain."""
    from cyclegan.metrics.paired import psnr

    source, target = direction
    names = sorted(path.name for path in translated.iterdir())
    answers = stack(root / f"test{target}", names)
    return Distance(
        direction,
        float(psnr(stack(root / f"test{source}", names), answers).mean()),
        float(psnr(stack(translated, names), answers).mean()),
    )


def stack(folder: Path, names: Sequence[str]) -> Tensor:
    """Reads images of one size as (N, 3, H, W) in [-1, 1]."""
    import torch

    from cyclegan.images import read
    from cyclegan.images.tensors import to_tensor

    return torch.stack([to_tensor(read(folder / name)) for name in names])


def side_by_side(root: Path, output: Path, directions: Sequence[tuple[str, str]]) -> Image.Image:
    """The first test scenes as rows; input, translation and answer of each direction as columns, with captions."""
    import torch
    from PIL import Image, ImageDraw, ImageFont

    from cyclegan.images.tensors import grid, to_view

    captions, columns = [], []
    for source, target in directions:
        translated = output / "translated" / f"{source}2{target}"
        names = sorted(path.name for path in translated.iterdir())[:SHOWN]
        columns += [stack(folder, names) for folder in (root / f"test{source}", translated, root / f"test{target}")]
        captions += [
            f"{source}: {CAPTIONS[0]}",
            f"{source} to {target}: {CAPTIONS[1]}",
            f"{target}: {CAPTIONS[2]}",
        ]
    enlarged = [torch.nn.functional.interpolate(c, scale_factor=SCALE, mode="nearest") for c in columns]
    image = Image.fromarray(to_view(grid(enlarged)))

    page = Image.new("RGB", (image.width, image.height + HEAD), "white")
    page.paste(image, (0, HEAD))
    draw, step = ImageDraw.Draw(page), image.width / len(captions)
    for i, caption in enumerate(captions):
        draw.text(((i + 0.5) * step, HEAD / 2), caption, fill="black", anchor="mm", font=ImageFont.load_default(13))
    return page


def table(distances: Sequence[Distance]) -> str:
    """The distances in words."""
    lines = ["         copying the input   translated     gain"]
    lines += [
        f"{d.direction[0]} → {d.direction[1]}    {d.copied:12.2f} dB   {d.translated:7.2f} dB  {d.gain:+6.2f} dB"
        for d in distances
    ]
    return "\n".join(lines)


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog=PROGRAM,
        description="Train on the toy set (a few minutes on a CPU), translate its test images both ways, and print "
        "the distance to the known answers.",
    )
    add_version(parser)
    parser.add_argument("--output", type=Path, default=Path("runs/demo"), help="run folder (default: runs/demo)")
    parser.add_argument("--data", type=Path, default=Path("data/toy"), help="toy set, drawn if missing (data/toy)")
    parser.add_argument("--seed", type=int, default=0, help="of the run (default: 0)")
    parser.add_argument("--epochs", type=positive, help="fewer for a quick look (default: those of experiment=toy)")
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    """The console script."""
    open_screen()
    args = build_parser().parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    quieten()
    start = time.monotonic()
    try:
        distances = run(args.data, args.output, args.seed, args.epochs)
    except StopRequestedError as stop:
        sys.exit(f"{PROGRAM}: {stop}; called again, it begins anew")
    except UserError as error:
        sys.exit(f"{PROGRAM}: {error}")
    print(
        f"\nmean PSNR to the known answers of {args.data}, after {time.monotonic() - start:.0f} s:\n{table(distances)}"
    )
    print(f"\nside by side: {args.output / 'demo.png'}\nover training: {args.output / 'samples'}")


if __name__ == "__main__":
    main()
