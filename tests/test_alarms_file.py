"""alarms.jsonl over several parts of a run."""

import json
from pathlib import Path

from cyclegan.alarms.file import AlarmFile

EARLY, LATE = {"images": 8, "alarm": "copies_input"}, {"images": 12, "alarm": "checkerboard"}


def test_rows_after_a_position_and_what_is_no_row_are_dropped(tmp_path: Path) -> None:
    path = tmp_path / "run" / "alarms.jsonl"
    AlarmFile(path).append([EARLY, LATE])
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join([lines[0], "\n", "[]\n", '{"images": null}\n', lines[1], lines[0]]))
    file = AlarmFile(path)
    file.continue_from(8)
    file.append([LATE])
    assert [json.loads(line) for line in path.read_text().splitlines()] == [EARLY, EARLY, LATE]


def test_a_row_without_its_line_break_is_not_written_on(tmp_path: Path) -> None:
    path = tmp_path / "alarms.jsonl"
    path.write_text(json.dumps(EARLY) + "\n" + json.dumps(EARLY))
    file = AlarmFile(path)
    file.continue_from(8)
    file.append([LATE])
    assert [json.loads(line) for line in path.read_text().splitlines()] == [EARLY, LATE]


def test_texts_are_written_as_they_read(tmp_path: Path) -> None:
    path = tmp_path / "alarms.jsonl"
    AlarmFile(path).append([{"images": 8, "text": "A→B"}])
    assert "A→B" in path.read_text(encoding="utf-8")
