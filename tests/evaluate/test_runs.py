from pathlib import Path

import pytest

from cyclegan.evaluate.runs import in_order, labels, run_of


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_a_run_is_the_folder_above_its_checkpoints(tmp_path: Path) -> None:
    inside = [Path("runs/a/checkpoints") / name for name in ("last.ckpt", "epoch0001.ckpt", "of_mine.ckpt")]
    assert {run_of(path) for path in inside} == {tmp_path / "runs/a"}
    assert run_of(Path("runs/b/../a/checkpoints/last.ckpt")) == tmp_path / "runs/a"


def test_files_that_lie_elsewhere_are_of_one_run_if_they_are_named_as_its_own(tmp_path: Path) -> None:
    copied = [Path("kept/epoch0001.ckpt"), Path("kept/images000000020.ckpt"), Path("kept/best.ckpt")]
    assert in_order(copied) == [tmp_path / "kept"]
    assert in_order([Path("kept/x.ckpt"), Path("kept/y.ckpt")]) == [tmp_path / "kept/x.ckpt", tmp_path / "kept/y.ckpt"]


def test_labels_leave_out_what_all_have_above_them() -> None:
    runs = [Path("runs/t1"), Path("runs/sw/1"), Path("runs/sw/2")]
    paths = [run / "checkpoints" / name for run in runs for name in ("epoch0010.ckpt", "last.ckpt")]
    assert labels(paths) == [
        "t1/epoch0010", "t1/last", "sw/1/epoch0010", "sw/1/last", "sw/2/epoch0010", "sw/2/last",
    ]  # fmt: skip
    assert labels([Path("kept/t1.ckpt"), Path("kept/t2.ckpt"), Path("kept/last.ckpt")]) == ["t1", "t2", "last"]
