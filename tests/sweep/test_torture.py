"""The short form of `make torture`'s sweep: killed and started again, its jobs end like undisturbed ones."""

import random
from pathlib import Path

from tests.sweep.forked import run_forking
from tests.sweep.torture import WORDS, disturbed, finish, jobs
from tests.train.torture import compare

THREE = "seed=0,1,2"


def test_a_disturbed_sweep_ends_like_an_undisturbed_one(tmp_path: Path) -> None:
    finish(tmp_path, [*WORDS, THREE, "name=whole"], run_forking)
    kinds = ["alone", "SIGTERM"]
    report = disturbed(tmp_path, [*WORDS, THREE], 3, kinds, random.Random(0), run_forking)
    assert list(report.kills) == kinds
    assert report.mistakes == []
    assert report.repeated <= 4
    pairs = zip(jobs(tmp_path / "runs" / "whole"), jobs(tmp_path / "runs" / "killed"), strict=True)
    assert [difference for one, other in pairs for difference in compare(one.folder, other.folder)] == []
