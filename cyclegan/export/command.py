"""The command line of cyclegan-export."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from cyclegan import __version__, cli
from cyclegan.errors import InputError, UserError, missing
from cyclegan.report.run_files import read_rows

# torch is imported where it is used, so that --help answers without it.
if TYPE_CHECKING:
    from cyclegan.export.graphs import Pixels
    from cyclegan.methods.translator import Translator

PROGRAM = "cyclegan-export"

About = Mapping[str, Any]
"""What is stored with an export; see `description`."""

EXTENSIONS = {"safetensors": ".safetensors", "torch": ".pth", "onnx": ".onnx", "torch.export": ".pt2"}
"""File extensions of the formats."""

USES = {
    "safetensors": "translated = cyclegan.load('{file}').translate(images, '{source}', '{target}')",
    "torch": "generator.load_state_dict(torch.load('{file}', weights_only=True))",
    "onnx": "(translated,) = onnxruntime.InferenceSession('{file}').run(None, {{'images': images}})",
    "torch.export": "translated = torch.export.load('{file}').module(check_guards=False)(images)",
}
"""A line of Python that uses a file of a format."""


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(
        prog=PROGRAM,
        description="Export one direction of a checkpoint for other programs; averaged weights, if the run kept them.",
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
    add("--push", "USER/MODEL", "upload safetensors of all directions, or of --direction, with a model card to the "
        "Hugging Face Hub; the login is that of `hf auth login`")  # fmt: skip
    add("--license", "NAME", "--push: identifier of the model's licence, such as mit")
    add("--trust", "PACKAGE", "let the checkpoint use classes of this package", action="append", default=[])
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command."""
    cli.open_screen()
    args = build_parser().parse_args(argv)
    try:
        execute(args)
    except (UserError, OSError) as error:  # OSError: the output cannot be written
        sys.exit(f"{PROGRAM}: {error}")


def execute(args: argparse.Namespace) -> None:
    """Run a parsed command line."""
    import cyclegan
    from cyclegan.checkpoint.exported import description
    from cyclegan.checkpoint.reading import checkpoint_file, read

    file = checkpoint_file(args.checkpoint, args.direction)
    translator, checkpoint = cyclegan.load(file, trust=args.trust, direction=args.direction), read(file)
    chosen = cli.parse_direction(translator, args.direction)
    run = run_of(file)
    history = trained(checkpoint, run)
    if args.push:
        if args.format != "safetensors" or args.output:
            raise InputError("--push uploads safetensors: leave --format and --output out")
        directions = [chosen] if args.direction else translator.directions
        abouts = [description(translator, checkpoint, *direction) | history for direction in directions]
        grid = max((run / "samples").glob("*.jpg"), default=None) if run else None
        print(push(translator, abouts, args.push, args.license, grid))
        return
    source, target = chosen
    output = args.output or Path(f"{run.name if run else file.stem}_{source}2{target}{EXTENSIONS[args.format]}")
    if output.suffix != EXTENSIONS[args.format]:
        raise InputError(f"--output {output}: a file of the format {args.format} ends in {EXTENSIONS[args.format]}")
    for path in (output, *([output.with_suffix(".json")] if args.format == "safetensors" else [])):
        if path.exists():
            raise InputError(f"{path} exists; give another --output, or remove it")
    output.parent.mkdir(parents=True, exist_ok=True)
    about = description(translator, checkpoint, source, target) | history
    print(write(translator, about, args.format, args.pixels, output))
    print(f"{output}  {output.stat().st_size / 1e6:.1f} MB, {source}2{target} of {file}")
    print(f"use it: {USES[args.format].format(file=output, source=source, target=target)}")


def push(
    translator: Translator,
    abouts: Sequence[Mapping[str, Any]],
    repository: str,
    license_: str | None,
    grid: Path | None,
) -> str:
    """Upload directions to the Hugging Face Hub; return the line that loads them."""
    from cyclegan.checkpoint.hub import upload
    from cyclegan.export.model_card import model_card

    with TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for about in abouts:
            write(translator, about, "safetensors", "float", folder / f"{'2'.join(about['direction'])}.safetensors")
        samples = None if grid is None else f"samples{grid.suffix}"
        if grid is not None:
            shutil.copyfile(grid, folder / f"samples{grid.suffix}")
        (folder / "README.md").write_text(model_card(repository, abouts, license_, samples))
        address = upload(folder, repository, f"Export by cyclegan {__version__}")
    return f"{address}\nuse it: cyclegan.load('hf://{repository}')"


def run_of(checkpoint: Path) -> Path | None:
    """Return the folder of a checkpoint's run; None for a file that belongs to no run."""
    folder = checkpoint.resolve().parent
    is_run = checkpoint.is_file() and folder.name == "checkpoints" and (folder.parent / "config.yaml").is_file()
    return folder.parent if is_run else None


def trained(checkpoint: Mapping[str, Any], run: Path | None) -> dict[str, Any]:
    """Return how a checkpoint was trained, and the metrics of its weights that lie in the run's folder, if any."""
    if "export" in checkpoint:
        return {key: checkpoint["export"].get(key) for key in ("training", "metrics", "protocol")}
    from cyclegan.data.training_data import stored_state

    config = checkpoint.get("config")
    if config is None:
        return {"training": None, "metrics": None, "protocol": None}
    images = stored_state(checkpoint)["position"]
    training = {"name": config["name"], "data": Path(config["data"].get("root") or "").name, "images": images}
    curves, protocol = (Path(run or "", name) for name in ("metrics.csv", "validation/protocol.json"))
    rows = read_rows(curves) if run and curves.is_file() and protocol.is_file() else []
    metrics = {
        name.removeprefix("val/"): value
        for row in rows
        for name, value in row.metrics.items()
        if row.images == images and name.startswith("val/")
    }
    return {
        "training": training,
        "metrics": metrics or None,
        "protocol": json.loads(protocol.read_text()) if metrics else None,
    }


def write(
    translator: Translator,
    about: About,
    kind: str,
    pixels: Pixels,
    output: Path,
) -> str:
    """Write a direction in a format; return a line about how it was checked.

    Args:
        translator: in eval mode.
        about: the direction, and what is stored with it; see `description`.
        kind: the format, of `EXTENSIONS`.
        pixels: of graphs; see `Direction`.
        output: the file.

    Raises:
        UserError: the direction cannot be written in this format, or the file's results differ from the translator's.
    """
    import torch

    from cyclegan.checkpoint.exported import weights_of, write_export
    from cyclegan.files import replacing

    source, target = about["direction"]
    if kind in ("onnx", "torch.export"):
        for package in ("onnx", "onnxscript", "onnxruntime"):
            if kind == "onnx" and not find_spec(package):
                raise InputError(f"--format onnx needs {missing(package)}")
        from cyclegan.export.graphs import OPSET, TOLERANCE, Direction, save_onnx, save_torch_export

        save = save_onnx if kind == "onnx" else save_torch_export
        with replacing(output) as temporary:
            difference = save(Direction(translator, source, target, pixels), temporary, about)
            if difference > (limit := TOLERANCE[pixels]):
                raise UserError(f"{output} is not written: its translations differ by {difference:.2g} from torch's")
        what = f"opset {OPSET}; " if kind == "onnx" else ""
        return f"{what}largest difference to torch at three sizes: {difference:.2g} (limit {limit:g})"
    weights = weights_of(translator, source, target)
    if kind == "safetensors":
        write_export(weights, about, output)
    else:
        with replacing(output) as temporary:
            torch.save(weights, temporary)
    return f"{len(weights)} tensors"
