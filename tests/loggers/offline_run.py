"""Reads the file in which wandb keeps an offline run, a log in the format of LevelDB with a protocol buffer each."""

import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from wandb.proto import wandb_internal_pb2

protocol: Any = wandb_internal_pb2  # whose classes are made when it is imported
BLOCK, START, HEAD = 32768, 7, 7
FULL, LAST = 1, 4


def records(file: Path) -> Iterator[Any]:
    """Yield the records; one is split where a block of the file ends, and its parts have a header each."""
    data, at, whole = file.read_bytes(), START, b""
    while at + HEAD <= len(data):
        if BLOCK - at % BLOCK < HEAD:  # too short for a header
            at += BLOCK - at % BLOCK
            continue
        _, length, kind = struct.unpack_from("<IHB", data, at)
        whole += data[at + HEAD : at + HEAD + length]
        at += HEAD + length
        if kind in (FULL, LAST):
            yield protocol.Record.FromString(whole)
            whole = b""


class OfflineRun:
    """What an offline run will upload.

    Args:
        folder: of the wandb run, `wandb/offline-run-…`.
    """

    def __init__(self, folder: Path) -> None:
        (file,) = folder.glob("*.wandb")
        found: dict[str, list[Any]] = {}
        for record in records(file):
            kind = record.WhichOneof("record_type")
            found.setdefault(kind, []).append(getattr(record, kind))
        self.run = found["run"][-1]
        self.axes = {each.name or each.glob_name: each.step_metric for each in found["metric"]}
        self.hidden = {each.name for each in found["metric"] if each.options.hidden}
        self.exit_code = found["exit"][0].exit_code
        self.artifacts = {each.name: each for each in found.get("artifact", [])}
        updates = [item for each in (*found["run"][:1], *found.get("config", [])) for item in _config(each)]
        self.config = {item.key: json.loads(item.value_json) for item in updates}
        self.rows = [
            {"/".join(item.nested_key): json.loads(item.value_json) for item in each.item} for each in found["history"]
        ]

    def curve(self, name: str) -> list[tuple[int, Any]]:
        """Return (images seen, value) of every row that has the metric."""
        return [(row["images_seen"], row[name]) for row in self.rows if name in row]


def _config(record: Any) -> Any:
    return record.config.update if isinstance(record, protocol.RunRecord) else record.update


def files(artifact: Any) -> dict[str, Path]:
    """Return the local files of an artifact by their names in it."""
    return {entry.path: Path(entry.local_path) for entry in artifact.manifest.contents}
