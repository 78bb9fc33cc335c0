"""The short form of `make torture`: what is killed and resumed, a training or a sweep, ends like an undisturbed one."""

import random
from pathlib import Path

import pytest

from tests.sweep.forked import run_forking
from tests.sweep.torture import WORDS, disturbed, finish, jobs
from tests.train.torture import OTHER_METHODS, SETUPS, compare, torture


@pytest.mark.parametrize(
    ("case", "kills", "faults"),
    [
        pytest.param("one process, two workers", 2, 1, marks=pytest.mark.slow),
        # Minutes on a busy machine. And before Python 3.12, a forked worker may wait for ever for a lock of the
        # interpreter that a thread of gloo held at that moment (PyOS_AfterFork_Child takes it before it renews it).
        pytest.param("two processes, two workers each", 1, 0, marks=pytest.mark.slow),
    ],
)
def test_a_killed_training_ends_like_an_undisturbed_one(tmp_path: Path, case: str, kills: int, faults: int) -> None:
    report = torture(tmp_path, SETUPS[case], kills=kills, faults=faults, epochs=5, seed=kills)
    assert report.kills.total() == kills
    assert len(report.faults) == faults
    assert report.differences == []


@pytest.mark.slow
@pytest.mark.parametrize("method", OTHER_METHODS)
def test_a_killed_training_of_every_method_ends_like_an_undisturbed_one(tmp_path: Path, method: str) -> None:
    report = torture(tmp_path, OTHER_METHODS[method], kills=2, faults=1, epochs=5, seed=0)
    assert report.kills.total() == 2
    assert len(report.faults) == 1
    assert report.differences == []


@pytest.mark.slow
@pytest.mark.parametrize("case", SETUPS)
def test_a_training_killed_many_times_ends_like_an_undisturbed_one(tmp_path: Path, case: str) -> None:
    report = torture(tmp_path, SETUPS[case], kills=8, faults=4, epochs=60, seed=1)
    assert report.differences == []


@pytest.mark.slow
def test_a_disturbed_sweep_ends_like_an_undisturbed_one(tmp_path: Path) -> None:
    words, kinds = [*WORDS, "seed=0,1"], ["all processes", "SIGTERM"]
    finish(tmp_path, [*words, "name=whole"], run_forking)
    report = disturbed(tmp_path, words, 2, kinds, random.Random(0), pause=0, run=run_forking)
    assert list(report.kills) == kinds
    assert report.mistakes == []
    pairs = zip(jobs(tmp_path / "runs" / "whole"), jobs(tmp_path / "runs" / "killed"), strict=True)
    assert [difference for one, other in pairs for difference in compare(one.folder, other.folder)] == []
