"""The end of a sweep: its table and its exit code."""

from pathlib import Path

import pytest

from cyclegan.sweep.finish import finish
from cyclegan.sweep.record import Job, State, write_job


@pytest.mark.parametrize(
    ("states", "code", "line"),
    [
        (["done", "pruned"], 0, ""),
        (["done", "failed"], 1, "cyclegan-train: failed: 1 of 2 jobs; the same command repeats them"),
        (
            ["failed", "stopped", "queued"],
            75,
            "cyclegan-train: not done: 2 of 3 jobs; the same command resumes it",
        ),
        (["running"], 75, "cyclegan-train: not done: 1 of 1 jobs; the same command resumes it"),
    ],
)
def test_the_exit_code_says_whether_the_sweep_is_done(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    states: list[State],
    code: int,
    line: str,
) -> None:
    for number, state in enumerate(states):
        (tmp_path / f"seed={number}").mkdir()
        write_job(Job(tmp_path / f"seed={number}", {"seed": str(number)}, state))
    monkeypatch.setattr("cyclegan.sweep.summary.jobs_table", lambda jobs: f"table of {len(jobs)}")
    ended = 0
    try:
        finish(tmp_path)
    except SystemExit as end:
        ended = int(str(end.code))
    assert ended == code
    captured = capsys.readouterr()
    assert captured.out == f"\ntable of {len(states)}\n\nsummary   {tmp_path / 'summary.html'}\n"
    assert captured.err.rstrip() == line
