"""The objective of a run."""

from pathlib import Path

import pytest

from cyclegan.sweep.objective import is_maximised, objective
from tests.report.run_folders import write_table

ROWS = [
    {"images_seen": 0, "epoch": 0.0, "val/kid": 0.01, "val/psnr": 30.0},
    {"images_seen": 5, "epoch": 0.5, "train/cycle_a": 3.0},
    {"images_seen": 10, "epoch": 1.0, "val/kid": 0.2, "val/psnr": 14.0, "train/cycle_a": 2.0},
    {"images_seen": 20, "epoch": 2.0, "val/kid": 0.1, "val/psnr": 17.0, "train/cycle_a": 1.0},
    {"images_seen": 30, "epoch": 3.0, "val/kid": 0.3, "val/psnr": 16.0, "train/cycle_a": 1.5},
    {"images_seen": 40, "epoch": 4.0, "val/kid": float("nan")},
]


@pytest.mark.parametrize(
    ("metric", "best", "last"),
    [("val/kid", 0.1, 0.3), ("val/psnr", 17.0, 16.0), ("train/cycle_a", 1.0, 1.5), ("val/fid", None, None)],
)
def test_the_best_value_lies_on_the_metrics_better_side(
    tmp_path: Path, metric: str, best: float | None, last: float | None
) -> None:
    write_table(tmp_path / "metrics.csv", ROWS)
    assert objective(tmp_path, metric, "best") == best
    assert objective(tmp_path, metric, "last") == last


def test_the_untrained_networks_have_no_objective(tmp_path: Path) -> None:
    write_table(tmp_path / "metrics.csv", ROWS[:2])
    assert objective(tmp_path, "val/psnr", "best") is None
    assert objective(tmp_path / "not begun", "val/psnr", "best") is None


def test_only_held_out_metrics_of_the_catalogue_are_maximised() -> None:
    assert [is_maximised(metric) for metric in ("val/psnr", "val/ssim_ab", "val/kid", "train/psnr", "psnr")] == [
        *(True, True, False, False, False)
    ]
