"""Reading the files of a run folder."""

import base64
from itertools import pairwise
from pathlib import Path

import pytest

from cyclegan.report.run_files import AlarmPeriod, Row, alarm_periods, read_rows, read_samples
from tests.report.run_folders import write_run


def test_rows_hold_the_finite_values_of_their_columns(tmp_path: Path) -> None:
    rows = read_rows(write_run(tmp_path / "toy") / "metrics.csv")
    assert rows[1] == Row(10, 1.0, {"train/adv_ab": 1.0, "train/adv_ba": 2.0, "lr/generators": 2e-4})
    assert rows[2].metrics["val/psnr_ab"] == 17.0  # validation rows hold no losses
    (tmp_path / "metrics.csv").write_text("images_seen,epoch,val/fid,val/kid\n10,1.0,nan,0.5\n20,2.0,inf,0.4\n")
    assert [row.metrics for row in read_rows(tmp_path / "metrics.csv")] == [{"val/kid": 0.5}, {"val/kid": 0.4}]


@pytest.mark.parametrize("damaged", [b"30,3.0,0.\x00\xff", b",4.0,0.4", b"50,5.0,0.3,0.2", b"a,b,c"])
def test_damaged_rows_are_skipped(tmp_path: Path, damaged: bytes) -> None:
    file = tmp_path / "metrics.csv"
    file.write_bytes(b"images_seen,epoch,train/adv_ab\r\n10,1.0,0.5\r\n" + damaged + b"\r\n50,5.0,0.3\r\n")
    assert read_rows(file) == [Row(10, 1.0, {"train/adv_ab": 0.5}), Row(50, 5.0, {"train/adv_ab": 0.3})]


def test_alarm_periods_begin_and_end_at_the_logged_rows() -> None:
    values = {1: (0, 1), 2: (1, 1), 3: (1, 0), 4: (0, 0), 5: (1, 0)}
    rows = [Row(e, float(e), {"alarm/won": float(won), "alarm/dull": float(dull)}) for e, (won, dull) in values.items()]
    assert alarm_periods(rows) == [
        AlarmPeriod("won", 5.0),
        AlarmPeriod("won", 2.0, 4.0),
        AlarmPeriod("dull", 1.0, 3.0),
    ]


def test_samples_are_evenly_spaced_and_other_files_ignored(tmp_path: Path) -> None:
    for epoch in range(0, 500, 5):
        (tmp_path / f"epoch{epoch:04d}.jpg").write_bytes(b"%d" % epoch)
    for name in ("epochlast.jpg", "mine.jpg", "epoch0011.png"):
        (tmp_path / name).touch()
    samples = read_samples(tmp_path)
    epochs = list(samples)
    assert (len(epochs), epochs[0], epochs[-1]) == (24, 0, 495)
    assert {later - earlier for earlier, later in pairwise(epochs)} == {20, 25}
    assert [int(base64.b64decode(jpeg)) for jpeg in samples.values()] == epochs
    assert read_samples(tmp_path / "missing") == {}
