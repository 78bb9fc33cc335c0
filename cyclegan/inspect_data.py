"""cyclegan-data: what concerns data sets before any training; so far, fetching a published one."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from cyclegan.data.catalog import BASE_URL, CATALOG, RIGHTS, find
from cyclegan.data.download import download, partial_file
from cyclegan.data.fetch import Patience
from cyclegan.data.unpack import as_text

PROGRAM = "cyclegan-data"
INTERRUPTED = 130


def build_parser() -> argparse.ArgumentParser:
    """The command line: every sub-command is a parser whose `run` carries it out."""
    parser = argparse.ArgumentParser(prog=PROGRAM, description="Get data sets ready for training.")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    add_download(commands.add_parser("download", help="fetch a published data set, check it and unpack it"))
    return parser


def add_download(parser: argparse.ArgumentParser) -> None:
    """The arguments of `download`."""
    patience = Patience()
    parser.description = "Fetch a data set that the method's authors publish, check it and unpack it into ROOT/NAME."
    parser.epilog = f"example: {PROGRAM} download horse2zebra. A broken download goes on where it stopped."
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("name", nargs="?", metavar="NAME", help=f"one of {', '.join(CATALOG)}")
    what.add_argument("--list", action="store_true", help="print the catalogue and leave")
    parser.add_argument("--root", type=Path, default=Path("data"), metavar="FOLDER", help="default: data")
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


def not_negative(text: str) -> int:
    """An integer of 0 or more."""
    number = int(text)
    if number < 0:
        raise argparse.ArgumentTypeError(f"{text} is less than 0")
    return number


def seconds(text: str) -> float:
    """A time above 0 and up to an hour."""
    number = float(text)
    if not 0 < number <= 3600:
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and 3600 seconds")
    return number


def run_download(args: argparse.Namespace) -> int:
    """Carries out `download`; returns the exit code."""
    if args.list:
        print_catalog()
        return 0
    dataset = find(args.name)
    try:
        download(dataset, args.root, args.base_url, Patience(args.retries, args.timeout))
    except KeyboardInterrupt:
        partial = partial_file(dataset, args.root)
        kept = f"; what came is kept in {partial}; the same command goes on from there" if partial.exists() else ""
        print(f"\n{PROGRAM}: interrupted{kept}", file=sys.stderr)
        return INTERRUPTED
    return 0


def print_catalog() -> None:
    """Prints a table of the data sets: what they are called, how large they are, and where they are from."""
    print(f"{'NAME':<24}{'MB':>6}  {'trainA / trainB / testA / testB':<33}PICTURES")
    for dataset in CATALOG.values():
        megabytes = f"{dataset.archive_bytes / 1e6:,.0f}"
        print(f"{dataset.name:<24}{megabytes:>6}  {as_text(dataset.counts):<33}{dataset.origin}")
    print(RIGHTS)


def main(argv: Sequence[str] | None = None) -> None:
    """The console script."""
    args = build_parser().parse_args(argv)
    try:
        code = args.run(args)
    except (ValueError, OSError) as error:  # OSError: it cannot be written
        sys.exit(f"{PROGRAM}: {error}")
    if code:
        sys.exit(code)


if __name__ == "__main__":
    main()
