"""Where the files of an evaluation go."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

from cyclegan.checkpoint.reading import FOLDER
from cyclegan.errors import InputError


def output_for(checkpoints: Sequence[Path]) -> Path:
    """Where metrics of checkpoints go unless told otherwise: into the run's folder, if it is one run's."""
    folders = {path.resolve().parent for path in checkpoints}
    in_run = len(folders) == 1 and next(iter(folders)).name == FOLDER
    return (checkpoints[0].parent.parent if in_run else Path()) / "evaluation"


def require_usable(output: Path) -> None:
    """Tries whether files can be written there, and leaves nothing behind: measuring takes long.

    Raises:
        InputError: they cannot.
    """
    there = output
    try:
        there = next(folder for folder in (output, *output.absolute().parents) if folder.exists())
        if not there.is_dir():
            what = "is a file" if there == output else f"cannot be made: {there} is a file"
            raise InputError(f"--output {output} {what}; give a folder")
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        raise InputError(
            f"--output {output} cannot be written ({there}: {error.strerror}); give another folder"
        ) from error
