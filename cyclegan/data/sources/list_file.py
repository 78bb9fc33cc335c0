"""Lists of images: a text file that names one a line, in the order in which they count."""

from itertools import repeat
from operator import itemgetter
from os.path import commonprefix
from pathlib import Path
from typing import TextIO

import numpy as np

from cyclegan.data.file_list import Files
from cyclegan.data.source import in_chunks
from cyclegan.errors import DataError

_LOOKED_FOR = 8


def read_list(path: Path) -> Files:
    """Reads the paths in a text file: absolute, or relative to the folder that the file is in.

    Blank lines and lines that begin with `#` are passed over; an image that is called so is written `./#name`.
    The files' base is the folder that is common to all of them, and the label is that folder as the list writes it.
    Whether they are there is asked of a few only.

    Raises:
        DataError: the list is no text in UTF-8, or names nothing, or a path twice, or only what is not there.
    """
    listed = _as_written(path)
    if not len(listed):
        raise DataError(f"{path} lists no image: write one path a line, absolute or relative to {path.parent}")
    absolute = sum(map(str.startswith, listed.names(), repeat("/")))
    if 0 < absolute < len(listed):
        here = path.parent.absolute()
        listed = Files(here, (str(here / name) for name in listed.names()), label="")
    _require_unique(listed, path)
    files = _below_common_folder(listed)
    _require_some(files, path)
    return files


def _as_written(path: Path) -> Files:
    try:
        with _open(path) as lines:
            return Files(path.parent, filter(None, map(_path_on, lines)), label="")
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror or error}): make it readable (chmod +r)") from error
    except ValueError as error:
        raise DataError(f"{path} is no text in UTF-8 ({error}): save the list as UTF-8") from error


def _open(path: Path) -> TextIO:
    """The lines of a list, also if it comes from Windows; a name that is no UTF-8 stays the bytes that it is."""
    return path.open(encoding="utf-8-sig", errors="surrogateescape")


def _path_on(line: str) -> str:
    """The path on a line, empty if there is none: without the `./` that `find` writes, so that a file has one name."""
    if line[0] not in "#." and not line[0].isspace():
        return line.removesuffix("\n")  # nearly every line, and there may be a million
    if line.lstrip()[:1] in ("", "#"):
        return ""
    while line.startswith("./"):
        line = line[2:].lstrip("/")
    return line.removesuffix("\n")


def _require_unique(listed: Files, path: Path) -> None:
    places = _first_repeat(listed)
    if places is not None:
        one, other = places
        with _open(path) as lines:
            numbers = [number for number, line in enumerate(lines, 1) if _path_on(line)]
        raise DataError(
            f"{path} lists {listed[one]} twice, in lines {numbers[one]} and {numbers[other]}; take one of them out"
        )


def _first_repeat(listed: Files) -> tuple[int, int] | None:
    """Two places with one name. A set of a million names would take more memory than all the rest."""
    hashes = np.fromiter(map(hash, listed.names()), np.int64, len(listed))
    ordered = np.sort(hashes)
    shared = ordered[1:][ordered[1:] == ordered[:-1]]
    if not len(shared):
        return None
    seen: dict[str, int] = {}
    for place in np.flatnonzero(np.isin(hashes, shared)).tolist():
        if listed[place] in seen:
            return seen[listed[place]], place
        seen[listed[place]] = place
    return None


def _below_common_folder(listed: Files) -> Files:
    # Of a chunk's names at a time, as that is quick; letter by letter, and then cut to a folder.
    prefix = commonprefix([commonprefix(chunk) for chunk in in_chunks(listed.names())])  # noqa: RUF071
    folder = prefix[: prefix.rfind("/") + 1]
    base = listed.base / folder
    label = base.name if folder.startswith("/") else folder.removesuffix("/")
    return Files(base, map(itemgetter(slice(len(folder), None)), listed.names()), label)


def _require_some(files: Files, path: Path) -> None:
    """Looks for a few files, so that a wrong folder is found out before training."""
    some = {len(files) * i // _LOOKED_FOR for i in range(_LOOKED_FOR)}
    if not any(Path(files[i]).exists() for i in some):
        raise DataError(
            f"{path} lists {files[0]!r}, and it is not there, nor are others that were looked for; paths in a list are "
            f"absolute or relative to the folder of the list, {path.parent}"
        )
