"""What is read from a run folder, and what of a damaged one."""

from pathlib import Path

from cyclegan.report.run_files import Alarm, Row, read_run
from tests.report.run_folders import PROTOCOL, write_run


def test_reads_everything_a_run_leaves(tmp_path: Path) -> None:
    run = read_run(write_run(tmp_path / "toy"))
    assert run.name == "toy"
    assert run.rows[1] == Row(10, 1.0, {"train/adv_ab": 1.0, "train/adv_ba": 2.0, "lr/generators": 2e-4})
    assert run.rows[2].metrics["val/psnr_ab"] == 17.0  # a row of its own, without the losses
    assert run.alarms is not None
    assert run.alarms[0] == Alarm(20, 2.0, "checkerboard", True, "a pattern")
    assert [path.name for path in run.samples.values()] == [f"epoch{epoch:04d}.jpg" for epoch in range(5)]
    assert run.protocol == PROTOCOL
    assert run.config == "name: toy\nseed: 3\n"
    assert run.environment == {"Python": "3.12.1", "device": "cpu"}
    assert run.damaged == {}


def test_an_empty_folder_is_a_run_of_which_nothing_is_known(tmp_path: Path) -> None:
    run = read_run(tmp_path)
    assert (run.rows, run.alarms, run.samples, run.protocol, run.config, run.environment) == (
        [],
        None,
        {},
        None,
        None,
        None,
    )
    assert run.updated is None


def test_damaged_lines_are_passed_over_and_counted(tmp_path: Path) -> None:
    (tmp_path / "metrics.csv").write_bytes(
        b"images_seen,epoch,train/adv_ab\r\n"
        b"10,1.0,0.5\r\n"
        b"20,2.0\r\n"  # a cell is missing
        b"30,3.0,0.\x00\xff\r\n"  # no number
        b",4.0,0.4\r\n"  # no position
        b"50,5.0,0.3\r\n"
        b"60,6.0,0.2"  # torn off: it may have read 0.25
    )
    (tmp_path / "alarms.jsonl").write_text(
        '{"images": 10, "epoch": 1, "alarm": "won", "state": "raised", "text": "x"}\n'
        '{"images": 20, "alarm": "won", "sta\n'
        '["won"]\n'
        '{"images": 30, "epoch": 3, "alarm": "won", "state": "perhaps", "text": "x"}\n'
        '{"images": 40, "epoch": null, "alarm": "won", "state": "cleared"}\n'
    )
    run = read_run(tmp_path)
    assert run.rows == [Row(10, 1.0, {"train/adv_ab": 0.5}), Row(50, 5.0, {"train/adv_ab": 0.3})]
    assert run.alarms == [Alarm(10, 1.0, "won", True, "x"), Alarm(40, None, "won", False, "")]
    assert run.damaged == {"metrics.csv": 4, "alarms.jsonl": 3}


def test_what_is_not_finite_is_no_metric(tmp_path: Path) -> None:
    (tmp_path / "metrics.csv").write_text("images_seen,epoch,val/fid,val/kid\n10,1.0,nan,0.5\n20,2.0,inf,0.4\n")
    assert [row.metrics for row in read_run(tmp_path).rows] == [{"val/kid": 0.5}, {"val/kid": 0.4}]


def test_other_files_among_the_samples_are_not_theirs(tmp_path: Path) -> None:
    (tmp_path / "samples").mkdir()
    for name in ("epoch0010.jpg", "epoch=0009.jpg", "epochlast.jpg", "mine.jpg", "epoch0011.png"):
        (tmp_path / "samples" / name).touch()
    assert list(read_run(tmp_path).samples) == [9, 10]


def test_a_record_that_is_no_object_counts_as_missing(tmp_path: Path) -> None:
    (tmp_path / "validation").mkdir()
    (tmp_path / "validation" / "protocol.json").write_text('{"network": ')
    (tmp_path / "environment.json").write_text("[1, 2]")
    run = read_run(tmp_path)
    assert (run.protocol, run.environment) == (None, None)
