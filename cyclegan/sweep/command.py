"""cyclegan-sweep: the summary of a sweep, made again from its folders."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from cyclegan.cli import add_version, open_screen
from cyclegan.errors import InputError, UserError

PROGRAM = "cyclegan-sweep"


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(prog=PROGRAM, description="Compare the jobs of a sweep (cyclegan-train -m ...).")
    add_version(parser)
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    summary = commands.add_parser(
        "summary",
        help="write summary.csv and summary.html, and print a table",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Write summary.csv and summary.html from the folders of the jobs, and print a table. A sweep\n"
        "writes them by itself. Here, runs that were copied from several machines, runs of a wandb sweep or any\n"
        "runs in one folder are compared too, by the keys in which their config.yaml files differ.",
        epilog=f"example: {PROGRAM} summary runs/mysweep from_another_machine/runs/mysweep --output both",
    )
    summary.add_argument(
        "folders", type=Path, nargs="+", metavar="FOLDER", help="folder with a sub-folder for each job"
    )
    summary.add_argument("--output", type=Path, metavar="FOLDER", help="where to write (default: the first FOLDER)")
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line and exit with a message on errors that the user can fix."""
    open_screen()
    args = build_parser().parse_args(argv)
    try:
        run(args.folders, args.output)
    except (UserError, OSError) as error:  # OSError: the output cannot be written
        sys.exit(f"{PROGRAM}: {error}")


def run(folders: Sequence[Path], output: Path | None) -> None:
    """Write the summary and print the table.

    Raises:
        InputError: a folder does not exist or holds no jobs.
    """
    from cyclegan.sweep.record import read_jobs
    from cyclegan.sweep.summary import jobs_table, write_summary  # plotly

    for folder in folders:
        if not folder.is_dir():
            raise InputError(f"{folder}: there is no such folder")
        if not read_jobs(folder):
            raise InputError(
                f"{folder} holds no jobs: none of its folders has a job.json or the config.yaml of a run; "
                "give the folder of the sweep, such as runs/mysweep"
            )
    page = write_summary(*folders, output=output)
    print(jobs_table(read_jobs(*folders)))
    print(f"files  {page}, {page.with_suffix('.csv')}")
