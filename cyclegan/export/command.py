"""The command line of cyclegan-export."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cyclegan import __version__, cli
from cyclegan.errors import InputError, UserError

# torch is imported where it is used, so that --help answers without it.
if TYPE_CHECKING:
    from cyclegan.methods.translator import Translator

PROGRAM = "cyclegan-export"

EXTENSIONS = {"safetensors": ".safetensors", "torch": ".pth", "onnx": ".onnx", "torch.export": ".pt2"}
"""File extensions of the formats."""

USES = {
    "safetensors": "translated = cyclegan.load('{file}').translate(images, '{source}', '{target}')",
    "torch": "netG.load_state_dict(torch.load('{file}', weights_only=True))  # a network of the authors' code",
    "onnx": "(translated,) = onnxruntime.InferenceSession('{file}').run(None, {{'images': images}})",
    "torch.export": "translated = torch.export.load('{file}').module(check_guards=False)(images)",
}
"""A line of Python that uses a file of a format."""


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(
        prog=PROGRAM,
        description="Export one direction of a checkpoint for other programs, with averaged weights if the run kept them.",
        epilog="example: cyclegan-export runs/toy --format onnx --direction B2A",
    )

    def add(name: str, metavar: str | None, text: str, **arguments: object) -> None:
        parser.add_argument(name, metavar=metavar, help=text, **arguments)  # type: ignore[arg-type]

    cli.add_version(parser)
    add("checkpoint", "CHECKPOINT", "checkpoint file, run folder, published weights, or an export")
    add("--format", None, "safetensors: weights, with a JSON file beside them, for this package; torch: weights as the "
        "authors' code has them; onnx; torch.export: a program of torch (default: safetensors)",
        choices=EXTENSIONS, default="safetensors")  # fmt: skip
    add("--direction", "A2B", "direction to export (default: the first, A2B)")
    add("--output", "FILE", "file to write (default: CHECKPOINT's name and the direction, in this folder)", type=Path)
    add("--pixels", None, "onnx, torch.export: images are float32 in [-1, 1], or uint8 in 0..255 (default: float)",
        choices=("float", "uint8"), default="float")  # fmt: skip
    add("--trust", "PACKAGE", "let the checkpoint use classes of this package", action="append", default=[])
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command."""
    cli.open_screen()
    args = build_parser().parse_args(argv)
    try:
        run(args)
    except (UserError, OSError) as error:  # OSError: the output cannot be written
        sys.exit(f"{PROGRAM}: {error}")


def run(args: argparse.Namespace) -> None:
    """Run a parsed command line."""
    import cyclegan

    translator = cyclegan.load(args.checkpoint, trust=args.trust)
    source, target = cli.parse_direction(translator, args.direction)
    name = f"{Path(args.checkpoint).resolve().stem}_{source}2{target}"
    file = args.output or Path(name).with_suffix(EXTENSIONS[args.format])
    cli.require_new(file)
    print(write(translator, source, target, args.format, args.pixels, file))
    print(f"{file}  {file.stat().st_size / 1e6:.1f} MB, {source}2{target}")
    print(USES[args.format].format(file=file, source=source, target=target))
