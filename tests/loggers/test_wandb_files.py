"""Which points an earlier part of a run has on the disk, and how a torn part is mended."""

import json
import logging
import struct
import sys
import zlib
from pathlib import Path
from typing import Any

import pytest
from wandb.proto import wandb_internal_pb2

from cyclegan.loggers.wandb_files import earlier_positions

HEADER = b":W&B\xe1\xbe\x00"
BLOCK = 32768


def history(**row: Any) -> bytes:
    """A row as wandb stores it; an image has a name in two parts."""
    record = wandb_internal_pb2.Record()  # type: ignore[attr-defined]
    for name, value in row.items():
        item = record.history.item.add(value_json=json.dumps(value))
        if name == "samples":
            item.nested_key.extend(["samples", "filenames"])
        else:
            item.key = name
    return bytes(record.SerializeToString())


def config(**values: Any) -> bytes:
    """A record that is no row."""
    record = wandb_internal_pb2.Record()  # type: ignore[attr-defined]
    for name, value in values.items():
        record.config.update.add(key=name, value_json=json.dumps(value))
    return bytes(record.SerializeToString())


def written(*records: bytes) -> tuple[bytes, list[int]]:
    """The bytes of a `.wandb` file, and where in it each record ends."""
    data, ends = HEADER, []
    for record in records:
        rest, begun = record, False
        while rest or not begun:
            room = BLOCK - len(data) % BLOCK
            if room < 7:
                data += bytes(room)
                continue
            part, rest = rest[: room - 7], rest[room - 7 :]
            kind = {(False, False): 1, (False, True): 2, (True, True): 3, (True, False): 4}[begun, bool(rest)]
            data += struct.pack("<IHB", zlib.crc32(bytes([kind]) + part), len(part), kind) + part
            begun = True
        ends.append(len(data))
    return data, ends


def file(folder: Path, data: bytes, name: str = "run-abc.wandb") -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


def test_each_curve_has_the_position_of_its_last_point(tmp_path: Path) -> None:
    data, _ = written(
        config(images_seen=99),
        history(other=1.0),  # at no position
        history(other=1.0, images_seen=None),
        history(loss=1.0, images_seen=4),
        history(loss=0.5, images_seen=8),
        history(samples=["a.jpg"], images_seen=4),
    )
    found = earlier_positions([file(tmp_path, data)])
    assert found == {"loss": 8, "samples": 4, "images_seen": 8}


def test_several_parts_count_together(tmp_path: Path) -> None:
    first, _ = written(history(loss=1.0, images_seen=8), history(samples="a", images_seen=8))
    second, _ = written(history(loss=1.0, images_seen=12))
    parts = [file(tmp_path, second, "2.wandb"), file(tmp_path, first, "1.wandb")]
    assert earlier_positions(parts) == {"loss": 12, "samples": 8, "images_seen": 12}


@pytest.mark.parametrize("length", [BLOCK - 100, BLOCK, 3 * BLOCK])
def test_records_may_lie_across_blocks(tmp_path: Path, length: int) -> None:
    data, _ = written(history(big="x" * length, images_seen=2), history(loss=1.0, images_seen=4))
    assert len(data) > length
    path = file(tmp_path, data)
    assert earlier_positions([path]) == {"big": 2, "loss": 4, "images_seen": 4}
    assert path.read_bytes() == data, "what is whole stays as it is"


def test_blocks_may_end_in_up_to_six_bytes_that_hold_nothing(tmp_path: Path) -> None:
    for unused in range(8):  # and in seven that begin a record
        length = BLOCK - len(HEADER) - 7 - unused
        record = history(big="x" * length, images_seen=2)
        record = history(big="x" * (2 * length - len(record)), images_seen=2)
        data, ends = written(record, history(loss=1.0, images_seen=4))
        assert ends[0] == BLOCK - unused
        assert earlier_positions([file(tmp_path, data)]) == {"big": 2, "loss": 4, "images_seen": 4}, unused


def test_a_record_that_was_torn_off_is_cut_away(tmp_path: Path) -> None:
    data, ends = written(
        history(loss=1.0, images_seen=4), history(loss=0.5, images_seen=8), history(loss=0.2, images_seen=12)
    )
    for length in range(ends[0], len(data) + 1):
        path = file(tmp_path, data[:length])
        whole = sum(end <= length for end in ends)
        assert earlier_positions([path])["loss"] == 4 * whole, length
        assert path.read_bytes() == data[: ends[whole - 1]], length


def test_a_record_that_was_torn_between_two_blocks_is_cut_away(tmp_path: Path) -> None:
    data, ends = written(history(loss=1.0, images_seen=4), history(loss=[0.5] * BLOCK, images_seen=8))
    path = file(tmp_path, data[: 2 * BLOCK])  # as wandb leaves it: it writes whole blocks
    assert earlier_positions([path]) == {"loss": 4, "images_seen": 4}
    assert path.read_bytes() == data[: ends[0]]


@pytest.mark.parametrize("length", [0, 4, 7, 8, 20])
def test_a_part_without_any_record_is_removed(tmp_path: Path, length: int) -> None:
    data, _ = written(history(loss=1.0, images_seen=4))
    path = file(tmp_path, data[:length])
    assert earlier_positions([path]) == {}
    assert not path.exists()


@pytest.mark.parametrize("data", [b":W?", b":W&B\xe1\xbe\x01 of another version", b"something else entirely"])
def test_files_of_another_format_are_left_alone(tmp_path: Path, data: bytes) -> None:
    path = file(tmp_path, data)
    assert earlier_positions([path]) == {}
    assert path.read_bytes() == data


def test_a_damaged_part_counts_up_to_the_damage_and_is_left_alone(tmp_path: Path) -> None:
    data, ends = written(
        history(loss=1.0, images_seen=4), history(loss=0.5, images_seen=8), history(loss=0.2, images_seen=12)
    )
    damaged = data[: ends[0]] + data[ends[0] :].replace(b"8", b"9", 1)  # which could be a position too
    path = file(tmp_path, damaged)
    assert earlier_positions([path, tmp_path / "missing"]) == {"loss": 4, "images_seen": 4}
    assert path.read_bytes() == damaged


def test_a_wandb_that_moved_its_private_reader_costs_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    data, _ = written(history(loss=1.0, images_seen=4))
    parts = [file(tmp_path, data, "1.wandb"), file(tmp_path, data[:-1], "2.wandb")]
    monkeypatch.setitem(sys.modules, "wandb.proto", None)
    with caplog.at_level(logging.WARNING, "cyclegan"):
        assert earlier_positions(parts) == {}
    (record,) = caplog.records
    assert "repeats are logged twice" in record.message
    assert [path.read_bytes() for path in parts] == [data, data[:-1]], "nothing is cut that could not be read"
