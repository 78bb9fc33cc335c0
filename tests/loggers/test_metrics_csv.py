"""metrics.csv: one table per run, whatever is logged when, and however often the run is resumed."""

import csv
import locale
import shutil
from pathlib import Path

import pytest

from cyclegan.callbacks.metrics_logger import MetricsLogger
from cyclegan.loggers.metrics_csv import MetricsCsv
from tests.faults import largest_file
from tests.small import small_cyclegan
from tests.toy_runs import fit_toy, toy_data


def table(folder: Path) -> list[list[str]]:
    with (folder / "metrics.csv").open(newline="") as file:
        return list(csv.reader(file))


def test_a_metric_that_comes_later_gets_a_column_and_earlier_rows_a_gap(tmp_path: Path) -> None:
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


def test_every_row_is_on_disk_at_once(tmp_path: Path) -> None:
    logger = MetricsCsv(str(tmp_path))
    for step in range(1, 4):
        logger.log_metrics({"loss": 0.5}, step=step)
        assert len(table(tmp_path)) == 1 + step


def first_run(folder: Path) -> None:
    logger = MetricsCsv(str(folder))
    for step in (4, 8, 12, 16):
        logger.log_metrics({"loss": step / 4, "early": 1.0}, step=step)


@pytest.mark.parametrize(
    ("position", "kept"),
    [(8, ["4", "8"]), (9, ["4", "8"]), (0, []), (99, ["4", "8", "12", "16"])],
)
def test_a_resumed_run_keeps_the_rows_up_to_its_position_and_their_columns(
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


def test_without_a_position_it_continues_from_its_first_row(tmp_path: Path) -> None:
    first_run(tmp_path)
    logger = MetricsCsv(str(tmp_path))
    for step in (12, 16, 20):
        logger.log_metrics({"loss": 0.0}, step=step)
    assert [row[0] for row in table(tmp_path)] == ["images_seen", "4", "8", "12", "16", "20"]


def test_a_row_that_was_cut_off_does_not_swallow_the_next(tmp_path: Path) -> None:
    first_run(tmp_path)
    with (tmp_path / "metrics.csv").open("a") as file:
        file.write("20,5")  # no more of it, and no end of line: the machine went down
    MetricsCsv(str(tmp_path)).log_metrics({"loss": 5.0, "early": 1.0}, step=20)
    assert [row[0] for row in table(tmp_path)] == ["images_seen", "4", "8", "12", "16", "20"]
    assert table(tmp_path)[-1] == ["20", "5.0", "1.0"]


def test_a_training_that_is_resumed_twice_has_every_row_once(tmp_path: Path) -> None:
    data = toy_data(tmp_path / "toy")  # three batches of two an epoch
    for epochs in (1, 2, 3):
        resume = tmp_path / f"{epochs - 1}.ckpt" if epochs > 1 else None
        logger = MetricsCsv(str(tmp_path))
        trainer = fit_toy(small_cyclegan(), data, MetricsLogger(), resume=resume, max_epochs=epochs, logger=logger)
        trainer.save_checkpoint(tmp_path / f"{epochs}.ckpt")
    header, *rows = table(tmp_path)
    assert header[0] == "images_seen"
    assert [row[0] for row in rows] == [str(seen) for seen in range(2, 20, 2)]
    assert all(float(value) >= 0 for row in rows for value in row), "and no gap anywhere"


@pytest.mark.parametrize("room", [30, 35])  # the header and the first row are 17 + 7 bytes, a row 7 or 8
def test_rows_wait_while_the_disk_is_full_and_none_is_lost(
    tmp_path: Path, room: int, caplog: pytest.LogCaptureFixture
) -> None:
    logger = MetricsCsv(str(tmp_path))
    logger.log_metrics({"loss": 0.5}, step=1)
    with largest_file(room):
        for step in range(2, 9):
            logger.log_metrics({"loss": 0.5}, step=step)
            rows = table(tmp_path)
            assert all(len(row) == 2 for row in rows), "complete rows only"
        assert len(rows) < 8
    logger.log_metrics({"loss": 0.5}, step=9)
    assert table(tmp_path) == [["images_seen", "loss"], *([str(step), "0.5"] for step in range(1, 10))]
    assert len([r for r in caplog.records if "rows stay in memory" in r.getMessage()]) == 1, "logged once"


def test_a_new_column_waits_too(tmp_path: Path) -> None:
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


def test_the_table_is_utf_8_whatever_the_locale(tmp_path: Path) -> None:
    before = locale.setlocale(locale.LC_CTYPE)
    locale.setlocale(locale.LC_CTYPE, "C")  # in which the default encoding is ASCII
    try:
        logger = MetricsCsv(str(tmp_path))
        logger.log_metrics({"train/cycle_ä": 0.5}, step=4)
        logger.log_metrics({"train/cycle_ä": 0.5, "val/kid": 1.0}, step=8)
    finally:
        locale.setlocale(locale.LC_CTYPE, before)
    header = "images_seen,train/cycle_ä,val/kid"
    assert (tmp_path / "metrics.csv").read_text(encoding="utf-8").split() == [header, "4,0.5,", "8,0.5,1.0"]


# ---------------------------------------------------------------------------------------------- rows of two kinds


def validated_run(folder: Path, logger: MetricsCsv, positions: tuple[int, ...]) -> None:
    """Log training rows at every position and validation rows at every other one, in columns of their own."""
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


@pytest.mark.parametrize("position", [4, 8])
def test_a_resumed_run_keeps_both_kinds_of_row_at_its_position(tmp_path: Path, position: int) -> None:
    validated_run(tmp_path, MetricsCsv(str(tmp_path)), (0, 4, 8, 12, 16))
    logger = MetricsCsv(str(tmp_path))
    logger.continue_from(position)
    assert table(tmp_path) == [HEADER, *(row for row in BOTH_KINDS if int(row[0]) <= position)]
    validated_run(tmp_path, logger, tuple(range(position + 4, 20, 4)))
    assert table(tmp_path) == [HEADER, *BOTH_KINDS], "every row once"


@pytest.mark.parametrize("continues_first", [True, False], ids=["continue, log", "log, continue"])
def test_a_restarted_run_drops_the_rows_of_an_earlier_attempt_at_position_0(
    tmp_path: Path, continues_first: bool
) -> None:
    validated_run(tmp_path, MetricsCsv(str(tmp_path)), (0, 4))  # and killed before its first checkpoint
    logger = MetricsCsv(str(tmp_path))
    if continues_first:
        logger.continue_from(0)
    validated_run(tmp_path, logger, (0,))
    if not continues_first:
        logger.continue_from(0)
    validated_run(tmp_path, logger, (4, 8))
    assert table(tmp_path) == [HEADER, *BOTH_KINDS[:4]]
