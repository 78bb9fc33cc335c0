"""cyclegan-data: what concerns data sets before any training: fetching, checking and shrinking them."""

import argparse
import json
import shlex
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from tqdm import tqdm

from cyclegan.cli import (
    add_format,
    add_sizing,
    add_version,
    add_workers,
    not_negative,
    open_screen,
    positive,
    quality,
    seconds,
)
from cyclegan.datasets.catalog import BASE_URL, CATALOG, RIGHTS, find
from cyclegan.datasets.download import download, partial_file
from cyclegan.datasets.fetch import Patience
from cyclegan.datasets.unpack import as_text as counts_as_text
from cyclegan.errors import UserError
from cyclegan.images import PixelFormat
from cyclegan.inspection.finding import counted
from cyclegan.inspection.findings import Sizing, findings
from cyclegan.inspection.report import as_json, as_text
from cyclegan.inspection.resize import Recipe, prepare
from cyclegan.inspection.scan import survey

PROGRAM = "cyclegan-data"
CROP_SIZE, LOAD_SIZE = 256, 286
SHOWN = 10
PROBLEMS = 1
USAGE = 2
INTERRUPTED = 130

Result = TypeVar("Result")


def build_parser() -> argparse.ArgumentParser:
    """The command line: every sub-command is a parser whose `run` carries it out."""
    parser = argparse.ArgumentParser(prog=PROGRAM, description="Get data sets ready for training.")
    add_version(parser)
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    add_check(commands.add_parser("check", help="decode every image and report what is wrong"))
    add_download(commands.add_parser("download", help="fetch a published data set, check it and unpack it"))
    add_prepare(commands.add_parser("prepare", help="write a copy whose images are as small as training makes them"))
    return parser


def add_check(parser: argparse.ArgumentParser) -> None:
    """The arguments of `check`."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.description = (
        "Decode every image below ROOT, as training will, and report what is there and what is wrong.\n"
        "ROOT holds trainA, trainB and, if there are any, valA, testA ...; or just images."
    )
    parser.epilog = (
        "exit code 0: no problem. 1: problems, which are missing or empty folders, broken files, images that cannot\n"
        "be read with these --channels and --convert, images smaller than the crop, and test or validation images\n"
        "that are also in train. The rest is worth knowing: surplus copies (a folder's images, less the different\n"
        "ones), images in several domains, mixed depths, files passed over. Two images are the same if all their\n"
        "decoded pixels are, however they are stored. 2: not checked. 130: interrupted.\n\n"
        f"example: {PROGRAM} check data/horse2zebra"
    )
    parser.add_argument("root", type=Path, metavar="ROOT", help="the data set's folder")
    add_format(parser)
    parser.add_argument(
        "--range",
        type=float,
        nargs=2,
        metavar=("LOW", "HIGH"),
        help="the values that training will take for black and white; floating-point images need it",
    )
    add_sizing(parser)
    parser.add_argument("--crop-size", type=positive, default=CROP_SIZE, metavar="N", help="default: %(default)s")
    parser.add_argument("--json", metavar="FILE", help="write everything there as JSON; - for stdout, instead of text")
    add_workers(parser)
    parser.set_defaults(run=run_check)


def add_prepare(parser: argparse.ArgumentParser) -> None:
    """The arguments of `prepare`."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.description = (
        "Write the images below ROOT to OUT, in the same folders and under the same names, resized as training\n"
        "resizes them, so that it has less to read and to decode. Nothing in ROOT is changed.\n\n"
        "With --format png, training from OUT sees exactly what it sees from ROOT with data.reducing_gap=null.\n"
        "Images of more than 8 bits or other than 1 or 3 channels keep their depth: they become png (up to 16 bits\n"
        "and 4 channels) or tif, whatever --format says. Of files with several pages, --page is taken."
    )
    parser.epilog = (
        "A preparation that was cut off goes on with the same command; images whose files have changed since are\n"
        "made anew. Exit code 0: all is done. 1: not all; says why. 2: usage. 130: interrupted.\n\n"
        f"example: {PROGRAM} prepare photos/originals data/photos --format jpg"
    )
    parser.add_argument("root", type=Path, metavar="ROOT", help="the data set's folder")
    parser.add_argument("out", type=Path, metavar="OUT", help="a new folder, not in ROOT")
    add_format(parser)
    add_sizing(parser)
    parser.add_argument("--format", choices=("png", "jpg"), default="png", help="default: %(default)s, without a loss")
    parser.add_argument("--quality", type=quality, default=95, metavar="N", help="of jpg (default: %(default)s)")
    parser.add_argument(
        "--on-error",
        choices=("raise", "skip"),
        default="raise",
        help="of images that cannot be read: name them at the end and exit with 1 (default), or leave them out",
    )
    add_workers(parser)
    parser.set_defaults(run=run_prepare)


def add_download(parser: argparse.ArgumentParser) -> None:
    """The arguments of `download`."""
    patience = Patience()
    parser.description = "Fetch a data set that the method's authors publish, check it and unpack it into OUTPUT/NAME."
    parser.epilog = f"example: {PROGRAM} download horse2zebra. A broken download goes on where it stopped."
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("name", nargs="?", metavar="NAME", help=f"one of {', '.join(CATALOG)}")
    what.add_argument("--list", action="store_true", help="print the catalogue and leave")
    parser.add_argument("--output", type=Path, default=Path("data"), metavar="FOLDER", help="default: data")
    parser.add_argument("--base-url", default=BASE_URL, metavar="URL", help="holds NAME.zip (default: %(default)s)")
    parser.add_argument(
        "--retries",
        type=not_negative,
        default=patience.retries,
        metavar="N",
        help="attempts after a failure, with growing pauses (default: %(default)s)",
    )
    parser.add_argument(
        "--timeout",
        type=seconds,
        default=patience.timeout,
        metavar="SECONDS",
        help="in which something must arrive (default: %(default)g)",
    )
    parser.set_defaults(run=run_download)


def run_check(args: argparse.Namespace) -> int:
    """Carries out `check`; returns the exit code."""
    began = time.monotonic()
    try:
        values = None if args.range is None else (args.range[0], args.range[1])
        wanted = PixelFormat(args.channels, range=values, page=args.page, convert=args.convert)
        found = survey(args.root, wanted, args.num_workers, bar, args.max_pixels)
    except ValueError as error:
        print(f"{PROGRAM}: {error}", file=sys.stderr)
        return USAGE
    except KeyboardInterrupt:
        print(f"\n{PROGRAM}: interrupted", file=sys.stderr)
        return INTERRUPTED
    told = findings(found, Sizing(args.load_size, args.crop_size, args.resize, args.pairs))
    if args.json is not None:
        text = json.dumps(as_json(found, told), indent=2)
        if args.json == "-":
            print(text)
        else:
            Path(args.json).write_text(text + "\n", encoding="utf-8")
    if args.json != "-":
        images = sum(len(one.folder.images) for one in found.folders)
        took = f"in {time.monotonic() - began:,.1f} s by {counted(args.num_workers, 'process', 'processes')}"
        print(f"{args.root}: {counted(images, 'image', 'images')}, each decoded completely, {took}\n")
        print(as_text(found, told))
    return PROBLEMS if any(finding.kind.problem for finding in told) else 0


def run_prepare(args: argparse.Namespace) -> int:
    """Carries out `prepare`; returns the exit code."""
    wanted = PixelFormat(args.channels, page=args.page, convert=args.convert)
    recipe = Recipe(args.load_size, args.resize, f".{args.format}", args.quality, wanted, args.pairs, args.max_pixels)
    try:
        outcome = prepare(args.root, args.out, recipe, args.num_workers, bar)
    except KeyboardInterrupt:
        print(f"\n{PROGRAM}: interrupted; what is done is kept, the same command goes on from there", file=sys.stderr)
        return INTERRUPTED
    skipped = f"; left out {counted(len(outcome.errors), 'image', 'images')}" if outcome.errors else ""
    kept = f", of which {outcome.kept:,} were there" if outcome.kept else ""
    print(
        f"{counted(outcome.images, 'image', 'images')}{kept}: {outcome.source_bytes / 1e6:,.1f} MB below "
        f"{args.root}, {outcome.output_bytes / 1e6:,.1f} MB below {args.out}{skipped}"
    )
    for error in outcome.errors[:SHOWN]:
        print(f"  {error}", file=sys.stderr)
    if len(outcome.errors) > SHOWN:
        print(f"  and {len(outcome.errors) - SHOWN:,} more; {PROGRAM} check {args.root} names all", file=sys.stderr)
    if outcome.errors and args.on_error == "raise":
        print(
            f"{PROGRAM}: {counted(len(outcome.errors), 'image', 'images')} could not be read; mend them and give "
            "the same command again, or leave them out with --on-error skip",
            file=sys.stderr,
        )
        return PROBLEMS
    if outcome.output_bytes > outcome.source_bytes:
        print("the copy is larger, as the originals are small or compressed with a loss; --format jpg takes less")
    print(f"train on it: {training_command(args)}")
    return 0


def training_command(args: argparse.Namespace) -> str:
    """How to train on what was prepared."""
    size = "null" if args.load_size is None else args.load_size
    words = ["cyclegan-train", "experiment=folders", *(["data=pairs"] if args.pairs else []), f"data.root={args.out}"]
    words.append(f"data.load_size={size}")
    if args.resize != "stretch":
        words.append(f"data.resize={args.resize}")
    if args.load_size is not None and args.load_size < CROP_SIZE:
        # As much smaller as in the paper, and a multiple of what the networks take.
        words.append(f"data.crop_size={max(4, args.load_size * CROP_SIZE // LOAD_SIZE // 4 * 4)}")
    if args.channels != 3:
        words += [f"data.domains.{domain}.channels={args.channels}" for domain in "AB"]
    return shlex.join(words)


def bar(results: Iterator[Result], total: int) -> Iterator[Result]:
    """Shows on a terminal how many of the results have come."""
    yield from tqdm(results, total=total, unit="image", disable=None, leave=False)


def run_download(args: argparse.Namespace) -> int:
    """Carries out `download`; returns the exit code."""
    if args.list:
        print_catalog()
        return 0
    dataset = find(args.name)
    try:
        download(dataset, args.output, args.base_url, Patience(args.retries, args.timeout))
    except KeyboardInterrupt:
        partial = partial_file(dataset, args.output)
        kept = f"; what came is kept in {partial}; the same command goes on from there" if partial.exists() else ""
        print(f"\n{PROGRAM}: interrupted{kept}", file=sys.stderr)
        return INTERRUPTED
    return 0


def print_catalog() -> None:
    """Prints a table of the data sets: what they are called, how large they are, and where they are from."""
    print(f"{'NAME':<24}{'MB':>6}  {'trainA / trainB / testA / testB':<33}IMAGES")
    for dataset in CATALOG.values():
        megabytes = f"{dataset.archive_bytes / 1e6:,.0f}"
        print(f"{dataset.name:<24}{megabytes:>6}  {counts_as_text(dataset.counts):<33}{dataset.origin}")
    print(RIGHTS)


def main(argv: Sequence[str] | None = None) -> None:
    """The console script."""
    open_screen()
    args = build_parser().parse_args(argv)
    try:
        code = args.run(args)
    except (UserError, OSError) as error:  # OSError: it cannot be written
        sys.exit(f"{PROGRAM}: {error}")
    if code:
        sys.exit(code)


if __name__ == "__main__":
    main()
