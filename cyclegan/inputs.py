"""Which pictures a command is to work on, and where what it makes of them goes."""

import glob
from collections.abc import Sequence
from pathlib import Path

from cyclegan.errors import UserError
from cyclegan.images import IMAGE_SUFFIXES


class InputError(UserError):
    """Nothing to translate, or nowhere to put it; the text says why and what to do."""


def find_pictures(pattern: str) -> tuple[Path, list[Path]]:
    """All pictures that `pattern` names, and the folder that their sub-folders are told from.

    Hidden files and folders are passed over. Here, and other than for training, a picture's place below that folder
    matters, as its translation goes to the same place; links to folders are not followed.

    Raises:
        InputError: nothing found.
    """
    given = Path(pattern)
    if given.is_file():
        return given.parent, [given]
    root, wild = (given, "**/*") if given.is_dir() else split_pattern(pattern)
    files = sorted(
        path
        for path in root.glob(wild)
        if path.suffix.lower() in IMAGE_SUFFIXES and not hidden(path.relative_to(root)) and path.is_file()
    )
    if not files:
        what = (
            "a folder without pictures" if given.is_dir() else "no file, no folder, and a pattern that matches nothing"
        )
        raise InputError(f"--input {pattern} is {what}; pictures end in {', '.join(sorted(IMAGE_SUFFIXES))}")
    return root, files


def plan(root: Path, files: Sequence[Path], output: Path, suffix: str) -> list[tuple[Path, Path]]:
    """Pairs every picture with the file that its translation goes to.

    Names and sub-folders below `root` are kept below `output`; the ending becomes `suffix`.

    Raises:
        InputError: two pictures would go to the same file, or one to where another comes from.
    """
    if output.exists() and not output.is_dir():
        raise InputError(f"--output {output} is a file; give a folder")
    pairs = [(file, output / file.relative_to(root).with_suffix(suffix)) for file in files]
    inputs = {file.resolve() for file in files}
    taken: dict[Path, Path] = {}
    for source, target in pairs:
        if target in taken:
            raise InputError(
                f"{taken[target]} and {source} would both become {target}; translate them into two folders"
            )
        if target.resolve() in inputs:
            raise InputError(f"{target} is an input too and would be overwritten; choose another --output")
        taken[target] = source
    return pairs


def hidden(path: Path) -> bool:
    """Whether the file, or a folder on the way to it, has a name that begins with a dot."""
    return any(part.startswith(".") for part in path.parts)


def split_pattern(pattern: str) -> tuple[Path, str]:
    """A pattern as the folder above its first wildcard, and the rest."""
    parts = Path(pattern).parts
    if parts[-1:] == ("**",):
        parts += ("*",)  # before Python 3.13 a `**` at the end finds folders alone
    first = next((i for i, part in enumerate(parts) if glob.has_magic(part)), len(parts) - 1)
    return Path(*parts[:first]), str(Path(*parts[first:]))
