"""What offline wandb runs stored of a training, read back from their transaction logs."""

import json
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

# 2026-11-21: wandb 0.31 has no public reader of what an offline run stored.
from wandb.proto import wandb_internal_pb2

BLOCK = 32768
FULL, LAST = 1, 4


def records(run: Path) -> Iterator[Any]:
    """The records of a `.wandb` file: protocol buffers in LevelDB's log format, after a header of 7 bytes.

    A record lies in one part or, across blocks, in several. A part is: checksum, length, kind, bytes.
    """
    (file,) = run.glob("*.wandb")
    data, at, parts = file.read_bytes(), 7, b""
    assert data.startswith(b":W&B")
    while at < len(data):
        if BLOCK - at % BLOCK < 7:  # too little for another part in this block
            at += BLOCK - at % BLOCK
            continue
        checksum, length, kind = struct.unpack("<IHB", data[at : at + 7])
        part = data[at + 7 : at + 7 + length]
        assert checksum == zlib.crc32(bytes([kind]) + part)
        at, parts = at + 7 + length, parts + part
        if kind in (FULL, LAST):
            record = wandb_internal_pb2.Record()  # type: ignore[attr-defined]
            record.ParseFromString(parts)
            parts = b""
            yield record


class Stored:
    """A run as wandb will upload it."""

    def __init__(self, run: Path) -> None:
        self.folder = run
        self.config: dict[str, Any] = {}
        self.history: list[dict[str, Any]] = []
        self.axes: dict[str, str] = {}
        self.is_preempted = False
        self.exit_code: int | None = None
        for record in records(run):
            match record.WhichOneof("record_type"):
                case "run":
                    self.id, self.project, self.name = record.run.run_id, record.run.project, record.run.display_name
                    self.entity, self.job_type, self.notes = record.run.entity, record.run.job_type, record.run.notes
                    self.tags = list(record.run.tags)
                case "config":
                    self.config |= {entry.key: json.loads(entry.value_json) for entry in record.config.update}
                case "metric" if record.metric.step_metric:
                    self.axes[record.metric.name or record.metric.glob_name] = record.metric.step_metric
                case "history":
                    row = {".".join(i.nested_key) or i.key: json.loads(i.value_json) for i in record.history.item}
                    self.history.append(row)
                case "preempting":
                    self.is_preempted = True
                case "exit":
                    self.exit_code = record.exit.exit_code

    def curve(self, name: str) -> list[tuple[int, float]]:
        """(images seen, value) of every row that has the metric."""
        return [(row["images_seen"], row[name]) for row in self.history if name in row]


def stored_runs(run_dir: Path) -> list[Stored]:
    """The offline runs of a folder, oldest first."""
    return [Stored(run) for run in sorted((run_dir / "wandb").glob("offline-run-*"))]


def stored(run_dir: Path) -> Stored:
    """The one run of a folder."""
    (run,) = stored_runs(run_dir)
    return run
