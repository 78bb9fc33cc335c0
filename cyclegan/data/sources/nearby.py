"""What lies where a folder was looked for and not found, and the likeliest remedy."""

import difflib
import os
from pathlib import Path

from cyclegan.datasets.catalog import CATALOG

REMEDY = "pass the folder that holds trainA and trainB as data.root"


def around_split(root: Path, split: str, domain: str) -> str:
    """What is at `root` instead of the folder of this split and domain."""
    if root.name in CATALOG and not root.exists():
        return f"{root} does not exist; fetch it: cyclegan-data download {root.name}. For images of your own, {REMEDY}"
    if not root.is_dir():
        return f"{root} {'is a file' if root.exists() else 'does not exist'}; {REMEDY}"
    wanted = f"{split}{domain}"
    folders = _subfolders(root)
    found = f"{root} holds {_in_words(folders)}"
    for name in folders:
        if name.lower() in (wanted.lower(), domain.lower(), f"{split}_{domain}".lower()):
            return f"{found}; if {name} is meant: mv {root / name} {root / wanted}"
        inside = _subfolders(root / name)
        if wanted in inside:
            return f"{found}, and {wanted} is in {root / name}; use data.root={root / name}"
        if name.lower() == split and domain in inside:
            return f"{found}; if {name}/{domain} is meant: mv {root / name / domain} {root / wanted}"
    return f"{found}; {REMEDY}"


def around_path(path: Path) -> str:
    """What is in the folder in which the way to `path` ends."""
    path = path.absolute()
    there = next(parent for parent in path.parents if parent.is_dir())
    missing = path.relative_to(there).parts[0]
    with os.scandir(there) as entries:
        names = sorted(entry.name for entry in entries if not entry.name.startswith("."))
    meant = difflib.get_close_matches(missing, names, n=1)
    remedy = f"; is {there / meant[0]} meant?" if meant else ""
    return f"{there} holds {_in_words(_subfolders(there))} and no {missing}{remedy}"


def _subfolders(folder: Path) -> list[str]:
    with os.scandir(folder) as entries:
        return sorted(entry.name for entry in entries if entry.is_dir() and not entry.name.startswith("."))


def _in_words(folders: list[str]) -> str:
    if not folders:
        return "no folders"
    shown = ", ".join(folders[:8])
    return f"the folders {shown}" + (f" and {len(folders) - 8} more" if len(folders) > 8 else "")
