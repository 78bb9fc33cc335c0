"""The short form of `make torture`: the command is killed with SIGKILL and resumed, and nothing is different."""

from pathlib import Path

import pytest

from tests.train.torture import CASES, Case, torture


@pytest.mark.parametrize(
    ("case", "kills", "faults"),
    [
        pytest.param(CASES[1], 3, 1, id="one"),
        # Minutes on a busy machine. And before Python 3.12, a forked worker may wait for ever for a lock of the
        # interpreter's that a thread of gloo held at that moment (PyOS_AfterFork_Child takes it before it renews it).
        pytest.param(CASES[2], 1, 0, id="two processes", marks=pytest.mark.slow),
    ],
)
def test_a_killed_training_ends_like_an_undisturbed_one(tmp_path: Path, case: Case, kills: int, faults: int) -> None:
    report = torture(tmp_path, case, kills=kills, faults=faults, epochs=8, seed=kills, forked=True)
    assert report.kills.total() == kills
    assert len(report.faults) == faults
    assert report.differences == []


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_again_and_again(tmp_path: Path, case: Case) -> None:
    report = torture(tmp_path, case, kills=8, faults=4, epochs=60, seed=1)
    assert report.differences == []
