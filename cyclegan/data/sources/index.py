"""Finds the image files of a domain: in the folder that bears its name, or where a source says."""

from collections import Counter
from pathlib import Path

from cyclegan.data.file_list import Files
from cyclegan.data.sources.glob_pattern import split_pattern
from cyclegan.data.sources.list_file import read_list
from cyclegan.data.sources.nearby import around_path, around_split
from cyclegan.data.sources.walk import walk
from cyclegan.errors import DataError
from cyclegan.images import IMAGE_SUFFIXES

LIST_SUFFIX = ".txt"
_ENDINGS = f"their names end in {', '.join(sorted(IMAGE_SUFFIXES))}"


def locate(root: str | Path, split: str, domain: str) -> Path | None:
    """The folder of a split and domain below a data root, such as `root/testA`; None if there is none."""
    folder = Path(root, f"{split}{domain}")
    return folder if folder.is_dir() else None


def require_folder(root: str | Path, split: str, domain: str) -> Path:
    """The folder of a split and domain that has to be there, such as `root/trainA`.

    Raises:
        DataError: there is none; says what is there, and the likeliest remedy.
    """
    folder = locate(root, split, domain)
    if folder is None:
        missing = Path(root, f"{split}{domain}")
        raise DataError(f"there is no folder {missing}: {around_split(Path(root), split, domain)}")
    return folder


def find(source: str | Path) -> Files:
    """Finds the images that a source stands for.

    - A folder: all images in it and in its sub-folders, sorted, so that a position stands for the same image on
      every machine. Links are followed; hidden files and folders, and what is no image, are passed over.
    - A glob pattern: those whose names fit; "**" stands for any number of folders. Sorted likewise.
    - A list, a text file that ends in .txt: its paths, in its order; see `read_list`.

    Args:
        source: a path; `~` is the home folder.

    Raises:
        DataError: there is no such source, or no image in it; says what there is, and the likeliest remedy.
    """
    path = Path(source).expanduser()
    if path.is_dir():
        return _in_folder(path)
    if path.exists():
        return _in_list(path)
    return _fitting(path)


def _in_folder(folder: Path) -> Files:
    found = walk(folder)
    if not found.names:
        what = _summary(found.passed_over) or "the folder is empty"
        raise DataError(f"no image in {folder}: {what}. Put images there; {_ENDINGS}")
    return Files(folder, found.names, passed_over=found.passed_over)


def _in_list(file: Path) -> Files:
    if file.suffix.lower() == LIST_SUFFIX:
        return read_list(file)
    if file.suffix.lower() in IMAGE_SUFFIXES:
        raise DataError(
            f"{file} is a single image; give the folder that holds it, or a list (a {LIST_SUFFIX} file with one path "
            "a line)"
        )
    raise DataError(f"{file} is neither a folder nor a list of images; a list ends in {LIST_SUFFIX}")


def _fitting(path: Path) -> Files:
    split = split_pattern(path)
    if split is None:
        raise DataError(f"there is no {path}: {around_path(path)}")
    base, pattern = split
    if not base.is_dir():
        raise DataError(f"no image fits {path}: {around_path(base)}")
    found = walk(base, pattern)
    if not found.names:
        what = _summary(found.passed_over) or "no file does"
        raise DataError(
            f"no image fits {path}: {what}. A pattern names files: end it in /** for all that are in the folders "
            f"which it names; {_ENDINGS}"
        )
    return Files(base, found.names, passed_over=found.passed_over)


def _summary(others: Counter[str]) -> str:
    """What was passed over, in words; nothing if nothing was."""
    if not others:
        return ""
    total = others.total()
    kinds = ", ".join(f"{kind} ×{count}" for kind, count in others.most_common(5))
    return f"{total} file{'s' * (total != 1)}, none of them an image: {kinds}"
