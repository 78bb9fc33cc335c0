"""Files of text that are replaced as a whole."""

import os
from pathlib import Path


def write_whole(path: Path, text: str) -> Path:
    """Writes beside `path` and renames, so that a reader finds the earlier file or this one.

    Raises:
        OSError: it could not be written; the earlier file stays.
    """
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        # errors: half of a surrogate pair, from a strange file name, must not be what a run ends of
        unfinished.write_text(text, encoding="utf-8", errors="replace", newline="\n")
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
    return path
