"""cyclegan-weights: list and download published generators."""

import argparse
import shutil
import sys
import tarfile
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from cyclegan.cli import add_transfer, add_version, open_screen
from cyclegan.datasets.catalog import look_up
from cyclegan.datasets.download import fetch_verified
from cyclegan.datasets.weights import ARCHIVE, RIGHTS, WEIGHTS, PublishedWeights, weights_cache
from cyclegan.errors import CheckpointError, DataError, UserError
from cyclegan.files import replacing

PROGRAM = "cyclegan-weights"


def build_parser() -> argparse.ArgumentParser:
    """Build the parser of the command line; the result's `run` is the function of the sub-command."""
    parser = argparse.ArgumentParser(
        prog=PROGRAM,
        description="Download the generators that the authors of CycleGAN, pix2pix and CUT publish. Afterwards, "
        "--checkpoint NAME of the other commands finds them.",
        epilog=f"example: {PROGRAM} download horse2zebra. The same command resumes an interrupted download.",
    )
    add_version(parser)
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    commands.add_parser("list", help="print the published generators").set_defaults(run=run_list)
    download = commands.add_parser("download", help="download a generator and check it")
    download.add_argument("name", metavar="NAME", help=f"a name of {PROGRAM} list")
    download.add_argument(
        "--base-url", metavar="URL", help="server folder that holds the file (default: that of the authors)"
    )
    add_transfer(download)
    download.set_defaults(run=run_download)
    return parser


def run_list(args: argparse.Namespace) -> None:
    """Print a line for each generator."""
    cache = weights_cache()
    print(f"{'NAME':<31}{'METHOD':<10}{'DATA SET':<24}{'DIRECTION':<11}FILE")
    for name, weights in WEIGHTS.items():
        file = cache / f"{name}.pth"
        found = file if file.is_file() else ""
        print(f"{name:<31}{weights.method:<10}{weights.dataset:<24}{weights.direction:<11}{found}".rstrip())
    print(RIGHTS)


def run_download(args: argparse.Namespace) -> None:
    """Download a generator to the cache, unless it is there already; print the progress.

    The authors publish no checksums. A file is checked by its length, and by loading the generator from it.

    Raises:
        DataError: there is no such generator, the server cannot be reached, or the file does not hold the generator.
    """
    weights = look_up(args.name, WEIGHTS, "published generator")
    cache = weights_cache()
    target = cache / f"{weights.name}.pth"
    if target.is_file():
        print(f"{target} is already there")
        return
    cache.mkdir(parents=True, exist_ok=True)
    url = f"{(args.base_url or weights.folder).rstrip('/')}/{weights.file}"
    part = cache / f".{weights.method}-{weights.file}.part"
    print(f"downloading {weights.name} from {url} to {target}\n{RIGHTS}")
    sha256 = fetch_verified(url, part, args.sha256, args.retries, args.timeout)
    try:
        placed = _unpack(part, cache) if weights.file == ARCHIVE else _place(part, weights)
    except (CheckpointError, tarfile.TarError) as error:
        part.unlink()
        raise DataError(f"{url} was deleted again, because it holds no generator: {error}") from error
    if weights.name not in placed:
        raise DataError(f"{url} holds {', '.join(placed) or 'no known generator'}, and not {weights.name}")
    part.unlink(missing_ok=True)
    print(f"{', '.join(placed)}: in {cache}, SHA-256 of the download {sha256}")


def _place(part: Path, weights: PublishedWeights) -> list[str]:
    _check(part)
    part.rename(part.with_name(f"{weights.name}.pth"))
    return [weights.name]


def _unpack(archive: Path, cache: Path) -> list[str]:
    """Write the known generators of CUT's archive, and return their names."""
    placed = []
    with tarfile.open(archive) as opened:
        for member in opened:
            path = PurePosixPath(member.name)
            content = opened.extractfile(member)
            if content is None or path.name != "latest_net_G.pth" or path.parent.name not in WEIGHTS:
                continue
            with replacing(cache / f"{path.parent.name}.pth") as unfinished:
                with unfinished.open("wb") as output:
                    shutil.copyfileobj(content, output)
                _check(unfinished)
            placed.append(path.parent.name)
    return placed


def _check(file: Path) -> None:
    """Load a generator, without running code from its file; raise a CheckpointError if it is none."""
    # torch is imported where it is used, so that --help answers without it.
    from cyclegan.checkpoint.published import published
    from cyclegan.checkpoint.reading import read

    published(read(file), file)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the console script."""
    open_screen()
    args = build_parser().parse_args(argv)
    try:
        args.run(args)
    except KeyboardInterrupt:
        print(f"\n{PROGRAM}: interrupted; the same command resumes", file=sys.stderr)
        sys.exit(130)  # 128 + SIGINT
    except (UserError, OSError) as error:  # OSError: the disk is full, or a folder is not writable
        sys.exit(f"{PROGRAM}: {error}")


if __name__ == "__main__":
    main()
