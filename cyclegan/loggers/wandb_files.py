"""What wandb has on this disk of a run's earlier parts.

wandb's own process writes in blocks of 32 KiB, and dies with the one that it serves: what a killed process handed
over last is lost. So these files, and not what was logged, say which points there are.
"""

import json
import logging
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cyclegan.loggers import POSITION

log = logging.getLogger(__name__)

HEADER = b":W&B\xe1\xbe\x00"
BLOCK = 32768
PART = struct.Struct("<IHB")  # checksum, length, kind
FULL, FIRST, LAST = 1, 2, 4


def earlier_positions(parts: list[Path]) -> dict[str, int]:
    """Images seen at the last stored point of every curve and image.

    A file that a killed process left behind is mended: `wandb sync` stops at a record that was torn off, and at a
    file without any, and uploads nothing of the parts that come after.

    Args:
        parts: `.wandb` files of one run to which nobody writes any more. One that cannot be read counts as far as
            it can.
    """
    found: dict[str, int] = {}
    for path in parts:
        try:
            end = len(HEADER)
            for record, after in whole_records(path):
                end = after
                for name, position in points(record):
                    found[name] = max(position, found.get(name, position))
            if end == len(HEADER):
                path.unlink()
            elif end < path.stat().st_size:
                with path.open("r+b") as file:
                    file.truncate(end)
        except ImportError as error:
            log.warning("wandb     points that this run repeats are logged twice: its files cannot be read (%s)", error)
            return {}
        except Exception as error:  # of the disk, or of a format that is not known here
            log.debug("%s was not read to its end: %s", path, error)
    return found


def whole_records(path: Path) -> Iterator[tuple[Any, int]]:
    """Reads a `.wandb` file: protocol buffers in LevelDB's log format, after a header of 7 bytes.

    A record lies in one part or, across blocks, in several.

    Yields:
        each record, and where in the file it ends; none that was torn off at the file's end.

    Raises:
        ValueError: the file has another format, or is damaged elsewhere than at its end.
    """
    # 2026-11-21: wandb 0.31 has no public reader of them, and may move its private one.
    from wandb.proto import wandb_internal_pb2

    with path.open("rb") as file:
        data, start, parts = file.read(BLOCK), 0, b""
        if len(data) < len(HEADER) and HEADER.startswith(data):
            return
        if not data.startswith(HEADER):
            raise ValueError(f"{path} begins with {data[: len(HEADER)]!r}, not with {HEADER!r}")
        at = len(HEADER)
        while data:
            while at + PART.size <= len(data):
                checksum, length, kind = PART.unpack_from(data, at)
                part = data[at + PART.size : at + PART.size + length]
                if len(part) < length:
                    return
                if checksum != zlib.crc32(bytes([kind]) + part):
                    raise ValueError(f"{path} is damaged at byte {start + at}")
                at += PART.size + length
                parts = part if kind in (FULL, FIRST) else parts + part
                if kind in (FULL, LAST):
                    record = wandb_internal_pb2.Record()  # type: ignore[attr-defined]
                    record.ParseFromString(parts)
                    yield record, start + at
            data, start, at = file.read(BLOCK), start + BLOCK, 0


def points(record: Any) -> Iterator[tuple[str, int]]:
    """The names in a row of the history, each with the row's images seen; nothing of other records."""
    row = {(item.nested_key or [item.key])[0]: item.value_json for item in record.history.item}
    position = json.loads(row.get(POSITION, "null"))
    if isinstance(position, int):
        for name in row:
            yield name, position
