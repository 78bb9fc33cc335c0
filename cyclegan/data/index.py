"""Which files are domain A: finds the pictures of a split and a domain below a data root."""

import os
from collections import Counter
from pathlib import Path

from cyclegan.images import IMAGE_SUFFIXES

REMEDY = "pass the folder that holds trainA and trainB as data.root"


class DataError(ValueError):
    """The data are not as training needs them; the message says what was found and what to do."""


def find_pictures(root: str | Path, split: str, domain: str) -> list[str]:
    """Finds all pictures of a folder such as `root/trainA`, also in its sub-folders.

    Hidden files and folders and files that are no pictures are passed over; links to folders are not followed.

    Args:
        root: the data set's folder.
        split: "train" or "test".
        domain: the domain's name, "A" or "B".

    Returns:
        Paths, sorted, so that a position stands for the same file on every machine.

    Raises:
        DataError: there is no such folder, or no picture in it.
    """
    folder = Path(root, f"{split}{domain}")
    if not folder.is_dir():
        raise DataError(f"there is no folder {folder}: {_look_around(Path(root), split, domain)}")
    pictures: list[str] = []
    others: Counter[str] = Counter()
    for parent, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in files:
            suffix = os.path.splitext(name)[1].lower()  # noqa: PTH122 - a Path for each of a million files is slow
            if suffix in IMAGE_SUFFIXES and not name.startswith("."):
                pictures.append(os.path.join(parent, name))  # noqa: PTH118
            else:
                others["hidden" if name.startswith(".") else suffix or "without ending"] += 1
    if not pictures:
        raise DataError(
            f"no picture in {folder}: {_summary(others)}. Put the pictures of {split} {domain} there; "
            f"their names end in {', '.join(sorted(IMAGE_SUFFIXES))}"
        )
    return sorted(pictures)


def _summary(others: Counter[str]) -> str:
    if not others:
        return "the folder is empty"
    total = sum(others.values())
    kinds = ", ".join(f"{kind} ×{count}" for kind, count in others.most_common(5))
    return f"{total} file{'s' * (total != 1)}, none of them a picture: {kinds}"


def _look_around(root: Path, split: str, domain: str) -> str:
    """What is at `root` instead of the folder of this split and domain, and the likeliest remedy."""
    if not root.is_dir():
        return f"{root} {'is a file' if root.exists() else 'does not exist'}; {REMEDY}"
    wanted = f"{split}{domain}"
    folders = _subfolders(root)
    found = f"{root} holds {_list(folders)}"
    for name in folders:
        if name.lower() in (wanted.lower(), domain.lower(), f"{split}_{domain}".lower()):
            return f"{found}; if {name} is meant: mv {root / name} {root / wanted}"
        inside = _subfolders(root / name)
        if wanted in inside:
            return f"{found}, and {wanted} is in {root / name}; use data.root={root / name}"
        if name.lower() == split and domain in inside:
            return f"{found}; if {name}/{domain} is meant: mv {root / name / domain} {root / wanted}"
    return f"{found}; {REMEDY}"


def _subfolders(folder: Path) -> list[str]:
    with os.scandir(folder) as entries:
        return sorted(entry.name for entry in entries if entry.is_dir() and not entry.name.startswith("."))


def _list(folders: list[str]) -> str:
    if not folders:
        return "no folders"
    shown = ", ".join(folders[:8])
    return f"the folders {shown}" + (f" and {len(folders) - 8} more" if len(folders) > 8 else "")
