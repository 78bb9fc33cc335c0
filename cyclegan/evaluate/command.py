"""cyclegan-evaluate: how good checkpoints are, measured on held-out images, with nothing but their files."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING

from cyclegan.cli import add_version, at_least_two, open_screen, positive
from cyclegan.data.selection import PAIRINGS
from cyclegan.errors import InputError, UserError
from cyclegan.images import DiskError, ImageError
from cyclegan.translate import default_device, parse_direction, usable_device

# torch is imported where it is used: --help answers without it.
if TYPE_CHECKING:
    from cyclegan.data.held_out import HeldOut
    from cyclegan.evaluate.checkpoints import Subject
    from cyclegan.evaluate.results import Finding
    from cyclegan.methods.translator import Translator
    from cyclegan.metrics.feature_network import FeatureNetwork
    from cyclegan.metrics.perceptual import Lpips

PROGRAM = "cyclegan-evaluate"
INTERRUPTED = 130  # 128 + SIGINT

Directions = Sequence[tuple[str, str]]


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog=PROGRAM,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Measure checkpoints on held-out images: known answers, FID and KID, cycle and identity.\n"
        "A table goes to the screen; metrics.json, per_image.csv, sheets of the worst and best images, and for\n"
        "several checkpoints their curve go to --output. docs/measuring.md says what each metric means.",
        epilog="examples:\n"
        "  cyclegan-evaluate --checkpoint runs/toy/checkpoints/best.ckpt --data data/toy --features random\n"
        "  cyclegan-evaluate --checkpoint runs/toy --features none --perceptual none    # all that the run kept",
    )

    def add(name: str, metavar: str, text: str, **arguments: object) -> None:
        parser.add_argument(name, metavar=metavar, help=text, **arguments)  # type: ignore[arg-type]

    add_version(parser)
    add("--checkpoint", "PATH", "files, quoted patterns, or a run's folder: its epoch*.ckpt, best.ckpt and last.ckpt",
        required=True, nargs="+")  # fmt: skip
    add("--data", "ROOT", "holds testA and testB (default: where the run had its data)", type=Path)
    add("--split", "NAME", "test, val or train (default: test, or val if there is no test)",
        choices=("test", "val", "train"))  # fmt: skip
    add("--direction", "A2B", "A2B or B2A (default: both)")
    add("--size", "N", "measure N×N images (default: as large as training saw them)", type=positive)
    add("--max-images", "N", "of each domain, evenly spaced over their names (default: all)", type=at_least_two)
    add("--pairing", "WORD", "images that are each other's ground truth: by_name, those of the same name; auto, the "
        "halves of side-by-side images; none (default: as the run)", choices=PAIRINGS)  # fmt: skip
    add("--features", "WHAT", "network of FID, KID, precision, recall: inception, random, none, or a YAML file that "
        "names your own (default: that of the run, if it is inception or random, else inception)")  # fmt: skip
    add("--feature-weights", "FILE", "of inception (default: torch's cache, filled by a download)", type=Path)
    add("--perceptual", "NAME", "network of LPIPS: alex or none (default: that of the run)",
        choices=("alex", "none"))  # fmt: skip
    add("--perceptual-weights", "FILE", "of alex (default: torch's cache, filled by a download)", type=Path)
    add("--batch-size", "N", "(default: %(default)s)", type=positive, default=4)
    add("--device", "NAME", "cpu, cuda, cuda:1, mps … (default: a GPU if there is one)", default="auto")
    add("--on-error", "WORD", "of an image that cannot be read: raise stops, skip leaves it out (default: as the run "
        "did)", choices=("raise", "skip"))  # fmt: skip
    add("--worst", "N", "images on each sheet (default: %(default)s)", type=positive, default=8)
    add("--output", "FOLDER", "files of an earlier evaluation are replaced (default: evaluation in the run's folder)",
        type=Path)  # fmt: skip
    add("--trust", "PACKAGE", "let checkpoints use classes of this package", action="append", default=[])
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    """The console script."""
    open_screen()
    args = build_parser().parse_args(argv)
    try:
        run(args)
    except DiskError as error:
        sys.exit(f"{PROGRAM}: {error}")
    except ImageError as error:
        sys.exit(f"{PROGRAM}: {error}\n--on-error skip leaves out what cannot be read")
    except (UserError, OSError) as error:  # OSError: no weights, or the output cannot be written
        sys.exit(f"{PROGRAM}: {error}")
    except KeyboardInterrupt:
        print(f"\n{PROGRAM}: interrupted, nothing was written", file=sys.stderr)
        sys.exit(INTERRUPTED)


def run(args: argparse.Namespace) -> None:
    """Carries out a parsed command line. What can fail early does so before the long work, and files come last."""
    from cyclegan.evaluate.contact_sheets import write_sheets
    from cyclegan.evaluate.output import output_for, require_usable
    from cyclegan.evaluate.results import Finding, as_text, best, runs_of, unreadable
    from cyclegan.validation.evaluate import evaluate
    from cyclegan.validation.feature_cache import References

    device = default_device() if args.device == "auto" else usable_device(args.device)
    subjects = read_subjects(args.checkpoint)
    held_outs = [images_for(subject, args) for subject in subjects]
    translator, directions = load(subjects[0], held_outs[0], args)
    output = args.output or output_for([subject.path for subject in subjects])
    require_usable(output)
    features, perceptual = load_networks(args, subjects, device)
    roots = [Path(args.data or subject.sight.root or ".").expanduser() for subject in subjects]
    references = {root: References(features, root / ".cache" / "features") for root in roots if features}

    findings: list[Finding] = []
    for subject, held_out, root in zip(subjects, held_outs, roots, strict=True):
        print(f"[{len(findings) + 1}/{len(subjects)}] {subject.path} on {device}", file=sys.stderr)
        if findings:
            translator, directions = load(subject, held_out, args)
        found = evaluate(
            translator.to(device), held_out, references.get(root), perceptual, args.batch_size, directions=directions
        )
        findings.append(Finding(subject, found))

    try:
        output.mkdir(parents=True, exist_ok=True)
        write_metrics(output, findings)
        chosen = best(findings)
        if chosen is not findings[-1]:
            translator, directions = load(chosen.subject, held_outs[findings.index(chosen)], args)
        title = chosen.subject.path.name if len(runs_of(findings)) == 1 else str(chosen.subject.path)
        write_sheets(
            output, translator.to(device), held_outs[findings.index(chosen)], chosen.evaluation.images, directions,
            args.worst, title,
        )  # fmt: skip
    except KeyboardInterrupt:
        print(f"\n{PROGRAM}: interrupted while writing, {output} is not complete", file=sys.stderr)
        sys.exit(INTERRUPTED)
    finally:  # after the files, which a table that cannot be printed must not cost, and without them too
        print(as_text(findings, directions))
        if not held_outs[0].answers and (paired := held_outs[0].describe_pairing("--pairing by_name")):
            print(fill(f"pairing    {paired}", 80, subsequent_indent=" " * 11))
        for path in unreadable(findings[0], held_outs[0], directions):
            print(f"left out, as it cannot be read: {path}", file=sys.stderr)
    print(f"files      {output}")


def read_subjects(names: Sequence[str]) -> list[Subject]:
    """The checkpoints that are meant: run after run, each in the order of training.

    Raises:
        InputError: a name stands for none.
        CheckpointError: one cannot be used.
    """
    from cyclegan.checkpoint.reading import read
    from cyclegan.errors import CheckpointError, DataError
    from cyclegan.evaluate.checkpoints import find_checkpoints, subject_of
    from cyclegan.evaluate.runs import in_order, run_of

    subjects = []
    for digest, path in find_checkpoints(names).items():
        try:
            subjects.append(subject_of(path, digest, read(path)))
        except DataError as error:
            raise CheckpointError(
                f"{path} does not say how to measure it: {error}. Checkpoints that cyclegan-train writes do"
            ) from error
    runs = in_order([subject.path for subject in subjects])
    return sorted(subjects, key=lambda subject: (runs.index(run_of(subject.path)), subject.images))


def images_for(subject: Subject, args: argparse.Namespace) -> HeldOut:
    """The held-out images, as large as the checkpoint's run saw them.

    Raises:
        InputError: there are none.
    """
    from cyclegan.errors import DataError
    from cyclegan.evaluate.checkpoints import images_of

    splits = (args.split,) if args.split else ("test", "val")
    try:
        return images_of(subject.sight, args.data, splits, args.size, args.on_error, args.max_images, args.pairing)
    except DataError as error:
        whose = "" if args.data else f" (where {subject.path} says that its run had its data)"
        raise InputError(
            f"{error}{whose}. Pass --data ROOT, the folder that holds testA and testB, or --split"
        ) from error


def load(subject: Subject, held_out: HeldOut, args: argparse.Namespace) -> tuple[Translator, Directions]:
    """A checkpoint's translator, and the directions that are asked for.

    Raises:
        CheckpointError: it cannot be used.
        InputError: it does not learn the direction, or does not take images of this size.
    """
    from cyclegan.checkpoint.loading import load_translator
    from cyclegan.errors import CheckpointError

    translator = load_translator(subject.path, args.trust)
    if set(translator.domains) != set(held_out.domains):
        raise CheckpointError(
            f"{subject.path} contradicts itself: its data are of {', '.join(held_out.domains)}, its networks of "
            f"{', '.join(translator.domains)}"
        )
    if args.size and (args.size % translator.size_multiple or args.size < translator.minimum_size):
        raise InputError(
            f"--size {args.size}: the networks of {subject.path} take multiples of {translator.size_multiple}, from "
            f"{translator.minimum_size}"
        )
    return translator, [parse_direction(translator, args.direction)] if args.direction else translator.directions


def load_networks(
    args: argparse.Namespace, subjects: Sequence[Subject], device: str
) -> tuple[FeatureNetwork | None, Lpips | None]:
    """The networks that look at images, with their weights.

    Raises:
        WeightsError: there are none; says how to get them, and how to do without.
        InputError: there is no such network.
    """
    from cyclegan.metrics.feature_network import WeightsError

    features, perceptual = choose_features(args, subjects), choose_perceptual(args, subjects)
    problems = []
    for network, more in ((features, " --features random needs no weights."), (perceptual, "")):
        if network is not None:
            try:
                network.to(device).load()
            except WeightsError as error:
                problems.append(f"{error}{more}")
    if problems:
        raise WeightsError("\n".join(["nothing was measured:", *problems]))
    return features, perceptual


def choose_features(args: argparse.Namespace, subjects: Sequence[Subject]) -> FeatureNetwork | None:
    """The network that --features names, without its weights; by default the one that the checkpoints agree on.

    Raises:
        InputError: it names none.
    """
    from cyclegan.metrics.inception import Inception
    from cyclegan.metrics.random_features import RandomFeatures

    name, weights = args.features, args.feature_weights
    if weights is not None and name not in (None, "inception"):
        raise InputError(f"--feature-weights {weights} are for --features inception, and {name} was asked for")
    if name is None and weights is None:
        own = subjects[0].features
        if own is not None and all(subject.features == own for subject in subjects):
            target, arguments = own
            return (Inception if target.endswith(".Inception") else RandomFeatures)(**arguments)
    if name in (None, "inception"):
        return Inception(weights)
    if name in ("random", "none"):
        return RandomFeatures() if name == "random" else None
    from cyclegan.evaluate.feature_file import features_from  # Hydra, which the others need not wait for

    return features_from(Path(name))


def choose_perceptual(args: argparse.Namespace, subjects: Sequence[Subject]) -> Lpips | None:
    """The network that --perceptual names, without its weights; by default the one that the checkpoints agree on.

    Raises:
        InputError: it names none, and weights are given.
    """
    from cyclegan.metrics.perceptual import Lpips

    name, weights = args.perceptual, args.perceptual_weights
    if weights is not None and name == "none":
        raise InputError(f"--perceptual-weights {weights} are for --perceptual alex, and none was asked for")
    if name is None and weights is None:
        own = subjects[0].perceptual
        if all(subject.perceptual == own for subject in subjects):
            return None if own is None else Lpips(**own)  # type: ignore[arg-type]
    return None if name == "none" else Lpips(weights)


def write_metrics(output: Path, findings: Sequence[Finding]) -> None:
    """Writes metrics.json and per_image.csv, and the curve of several checkpoints, if they are of one run."""
    from cyclegan.evaluate.results import as_json, curve_csv, per_image_csv, runs_of
    from cyclegan.files import write_text

    write_text(output / "metrics.json", as_json(findings))
    write_text(output / "per_image.csv", per_image_csv(findings))
    for name in ("curve.csv", "curve.html"):  # of an earlier evaluation
        (output / name).unlink(missing_ok=True)
    if len(findings) > 1:
        write_text(output / "curve.csv", curve_csv(findings))
        runs = len(runs_of(findings))
        if runs == 1:
            from cyclegan.report.page import write_curve

            write_curve([finding.row for finding in findings], output / "curve.html")
        else:
            print(f"curve      no curve.html: one curve would join {runs} runs; curve.csv has their metrics")


if __name__ == "__main__":
    main()
