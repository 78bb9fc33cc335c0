"""What stands in a folder of prepared images: how they were made, and from which state of which file each."""

import json
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from io import TextIOWrapper
from pathlib import Path
from typing import Any, Self

from cyclegan.errors import DataError

NAME = "prepared.jsonl"
_VERSION = 1


@dataclass(frozen=True)
class Entry:
    """One prepared image.

    Args:
        source: its name below the data set's folder.
        source_bytes: how large that file was.
        source_mtime_ns: when it was last changed.
        output: the prepared image's name below its folder.
        output_bytes: how large it is.
    """

    source: str
    source_bytes: int
    source_mtime_ns: int
    output: str
    output_bytes: int

    def is_whole(self, folder: Path) -> bool:
        """Whether the prepared image is there."""
        try:
            return (folder / self.output).stat().st_size == self.output_bytes
        except OSError:
            return False


class Manifest:
    """A text file that grows by a line with every image, so that a cut-off preparation can go on.

    Args:
        folder: of the prepared images; made if it is missing.
        settings: how images are made.

    Raises:
        DataError: the folder holds something else, or images that were made with other settings.
    """

    def __init__(self, folder: Path, settings: Mapping[str, Any]) -> None:
        self._path = folder / NAME
        self._settings = {"version": _VERSION, **settings}
        self.entries: dict[str, Entry] = {}
        self._file: TextIOWrapper | None = None
        if self._path.exists():
            self._read()
        elif folder.exists() and any(folder.iterdir()):
            raise DataError(f"{folder} holds other files and no {NAME}: give a new folder, or an empty one")

    def __enter__(self) -> Self:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        # Written anew: a line that was cut off and lines that later ones replaced are left out.
        unfinished = self._path.with_name(f".{NAME}.{uuid.uuid4().hex[:8]}")
        with unfinished.open("w", encoding="utf-8") as file:
            file.write(json.dumps(self._settings) + "\n")
            file.writelines(json.dumps(asdict(entry)) + "\n" for entry in self.entries.values())
        unfinished.replace(self._path)
        self._file = self._path.open("a", encoding="utf-8", buffering=1)
        return self

    def __exit__(self, *error: object) -> None:
        if self._file is not None:
            self._file.close()

    def add(self, entry: Entry) -> None:
        """Notes an image that was written."""
        assert self._file is not None
        self.entries[entry.source] = entry
        self._file.write(json.dumps(asdict(entry)) + "\n")

    def _read(self) -> None:
        lines = self._path.read_text(encoding="utf-8").split("\n")
        try:
            settings = json.loads(lines[0])
            entries = [
                Entry(**json.loads(line)) for line in lines[1:-1]
            ]  # after the last "\n": nothing, or half a line
        except (ValueError, TypeError) as error:
            raise DataError(f"{self._path} is damaged ({error}): delete its folder, and prepare it anew") from error
        if settings != self._settings:
            other = [f"{key}={settings.get(key)}" for key in self._settings if settings.get(key) != self._settings[key]]
            raise DataError(
                f"{self._path.parent} was prepared with {', '.join(other)}: give another folder, or delete this one"
            )
        self.entries = {entry.source: entry for entry in entries}
