"""metrics.csv: columns, rows of resumed runs, and failed writes."""

import csv
from pathlib import Path

import pytest

from cyclegan.loggers.metrics_csv import MetricsCsv
from tests.faults import largest_file


def table(folder: Path) -> list[list[str]]:
    with (folder / "metrics.csv").open(newline="") as file:
        return list(csv.reader(file))


def test_a_new_metric_adds_a_column_that_is_empty_in_earlier_rows(tmp_path: Path) -> None:
    logger = MetricsCsv(str(tmp_path))
    logger.log_metrics({"loss": 0.5}, step=4)
    logger.log_metrics({"loss": 0.25}, step=8)
    logger.log_metrics({"kid": 0.125, "loss": 0.75}, step=8)
    logger.log_metrics({"kid": 1.0}, step=12)
    assert table(tmp_path) == [
        ["images_seen", "loss", "kid"],
        ["4", "0.5", ""],
        ["8", "0.25", ""],
        ["8", "0.75", "0.125"],
        ["12", "", "1.0"],
    ]


def first_run(folder: Path) -> None:
    logger = MetricsCsv(str(folder))
    for step in (4, 8, 12, 16):
        logger.log_metrics({"loss": step / 4, "early": 1.0}, step=step)


@pytest.mark.parametrize(
    ("position", "kept"),
    [(9, ["4", "8"]), (0, []), (99, ["4", "8", "12", "16"])],
)
def test_a_resumed_run_keeps_rows_and_columns_up_to_its_position(
    tmp_path: Path, position: int, kept: list[str]
) -> None:
    first_run(tmp_path)
    logger = MetricsCsv(str(tmp_path))
    logger.continue_from(position)
    logger.log_metrics({"late": 2.0, "loss": 9.0}, step=position + 4)
    header, *rows = table(tmp_path)
    assert header == ["images_seen", "loss", "early", "late"]
    assert rows[-1] == [str(position + 4), "9.0", "", "2.0"]
    assert rows[:-1] == [[step, str(int(step) / 4), "1.0", ""] for step in kept]


def test_without_a_position_the_first_row_sets_it(tmp_path: Path) -> None:
    first_run(tmp_path)
    logger = MetricsCsv(str(tmp_path))
    for step in (12, 16, 20):
        logger.log_metrics({"loss": 0.0}, step=step)
    assert [row[0] for row in table(tmp_path)] == ["images_seen", "4", "8", "12", "16", "20"]


def test_an_incomplete_last_row_is_removed(tmp_path: Path) -> None:
    first_run(tmp_path)
    with (tmp_path / "metrics.csv").open("a") as file:
        file.write("20,5")  # without a newline, as after a crash
    MetricsCsv(str(tmp_path)).log_metrics({"loss": 5.0, "early": 1.0}, step=20)
    assert [row[0] for row in table(tmp_path)] == ["images_seen", "4", "8", "12", "16", "20"]
    assert table(tmp_path)[-1] == ["20", "5.0", "1.0"]


def test_rows_stay_in_memory_while_the_disk_is_full(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    logger = MetricsCsv(str(tmp_path))
    logger.log_metrics({"loss": 0.5}, step=1)
    with largest_file(35):  # within the third row
        for step in range(2, 9):
            logger.log_metrics({"loss": 0.5}, step=step)
            rows = table(tmp_path)
            assert all(len(row) == 2 for row in rows), "complete rows only"
        assert len(rows) < 8
    logger.log_metrics({"loss": 0.5}, step=9)
    assert table(tmp_path) == [["images_seen", "loss"], *([str(step), "0.5"] for step in range(1, 10))]
    assert len([r for r in caplog.records if "rows stay in memory" in r.getMessage()]) == 1, "logged once"


def test_a_new_column_stays_in_memory_while_the_disk_is_full(tmp_path: Path) -> None:
    logger = MetricsCsv(str(tmp_path))
    logger.log_metrics({"loss": 0.5}, step=1)
    with largest_file(10):
        logger.log_metrics({"loss": 0.5, "kid": 1.0}, step=2)
        logger.save()
    assert table(tmp_path) == [["images_seen", "loss"], ["1", "0.5"]]
    logger.save()
    assert table(tmp_path) == [["images_seen", "loss", "kid"], ["1", "0.5", ""], ["2", "0.5", "1.0"]]
    assert [path.name for path in tmp_path.iterdir()] == ["metrics.csv"]


def validated_run(folder: Path, logger: MetricsCsv, positions: tuple[int, ...]) -> None:
    """Log training rows at every position and validation rows at every second one."""
    for step in positions:
        if step:
            logger.log_metrics({"loss": step / 4, "epoch": step / 8}, step=step)
        if step % 8 == 0:
            logger.log_metrics({"val/psnr": 20.0 + step, "epoch": step / 8}, step=step)


HEADER = ["images_seen", "val/psnr", "epoch", "loss"]
BOTH_KINDS = [
    ["0", "20.0", "0.0", ""],
    ["4", "", "0.5", "1.0"],
    ["8", "", "1.0", "2.0"],
    ["8", "28.0", "1.0", ""],
    ["12", "", "1.5", "3.0"],
    ["16", "", "2.0", "4.0"],
    ["16", "36.0", "2.0", ""],
]


def test_a_resumed_run_keeps_training_and_validation_rows_at_its_position(tmp_path: Path) -> None:
    position = 8
    validated_run(tmp_path, MetricsCsv(str(tmp_path)), (0, 4, 8, 12, 16))
    logger = MetricsCsv(str(tmp_path))
    logger.continue_from(position)
    assert table(tmp_path) == [HEADER, *(row for row in BOTH_KINDS if int(row[0]) <= position)]
    validated_run(tmp_path, logger, tuple(range(position + 4, 20, 4)))
    assert table(tmp_path) == [HEADER, *BOTH_KINDS], "no row twice"


@pytest.mark.parametrize("continues_first", [True, False], ids=["continue, log", "log, continue"])
def test_a_restarted_run_drops_the_rows_of_an_earlier_attempt_at_position_0(
    tmp_path: Path, continues_first: bool
) -> None:
    validated_run(tmp_path, MetricsCsv(str(tmp_path)), (0, 4))  # ended before its first checkpoint
    logger = MetricsCsv(str(tmp_path))
    if continues_first:
        logger.continue_from(0)
    validated_run(tmp_path, logger, (0,))
    if not continues_first:
        logger.continue_from(0)
    validated_run(tmp_path, logger, (4, 8))
    assert table(tmp_path) == [HEADER, *BOTH_KINDS[:4]]
