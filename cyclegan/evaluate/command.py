"""cyclegan-evaluate: measure checkpoints on held-out images."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cyclegan.cli import (
    add_translate_in,
    add_version,
    at_least_two,
    open_screen,
    parse_direction,
    positive,
    usable_device,
)
from cyclegan.data.selection import PAIRINGS
from cyclegan.errors import CheckpointError, DiskError, ImageError, InputError, UserError

# torch is imported where it is used: --help answers without it.
if TYPE_CHECKING:
    from cyclegan.data.held_out import HeldOut
    from cyclegan.evaluate.results import Result
    from cyclegan.methods.translator import Translator

PROGRAM = "cyclegan-evaluate"


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(
        prog=PROGRAM,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Measure checkpoints on held-out images: PSNR and SSIM against paired ground truth, FID, KID,\n"
        "cycle and identity. Prints a table, and writes metrics.json, per_image.csv, sheets of the worst and\n"
        "best images, and the curve of several checkpoints to --output. docs/measuring.md explains every metric.",
        epilog="examples:\n"
        "  cyclegan-evaluate --checkpoint runs/toy/checkpoints/best.ckpt --data data/toy --features random\n"
        "  cyclegan-evaluate --checkpoint runs/toy --features none --perceptual none    # all checkpoints of the run",
    )

    def add(name: str, metavar: str, text: str, **arguments: object) -> None:
        parser.add_argument(name, metavar=metavar, help=text, **arguments)  # type: ignore[arg-type]

    add_version(parser)
    add("--checkpoint", "PATH", "files, quoted patterns, or a run's folder: its epoch*.ckpt, best.ckpt and last.ckpt; "
        "or published weights, as for cyclegan-translate",
        required=True, nargs="+")  # fmt: skip
    add("--data", "ROOT", "folder with testA and testB (default: the data set of the run)", type=Path)
    add("--split", "{test,val,train}", "which images to use (default: test, or val if there is no test)",
        choices=("test", "val", "train"))  # fmt: skip
    add("--direction", "A2B", "A2B or B2A (default: both)")
    add("--size", "N", "measure N×N images (default: the size in training)", type=positive)
    add("--max-images", "N", "largest number of images of each domain, evenly spaced over their names (default: all)",
        type=at_least_two)  # fmt: skip
    add("--pairing", f"{{{','.join(PAIRINGS)}}}", "which images are each other's ground truth: by_name, images of the "
        "same name; auto, the halves of side-by-side images (default: as in the run)", choices=PAIRINGS)  # fmt: skip
    add("--features", "{inception,random,none,FILE}", "feature network of FID, KID, precision and recall; FILE: YAML "
        "that describes your own (default: that of the run, if it is inception or random, else inception)")  # fmt: skip
    add("--feature-weights", "FILE", "weights of inception (default: torch's cache, filled by a download)", type=Path)
    add("--perceptual", "{alex,none}", "network of LPIPS (default: that of the run)", choices=("alex", "none"))
    add("--perceptual-weights", "FILE", "weights of alex (default: torch's cache, filled by a download)", type=Path)
    add("--batch-size", "N", "images in a batch (default: %(default)s)", type=positive, default=4)
    add("--device", "NAME", "cpu, cuda, cuda:1, mps … (default: a GPU if there is one)", default="auto")
    add("--on-error", "{raise,skip}", "what to do with unreadable images (default: as in the run)",
        choices=("raise", "skip"))  # fmt: skip
    add("--worst", "N", "images on each sheet (default: %(default)s)", type=positive, default=8)
    add("--output", "FOLDER", "where to write, replacing an earlier evaluation (default: evaluation in the run's "
        "folder)", type=Path)  # fmt: skip
    add_translate_in(parser)
    add("--trust", "PACKAGE", "let checkpoints use classes of this package", action="append", default=[])
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line and exit with a message on errors that the user can fix."""
    open_screen()
    args = build_parser().parse_args(argv)
    try:
        run(args)
    except ImageError as error:
        hint = "" if isinstance(error, DiskError) else "\n--on-error skip leaves out unreadable images"
        sys.exit(f"{PROGRAM}: {error}{hint}")
    except (UserError, OSError) as error:  # OSError: the output cannot be written
        sys.exit(f"{PROGRAM}: {error}")
    except KeyboardInterrupt:
        print(f"\n{PROGRAM}: interrupted", file=sys.stderr)
        sys.exit(130)  # 128 + SIGINT


def run(args: argparse.Namespace) -> list[Result]:
    """Evaluate the checkpoints of parsed arguments, write the files, print the table, and return the results."""
    from cyclegan.evaluate.checkpoints import output_for, read_checkpoints
    from cyclegan.evaluate.contact_sheets import write_sheets
    from cyclegan.evaluate.networks import load_networks
    from cyclegan.evaluate.results import Result, as_text, best, count_runs, skipped_images, write_results
    from cyclegan.evaluate.run_data import find_images
    from cyclegan.validation.evaluate import evaluate
    from cyclegan.validation.feature_cache import References

    # Checks come before the long work, and files are written after it.
    device = usable_device(args.device)
    checkpoints = read_checkpoints(args.checkpoint, args.direction)
    found = [find_images(checkpoint, args) for checkpoint in checkpoints]
    features, perceptual = load_networks(args, checkpoints, device)
    output = args.output or output_for([checkpoint.path for checkpoint in checkpoints])
    output.mkdir(parents=True, exist_ok=True)
    references = {folder: References(features, folder) for _, folder in found if features}

    results: list[Result] = []
    for checkpoint, (held_out, folder) in zip(checkpoints, found, strict=True):
        print(f"[{len(results) + 1}/{len(checkpoints)}] {checkpoint.path} on {device}", file=sys.stderr)
        translator, directions = load(checkpoint.path, held_out, args)
        translator.to(device)
        known = references.get(folder)
        evaluation = evaluate(translator, held_out, known, perceptual, args.batch_size, directions=directions)
        results.append(Result(checkpoint, evaluation))
        held_out.forget()  # each checkpoint has its own

    first = found[0][0]
    try:
        write_results(output, results)
        chosen = best(results)
        held_out = found[results.index(chosen)][0]
        translator, directions = load(chosen.checkpoint.path, held_out, args)
        title = chosen.checkpoint.path.name if count_runs(results) == 1 else str(chosen.checkpoint.path)
        rows = chosen.evaluation.images
        write_sheets(output, translator.to(device), held_out, rows, directions, args.worst, title)
    finally:  # the table is printed even if a file cannot be written
        print(as_text(results, directions, first))
        for path in skipped_images(results[0], first, directions):
            print(f"skipped, unreadable: {path}", file=sys.stderr)
    print(f"files      {output}")
    return results


def load(path: Path, held_out: HeldOut, args: argparse.Namespace) -> tuple[Translator, Sequence[tuple[str, str]]]:
    """Load a checkpoint's translator, and return it with the directions to measure.

    Raises:
        CheckpointError: it cannot be used.
        InputError: it does not learn the direction, or its networks cannot take --size.
    """
    from cyclegan.checkpoint.loading import load_translator

    translator = load_translator(path, args.trust, args.direction, args.translate_in)
    if set(translator.domains) != set(held_out.domains):
        raise CheckpointError(
            f"{path} contradicts itself: its data have the domains {', '.join(held_out.domains)}, its networks "
            f"{', '.join(translator.domains)}"
        )
    if args.size and (args.size % translator.size_multiple or args.size < translator.minimum_size):
        raise InputError(
            f"--size {args.size}: the networks of {path} take multiples of {translator.size_multiple}, "
            f"from {translator.minimum_size}"
        )
    return translator, [parse_direction(translator, args.direction)] if args.direction else translator.directions
