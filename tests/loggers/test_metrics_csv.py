"""metrics.csv: columns, rows of resumed runs, and failed writes."""

import csv
import locale
import shutil
from pathlib import Path

import pytest

from cyclegan.loggers.metrics_csv import MetricsCsv
from tests.faults import largest_file


def table(folder: Path) -> list[list[str]]:
    with (folder / "metrics.csv").open(newline="") as file:
        return list(csv.reader(file))


def positions(folder: Path) -> list[str]:
    return [row[0] for row in table(folder)[1:]]


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
    """Log a validation before training, and training and validation rows at 4, 8 and 12 images."""
    logger = MetricsCsv(str(folder))
    logger.log_metrics({"val/psnr": 20.0}, step=0)
    for step in (4, 8, 12):
        logger.log_metrics({"loss": step / 4}, step=step)
        logger.log_metrics({"val/psnr": 20.0}, step=step)


@pytest.mark.parametrize(
    ("position", "kept"),
    [
        (9, ["0", "4", "4", "8", "8"]),
        (8, ["0", "4", "4", "8", "8"]),
        (0, []),  # no checkpoint is of 0 images: the rows are of an earlier attempt
        (99, ["0", "4", "4", "8", "8", "12", "12"]),
    ],
)
def test_a_resumed_run_keeps_rows_and_columns_up_to_its_position(
    tmp_path: Path, position: int, kept: list[str]
) -> None:
    first_run(tmp_path)
    before = table(tmp_path)
    logger = MetricsCsv(str(tmp_path))
    logger.continue_from(position)
    assert table(tmp_path) == before[: 1 + len(kept)]
    logger.log_metrics({"late": 2.0, "loss": 9.0}, step=position + 4)
    logger.continue_from(position)  # once the process has logged, nothing is dropped
    assert table(tmp_path)[0] == ["images_seen", "val/psnr", "loss", "late"]
    assert table(tmp_path)[-1] == [str(position + 4), "", "9.0", "2.0"]
    assert positions(tmp_path) == [*kept, str(position + 4)]


def test_without_a_position_the_first_row_sets_it_and_an_incomplete_row_is_removed(tmp_path: Path) -> None:
    first_run(tmp_path)
    with (tmp_path / "metrics.csv").open("a") as file:
        file.write("16,5")  # without a newline, as after a crash
    logger = MetricsCsv(str(tmp_path))
    for step in (12, 16):
        logger.log_metrics({"loss": 0.0}, step=step)
    assert positions(tmp_path) == ["0", "4", "4", "8", "8", "12", "16"]


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
    assert len([message for message in caplog.messages if "rows stay in memory" in message]) == 1, "logged once"


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


def test_a_deleted_folder_is_created_again(tmp_path: Path) -> None:
    logger = MetricsCsv(str(tmp_path / "run"))
    logger.log_metrics({"loss": 0.5}, step=1)
    shutil.rmtree(tmp_path / "run")
    logger.save()
    logger.log_metrics({"loss": 0.25}, step=2)
    assert table(tmp_path / "run") == [["images_seen", "loss"], ["2", "0.25"]]


def test_the_table_is_utf_8_in_every_locale(tmp_path: Path) -> None:
    before = locale.setlocale(locale.LC_CTYPE)
    locale.setlocale(locale.LC_CTYPE, "C")  # the default encoding is ASCII
    try:
        for step in (4, 8):
            MetricsCsv(str(tmp_path)).log_metrics({"train/cycle_ä": 0.5}, step=step)
    finally:
        locale.setlocale(locale.LC_CTYPE, before)
    assert (tmp_path / "metrics.csv").read_text(encoding="utf-8").split() == [
        "images_seen,train/cycle_ä",
        "4,0.5",
        "8,0.5",
    ]
