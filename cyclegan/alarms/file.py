"""alarms.jsonl: when alarms were raised and cleared in a run, one JSON object a line."""

import errno
import json
import os
from pathlib import Path
from typing import Any


class AlarmFile:
    """Appends rows, and drops those after a position that a run goes on from.

    What cannot be written, because the disk is full, waits and is tried again the next time.

    Args:
        path: of the file; its folder is made.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._position: int | None = None
        self._waiting: list[dict[str, Any]] = []

    def continue_from(self, images: int) -> None:
        """Drops the rows after a number of images seen, and a last line that was torn off.

        Raises:
            OSError: it could not be written, now; `append` tries again.
        """
        self._position = images
        self._write()

    def append(self, rows: list[dict[str, Any]]) -> None:
        """Writes rows, each with `images`.

        Raises:
            OSError: they could not be written, now; they come with the next ones.
        """
        self._waiting += rows
        self._write()

    def _write(self) -> None:
        if self._position is not None:
            self._cut(self._position)
            self._position = None
        if not self._waiting:
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        data = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in self._waiting).encode()
        with self.path.open("ab", buffering=0) as file:
            end = file.tell()
            # A disk that is nearly full takes a part, and a torn row would stand before the next.
            if file.write(data) != len(data):
                file.truncate(end)
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.path))
            self._waiting = []
            os.fsync(file.fileno())

    def _cut(self, position: int) -> None:
        if not self.path.exists():
            return
        lines = self.path.read_bytes().splitlines(keepends=True)
        kept = [line for line in lines if line.endswith(b"\n") and images_of(line) <= position]
        if kept == lines:
            return
        unfinished = self.path.with_suffix(".jsonl.part")
        try:
            unfinished.write_bytes(b"".join(kept))
            unfinished.replace(self.path)
        finally:
            unfinished.unlink(missing_ok=True)


def images_of(line: bytes) -> float:
    """Where a row stands; endlessly far if it is none, so that it is dropped."""
    try:
        return int(json.loads(line)["images"])
    except (ValueError, KeyError, TypeError):
        return float("inf")
