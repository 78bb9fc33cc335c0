"""Where what a command makes of images goes."""

from collections.abc import Iterable
from pathlib import Path, PurePath

from cyclegan.errors import UserError


class InputError(UserError):
    """Nothing to translate, or nowhere to put it; the text says why and what to do."""


def plan(base: Path, names: Iterable[str], output: Path, suffix: str) -> list[tuple[Path, Path]]:
    """Pairs every image with the file that its translation goes to.

    Args:
        base: the folder that the names are below.
        names: of the images; they and their sub-folders are kept below `output`.
        output: folder of the translations.
        suffix: their extension.

    Raises:
        InputError: two images would go to the same file, one to where another comes from, or one outside of `output`.
    """
    if output.exists() and not output.is_dir():
        raise InputError(f"--output {output} is a file; give a folder")
    pairs = [(base / name, output / PurePath(name).with_suffix(suffix)) for name in names]
    inputs = {source.resolve() for source, _ in pairs}
    taken: dict[Path, Path] = {}
    for source, target in pairs:
        if ".." in target.relative_to(output).parts:
            raise InputError(f"{source} would go outside of {output}; list the images by absolute paths without ..")
        if target in taken:
            raise InputError(
                f"{taken[target]} and {source} would both become {target}; translate them into two folders"
            )
        if target.resolve() in inputs:
            raise InputError(f"{target} is an input too and would be overwritten; choose another --output")
        taken[target] = source
    return pairs
