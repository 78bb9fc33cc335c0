"""cyclegan-data: check data sets, download published ones, and prepare resized copies."""

import argparse
import json
import shlex
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from cyclegan.cli import (
    add_format,
    add_sizing,
    add_transfer,
    add_version,
    add_workers,
    open_screen,
    positive,
    quality,
)
from cyclegan.datasets.catalog import BASE_URL, CATALOG, RIGHTS, counts_text, find
from cyclegan.datasets.download import download
from cyclegan.errors import UserError
from cyclegan.files import write_text
from cyclegan.images import PixelFormat
from cyclegan.inspection.findings import find_all
from cyclegan.inspection.report import as_json, as_text, counted
from cyclegan.inspection.resize import Recipe, prepare
from cyclegan.inspection.scan import scan

PROGRAM = "cyclegan-data"
CROP_SIZE, LOAD_SIZE = 256, 286
SHOWN_ERRORS = 10
PROBLEMS = 1
USAGE = 2
INTERRUPTED = 130


def build_parser() -> argparse.ArgumentParser:
    """Build the parser of the command line; the result's `run` is the function of the sub-command."""
    parser = argparse.ArgumentParser(prog=PROGRAM, description="Prepare data sets for training.")
    add_version(parser)
    images = argparse.ArgumentParser(add_help=False)
    images.add_argument("root", type=Path, metavar="ROOT", help="folder of the data set")
    add_format(images)
    add_sizing(images)
    add_workers(images)
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    _add_check(commands.add_parser("check", parents=[images], help="decode every image and report problems"))
    _add_download(commands.add_parser("download", help="download a published data set, verify it and unpack it"))
    _add_prepare(commands.add_parser("prepare", parents=[images], help="write a copy with images resized for training"))
    return parser


def _add_check(parser: argparse.ArgumentParser) -> None:
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.description = (
        "Decode every image below ROOT, as training does, and report counts, sizes and problems.\n"
        "ROOT holds trainA, trainB and optionally valA, testA, ...; or just images."
    )
    parser.epilog = (
        "exit codes:\n"
        "  0    no problem\n"
        "  1    problems: missing or empty folders, broken files, images that cannot be read with these --channels\n"
        "       and --convert, images smaller than the crop, test or validation images that are also in train\n"
        "  2    not checked\n"
        "  130  interrupted\n\n"
        "All other findings are notes. Images with equal decoded pixels are the same, in whatever file format.\n\n"
        f"example: {PROGRAM} check data/horse2zebra"
    )
    parser.add_argument(
        "--range",
        type=float,
        nargs=2,
        metavar=("LOW", "HIGH"),
        help="values of black and white in training; required for floating-point images",
    )
    parser.add_argument(
        "--crop-size", type=positive, default=CROP_SIZE, metavar="N", help="size of the crop (default: %(default)s)"
    )
    parser.add_argument(
        "--json", metavar="FILE", help="also write the complete report to FILE as JSON; - writes only JSON, to stdout"
    )
    parser.set_defaults(run=run_check)


def _add_prepare(parser: argparse.ArgumentParser) -> None:
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.description = (
        "Copy the images below ROOT to OUT, in the same folders and under the same names, resized as training\n"
        "resizes them, so that training reads and decodes less. ROOT is not changed.\n\n"
        "With --format png, training on OUT sees the same pixels as training on ROOT with data.reducing_gap=null.\n"
        "Images of more than 8 bits, or with other than 1 or 3 channels, keep their depth: they become png (up to\n"
        "16 bits and 4 channels) or tif, whatever --format says. Of files with several pages, --page is copied."
    )
    parser.epilog = (
        "The same command resumes an interrupted preparation and updates images whose files have changed.\n"
        "Exit codes: 0 all images are prepared, 1 some are not, 2 usage, 130 interrupted.\n\n"
        f"example: {PROGRAM} prepare photos/originals data/photos --format jpg"
    )
    parser.add_argument("out", type=Path, metavar="OUT", help="output folder, outside of ROOT")
    parser.add_argument(
        "--format", choices=("png", "jpg"), default="png", help="output format (default: %(default)s, lossless)"
    )
    parser.add_argument("--quality", type=quality, default=95, metavar="N", help="JPEG quality (default: %(default)s)")
    parser.add_argument(
        "--on-error",
        choices=("raise", "skip"),
        default="raise",
        help="unreadable images: prepare the others and exit with code 1 (raise, default) or 0 (skip)",
    )
    parser.set_defaults(run=run_prepare)


def _add_download(parser: argparse.ArgumentParser) -> None:
    parser.description = "Download a data set that the CycleGAN authors publish, and unpack it into OUTPUT/NAME."
    parser.epilog = f"example: {PROGRAM} download horse2zebra. The same command resumes an interrupted download."
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("name", nargs="?", metavar="NAME", help=f"one of {', '.join(CATALOG)}")
    what.add_argument("--list", action="store_true", help="print the available data sets and exit")
    parser.add_argument(
        "--output", type=Path, default=Path("data"), metavar="FOLDER", help="parent folder (default: %(default)s)"
    )
    parser.add_argument(
        "--base-url", default=BASE_URL, metavar="URL", help="server folder that holds NAME.zip (default: %(default)s)"
    )
    add_transfer(parser)
    parser.set_defaults(run=run_download)


def run_check(args: argparse.Namespace) -> int:
    """Run `check` and return the exit code."""
    start = time.monotonic()
    try:
        if args.json not in (None, "-") and not Path(args.json).absolute().parent.is_dir():
            raise UserError(f"--json {args.json}: its folder does not exist")
        values = args.range and tuple(args.range)
        pixel_format = PixelFormat(args.channels, range=values, page=args.page, convert=args.convert)
        result = scan(args.root, pixel_format, args.num_workers, args.max_pixels, args.pairs)
    except ValueError as error:
        print(f"{PROGRAM}: {error}", file=sys.stderr)
        return USAGE
    findings = find_all(result, args.load_size, args.crop_size, args.resize, args.pairs)
    text = json.dumps(as_json(result, findings), indent=2)
    if args.json == "-":
        print(text)
    else:
        if args.json:
            write_text(Path(args.json), text + "\n")
        images = counted(sum(len(folder.images) for folder in result.folders), "image", "images")
        processes = counted(args.num_workers, "process", "processes")
        print(f"{args.root}: {images} decoded in {time.monotonic() - start:,.1f} s by {processes}\n")
        print(as_text(result, findings))
    return PROBLEMS if any(finding.is_problem for finding in findings) else 0


def run_prepare(args: argparse.Namespace) -> int:
    """Run `prepare` and return the exit code."""
    recipe = Recipe(
        args.load_size, args.resize, args.format, args.quality, args.channels, args.convert, args.page, args.pairs
    )
    outcome = prepare(args.root, args.out, recipe, args.num_workers, args.max_pixels)
    kept = f", {outcome.kept:,} of them unchanged" if outcome.kept else ""
    print(f"{counted(outcome.images, 'image', 'images')} in {args.out}{kept}")
    for error in outcome.errors[:SHOWN_ERRORS]:
        print(f"  {error}", file=sys.stderr)
    if outcome.errors:
        errors = counted(len(outcome.errors), "image", "images")
        print(f"skipped {errors} that could not be read; {PROGRAM} check {args.root} lists all", file=sys.stderr)
        if args.on_error == "raise":
            print("fix them and run the same command again, or skip them with --on-error skip", file=sys.stderr)
            return PROBLEMS
    print(f"train on it: {training_command(args)}")
    return 0


def training_command(args: argparse.Namespace) -> str:
    """Return the command that trains on the prepared copy."""
    words = ["cyclegan-train", "experiment=folders", *(["data=pairs"] if args.pairs else []), f"data.root={args.out}"]
    words.append(f"data.load_size={args.load_size or 'null'}")
    if args.resize != "stretch":
        words.append(f"data.resize={args.resize}")
    if args.load_size and args.load_size < CROP_SIZE:
        # The paper's ratio of crop to load size, rounded down to a multiple of 4, as the networks need.
        words.append(f"data.crop_size={max(4, args.load_size * CROP_SIZE // LOAD_SIZE // 4 * 4)}")
    if args.channels != 3:
        words += [f"data.domains.{domain}.channels={args.channels}" for domain in "AB"]
    return shlex.join(words)


def run_download(args: argparse.Namespace) -> int:
    """Run `download` and return the exit code."""
    if args.list:
        print(f"{'NAME':<24}{'MB':>6}  {'trainA / trainB / testA / testB':<33}IMAGES")
        for dataset in CATALOG.values():
            megabytes = f"{dataset.archive_bytes / 1e6:,.0f}"
            print(f"{dataset.name:<24}{megabytes:>6}  {counts_text(dataset.counts):<33}{dataset.origin}")
        print(RIGHTS)
    else:
        download(find(args.name), args.output, args.base_url, args.sha256, args.retries, args.timeout)
    return 0


def main(argv: Sequence[str] | None = None) -> None:
    """Run the console script."""
    open_screen()
    args = build_parser().parse_args(argv)
    try:
        code = args.run(args)
    except KeyboardInterrupt:
        print(f"\n{PROGRAM}: interrupted; download and prepare resume with the same command", file=sys.stderr)
        code = INTERRUPTED
    except (UserError, OSError) as error:  # OSError: the disk is full, or a folder is not writable
        sys.exit(f"{PROGRAM}: {error}")
    if code:
        sys.exit(code)


if __name__ == "__main__":
    main()
