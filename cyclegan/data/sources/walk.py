"""Finds the images below a folder, through links to other folders, and never in a circle."""

import heapq
import os
import posixpath
import stat
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from cyclegan.data.sources.glob_pattern import EVERYTHING, GlobPattern
from cyclegan.errors import DataError
from cyclegan.images import IMAGE_SUFFIXES

_FILE, _FOLDER, _DANGLING, _SPECIAL = "file", "folder", "dangling link", "device or pipe"


class Found(NamedTuple):
    """Names of images below a folder, "/" between folders, sorted; and what else there was, counted by kind."""

    names: list[str]
    passed_over: Counter[str]


class _Folder(NamedTuple):
    """A folder to be read: its name below the base, with "/" at the end, and where the pattern stands in it."""

    name: str
    state: frozenset[int]
    is_link: bool = False


def walk(base: Path, pattern: GlobPattern = EVERYTHING) -> Found:
    """Finds the images below a folder whose names fit a pattern.

    Hidden files and files without an image's ending are passed over and counted; hidden folders are not entered.
    Links to files and folders are followed. A folder that is reached in several ways is read once: by its own name
    if the way there holds no link, else by the link that comes first.

    Raises:
        DataError: a folder cannot be read.
    """
    return _Walk(base, pattern).run()


class _Walk:
    def __init__(self, base: Path, pattern: GlobPattern) -> None:
        self.base = base
        self.pattern = pattern
        self.found = Found([], Counter())
        self.folders = [_Folder("", pattern.begin)]
        self.links: list[_Folder] = []
        self.entered: set[tuple[object, frozenset[int]]] = set()
        self.read: set[object] = set()

    def run(self) -> Found:
        while self.folders or self.links:
            # Links wait until no proper folder is left: names do not depend on the order of a disk's entries.
            self._enter(self.folders.pop() if self.folders else heapq.heappop(self.links))
        self.found.names.sort()
        return self.found

    def _enter(self, folder: _Folder) -> None:
        path = os.path.join(self.base, folder.name)  # noqa: PTH118 - keeps the "/" at the end
        identity = _identity(path)
        if (identity, folder.state) in self.entered or (folder.is_link and _leads_upwards(path)):
            self.found.passed_over["folder that is read anyway"] += 1
            return
        self.entered.add((identity, folder.state))
        takes_files = self.pattern.takes_files(folder.state) and identity not in self.read
        if takes_files:
            self.read.add(identity)
        for entry in _entries(path):
            kind = _kind(entry)
            if kind == _FOLDER:
                self._put_down(folder, entry)
            elif takes_files and self.pattern.takes(entry.name):
                self._take(folder, entry.name, kind)

    def _put_down(self, parent: _Folder, entry: os.DirEntry[str]) -> None:
        """Keeps a folder for later, if what is looked for can be in it."""
        state = self.pattern.after(parent.state, entry.name)
        if not state or entry.name.startswith("."):
            return
        name = f"{parent.name}{entry.name}/"
        if entry.is_symlink():
            heapq.heappush(self.links, _Folder(name, state, is_link=True))
        else:
            self.folders.append(_Folder(name, state))

    def _take(self, folder: _Folder, name: str, kind: str) -> None:
        """Keeps the name of an image; counts anything else."""
        suffix = posixpath.splitext(name)[1].lower()
        if name.startswith("."):
            self.found.passed_over["hidden"] += 1
        elif suffix not in IMAGE_SUFFIXES:
            self.found.passed_over[suffix or "without ending"] += 1
        elif kind != _FILE:
            self.found.passed_over[kind] += 1
        else:
            self.found.names.append(folder.name + name)


def _entries(path: str) -> Iterator[os.DirEntry[str]]:
    try:
        with os.scandir(path) as entries:
            yield from entries
    except OSError as error:
        raise _unreadable(path, error) from error


def _identity(path: str) -> tuple[int, int]:
    """By which a folder is known again under another name."""
    try:
        found = os.stat(path)  # noqa: PTH116
    except OSError as error:
        raise _unreadable(path, error) from error
    return found.st_dev, found.st_ino


def _unreadable(path: str, error: OSError) -> DataError:
    return DataError(
        f"the folder {path} cannot be read ({error.strerror or error}): make it readable (chmod +rx), or take it out"
    )


def _leads_upwards(link: str) -> bool:
    """Whether a link leads to a folder that it lies in: all that is there would count as being below the link."""
    target = Path(link).resolve()
    return target in (here := Path(link).parent.resolve(), *here.parents)


def _kind(entry: os.DirEntry[str]) -> str:
    """What an entry is or, for a link, leads to; only links cost a look at the disk."""
    if not entry.is_symlink():
        return _FILE if entry.is_file() else _FOLDER if entry.is_dir() else _SPECIAL
    try:
        mode = entry.stat().st_mode
    except OSError:
        return _DANGLING
    return _FILE if stat.S_ISREG(mode) else _FOLDER if stat.S_ISDIR(mode) else _SPECIAL
