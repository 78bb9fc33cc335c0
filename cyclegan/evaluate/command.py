"""cyclegan-evaluate: measure checkpoints on held-out images."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING

from cyclegan.cli import (
    add_version,
    at_least_two,
    default_device,
    open_screen,
    parse_direction,
    positive,
    usable_device,
)
from cyclegan.data.selection import PAIRINGS
from cyclegan.errors import DataError, DiskError, ImageError, InputError, UserError, WeightsError

# torch is imported where it is used: --help answers without it.
if TYPE_CHECKING:
    from cyclegan.data.held_out import HeldOut
    from cyclegan.evaluate.checkpoints import EvaluatedCheckpoint
    from cyclegan.evaluate.results import Result
    from cyclegan.methods.translator import Translator
    from cyclegan.metrics.feature_network import FeatureNetwork
    from cyclegan.metrics.perceptual import Lpips

PROGRAM = "cyclegan-evaluate"
INTERRUPTED = 130  # 128 + SIGINT

Directions = Sequence[tuple[str, str]]


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
    add("--checkpoint", "PATH", "files, quoted patterns, or a run's folder: its epoch*.ckpt, best.ckpt and last.ckpt",
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
        print(f"\n{PROGRAM}: interrupted, nothing was written", file=sys.stderr)
        sys.exit(INTERRUPTED)


def run(args: argparse.Namespace) -> list[Result]:
    """Evaluate the checkpoints of parsed arguments, write the files, print the table, and return the results."""
    from cyclegan.evaluate.checkpoints import output_for, read_checkpoints
    from cyclegan.evaluate.contact_sheets import write_sheets
    from cyclegan.evaluate.results import Result, as_text, best, runs_of, skipped_images, write_results
    from cyclegan.validation.evaluate import evaluate
    from cyclegan.validation.feature_cache import References

    # What can fail early does so before the long work, and files are written after it.
    device = default_device() if args.device == "auto" else usable_device(args.device)
    checkpoints = read_checkpoints(args.checkpoint)
    found = [find_images(checkpoint, args) for checkpoint in checkpoints]
    translator, directions = load(checkpoints[0], found[0][0], args)
    output = args.output or output_for([checkpoint.path for checkpoint in checkpoints])
    features, perceptual = load_networks(args, checkpoints, device)
    output.mkdir(parents=True, exist_ok=True)
    references = {folder: References(features, folder) for _, folder in found if features}

    results: list[Result] = []
    for checkpoint, (held_out, folder) in zip(checkpoints, found, strict=True):
        print(f"[{len(results) + 1}/{len(checkpoints)}] {checkpoint.path} on {device}", file=sys.stderr)
        if results:
            translator, directions = load(checkpoint, held_out, args)
        evaluation = evaluate(
            translator.to(device), held_out, references.get(folder), perceptual, args.batch_size, directions=directions
        )
        results.append(Result(checkpoint, evaluation))

    try:
        write_results(output, results)
        chosen = best(results)
        held_out = found[results.index(chosen)][0]
        if chosen is not results[-1]:
            translator, directions = load(chosen.checkpoint, held_out, args)
        title = chosen.checkpoint.path.name if len(runs_of(results)) == 1 else str(chosen.checkpoint.path)
        rows = chosen.evaluation.images
        write_sheets(output, translator.to(device), held_out, rows, directions, args.worst, title)
    except KeyboardInterrupt:
        print(f"\n{PROGRAM}: interrupted while writing, {output} is incomplete", file=sys.stderr)
        sys.exit(INTERRUPTED)
    finally:  # a table that cannot be printed must not cost the files, nor the other way round
        first = found[0][0]
        print(as_text(results, directions))
        if not first.ground_truth and (hint := first.describe_pairing("--pairing by_name")):
            print(fill(f"pairing    {hint}", 80, subsequent_indent=" " * 11))
        for path in skipped_images(results[0], first, directions):
            print(f"skipped, unreadable: {path}", file=sys.stderr)
    print(f"files      {output}")
    return results


def find_images(checkpoint: EvaluatedCheckpoint, args: argparse.Namespace) -> tuple[HeldOut, Path]:
    """Return the held-out images of a checkpoint's run, and the folder for features computed of them.

    Raises:
        CheckpointError: they are chosen by code of a package that is not trusted.
        InputError: there are none, or an option cannot be used.
    """
    from cyclegan.evaluate.run_data import chooses_images, images_of, images_of_module

    settings = checkpoint.settings
    if settings is None or chooses_images(checkpoint.config, args.trust):
        for option in ("data", "split", "size", "on_error", "pairing"):
            if getattr(args, option) is not None:
                raise InputError(
                    f"--{option.replace('_', '-')} cannot be used with {checkpoint.path}: its data module, "
                    f"{checkpoint.config.get('_target_')}, chooses the images itself"
                )
        held_out, cache = images_of_module(checkpoint.config, checkpoint.path, args.trust, args.max_images)
        return held_out, cache / "features"
    splits = (args.split,) if args.split else ("test", "val")
    try:
        held_out = images_of(settings, args.data, splits, args.size, args.on_error, args.max_images, args.pairing)
    except DataError as error:
        whose = "" if args.data else f" (the data set of the run of {checkpoint.path})"
        raise InputError(
            f"{error}{whose}. Pass --data ROOT, the folder that holds testA and testB, or --split"
        ) from error
    return held_out, Path(args.data or settings.root or ".").expanduser() / ".cache" / "features"


def load(checkpoint: EvaluatedCheckpoint, held_out: HeldOut, args: argparse.Namespace) -> tuple[Translator, Directions]:
    """Load a checkpoint's translator, and return it with the directions to measure.

    Raises:
        CheckpointError: it cannot be used.
        InputError: it does not learn the direction, or its networks cannot take --size.
    """
    from cyclegan.checkpoint.loading import load_translator
    from cyclegan.errors import CheckpointError

    translator = load_translator(checkpoint.path, args.trust)
    if set(translator.domains) != set(held_out.domains):
        raise CheckpointError(
            f"{checkpoint.path} contradicts itself: its data have the domains {', '.join(held_out.domains)}, its "
            f"networks {', '.join(translator.domains)}"
        )
    if args.size and (args.size % translator.size_multiple or args.size < translator.minimum_size):
        raise InputError(
            f"--size {args.size}: the networks of {checkpoint.path} take multiples of {translator.size_multiple}, "
            f"from {translator.minimum_size}"
        )
    return translator, [parse_direction(translator, args.direction)] if args.direction else translator.directions


def load_networks(
    args: argparse.Namespace, checkpoints: Sequence[EvaluatedCheckpoint], device: str
) -> tuple[FeatureNetwork | None, Lpips | None]:
    """Return the feature network and that of LPIPS with their weights; None for those that are not wanted.

    Raises:
        WeightsError: weights are unavailable; says how to get them, and how to do without.
        InputError: an option names no network.
    """
    features, perceptual = choose_features(args, checkpoints), choose_perceptual(args, checkpoints)
    problems = []
    for network, hint in ((features, " --features random needs no weights."), (perceptual, "")):
        if network is not None:
            try:
                network.to(device).load()
            except WeightsError as error:
                problems.append(f"{error}{hint}")
    if problems:
        raise WeightsError("\n".join(["nothing was measured:", *problems]))
    return features, perceptual


def choose_features(args: argparse.Namespace, checkpoints: Sequence[EvaluatedCheckpoint]) -> FeatureNetwork | None:
    """Return the network of --features without its weights; by default the one that all checkpoints name.

    Raises:
        InputError: the option names no network, or weights are given for another one.
    """
    from cyclegan.metrics.inception import Inception
    from cyclegan.metrics.random_features import RandomFeatures

    name, weights = args.features, args.feature_weights
    if weights is not None and name not in (None, "inception"):
        raise InputError(f"--feature-weights {weights} belong to --features inception, not {name}")
    if name is None and weights is None:
        own = checkpoints[0].features
        if own is not None and all(checkpoint.features == own for checkpoint in checkpoints):
            target, arguments = own
            return (Inception if target.endswith(".Inception") else RandomFeatures)(**arguments)
    if name in (None, "inception"):
        return Inception(weights)
    if name in ("random", "none"):
        return RandomFeatures() if name == "random" else None
    from cyclegan.evaluate.feature_file import features_from  # imports Hydra, which the others do not need

    return features_from(Path(name))


def choose_perceptual(args: argparse.Namespace, checkpoints: Sequence[EvaluatedCheckpoint]) -> Lpips | None:
    """Return the network of --perceptual without its weights; by default the one that all checkpoints name.

    Raises:
        InputError: weights are given for no network.
    """
    from cyclegan.metrics.perceptual import Lpips

    name, weights = args.perceptual, args.perceptual_weights
    if weights is not None and name == "none":
        raise InputError(f"--perceptual-weights {weights} belong to --perceptual alex, not none")
    if name is None and weights is None:
        own = checkpoints[0].perceptual
        if all(checkpoint.perceptual == own for checkpoint in checkpoints):
            return None if own is None else Lpips(**own)  # type: ignore[arg-type]
    return None if name == "none" else Lpips(weights)
