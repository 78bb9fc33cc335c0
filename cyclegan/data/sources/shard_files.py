"""Which tar files a source of images means: one file, a folder of them, a pattern or a numbered range."""

import glob
import itertools
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from cyclegan.data.sources.tar_index import INDEX
from cyclegan.errors import DataError
from cyclegan.images import IMAGE_SUFFIXES

SUFFIX = ".tar"
_COMPRESSED = (".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst")
_BRACES = re.compile(r"\{([^{}]*)\}")
_ELSEWHERE = re.compile(r"(^|/)(pipe:|[a-z][a-z0-9]+:/)")  # of "s3://", a Path leaves one slash
_RANGE = re.compile(r"(\d+)\.\.(\d+)")


def are_shards(source: str | Path) -> bool:
    """Whether a source means tar files and not images.

    Its name ends like a tar file's, compressed or not, or it is a folder that holds some, and neither images nor
    folders, in which there may be some.
    """
    text = os.fspath(source)
    folder = Path(text).expanduser()
    if not folder.is_dir():
        return text.lower().endswith((SUFFIX, *_COMPRESSED))
    found = False
    with os.scandir(folder) as entries:
        for entry in entries:
            suffix = os.path.splitext(entry.name)[1].lower()  # noqa: PTH122 - there may be a million
            if not entry.name.startswith(".") and (suffix in IMAGE_SUFFIXES or entry.is_dir()):
                return False
            found = found or suffix == SUFFIX
    return found


def shard_files(source: str | Path) -> list[str]:
    """The tar files that a source means, sorted.

    Args:
        source: a tar file; a folder, of which those directly in it are taken; or a pattern as a shell has it, such as
            `a-*.tar`, `a-{000..099}.tar` and `{day,night}/*.tar`.

    Raises:
        DataError: there is none, some of a range are missing, or they are not on a disk.
    """
    text = os.fspath(source)
    path = Path(text).expanduser()
    if path.is_dir():
        return _in_folder(path)
    if path.is_file():
        return [os.fspath(path)]
    wanted = [os.path.expanduser(each) for each in _expand(text)]  # noqa: PTH111 - a Path is no pattern
    found = {each: [name for name in glob.glob(each, recursive=True) if not name.endswith(INDEX)] for each in wanted}  # noqa: PTH207
    if not any(found.values()) and _ELSEWHERE.search(text):
        raise DataError(f"{text} is not on a disk: mount the store as a folder, or copy the shards to a disk first")
    if missing := [each for each, names in found.items() if not names]:
        many = f"{len(missing)} of {len(wanted)} tar files or patterns are missing" if len(wanted) > 1 else "not there"
        raise DataError(f"{text}: {many}: {_some(missing)}. Copy what is missing, or name what is there")
    return sorted({name for names in found.values() for name in names})


def _in_folder(folder: Path) -> list[str]:
    names = sorted(os.listdir(folder))  # noqa: PTH208 - names are enough
    found = [os.path.join(folder, name) for name in names if name.endswith(SUFFIX) and not name.startswith(".")]  # noqa: PTH118
    if not found:
        compressed = [name for name in names if name.lower().endswith(_COMPRESSED)]
        why = f"compressed ones cannot be read at random, unpack {_some(compressed)}" if compressed else _some(names)
        raise DataError(f"there is no tar file in {folder}: {why or 'the folder is empty'}")
    return found


def _expand(text: str) -> Iterator[str]:
    """What a shell makes of braces: `{a,b}` and `{000..099}`, several of them in all combinations."""
    pieces = _BRACES.split(text)  # text, inside of braces, text, ...
    choices = [_choices(piece) if number % 2 else [piece] for number, piece in enumerate(pieces)]
    return map("".join, itertools.product(*choices))


def _choices(inside: str) -> list[str]:
    numbers = _RANGE.fullmatch(inside)
    if numbers is None:
        return inside.split(",")
    first, last = numbers.groups()
    if int(first) > int(last):
        raise DataError(f"{{{inside}}} counts down: write {{{last}..{first}}}")
    width = max(len(first), len(last)) if first.startswith("0") or last.startswith("0") else 0
    return [f"{number:0{width}}" for number in range(int(first), int(last) + 1)]


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
