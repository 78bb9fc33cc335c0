"""The short form of `make torture`: the console script is killed with SIGKILL and resumed, and nothing is different."""

from pathlib import Path

import pytest

from tests.torture import CASES, Case, torture


@pytest.mark.parametrize(
    ("case", "kills", "faults"), [(CASES[1], 3, 1), (CASES[2], 1, 0)], ids=["one", "two processes"]
)
def test_a_killed_training_ends_like_an_undisturbed_one(tmp_path: Path, case: Case, kills: int, faults: int) -> None:
    report = torture(tmp_path, case, kills=kills, faults=faults, epochs=12, seed=kills)
    assert report.kills.total() == kills
    assert len(report.faults) == faults
    assert report.differences == []


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_again_and_again(tmp_path: Path, case: Case) -> None:
    report = torture(tmp_path, case, kills=8, faults=4, epochs=60, seed=1)
    assert report.differences == []
