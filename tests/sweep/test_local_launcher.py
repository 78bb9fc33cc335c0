"""hydra/launcher=local: jobs side by side, each with GPUs of its own."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from cyclegan.inspection import pool
from cyclegan.sweep import devices, plan
from cyclegan.sweep import job as job_module
from cyclegan.sweep.record import Job, write_job
from hydra_plugins.cyclegan_local import LocalLauncher
from hydra_plugins.cyclegan_local import devices as number_of_gpus
from tests.sweep.stand_in import stand_in

RECORDS = """
import json, os, time
begun = time.monotonic()
time.sleep(0.15)
names = ("CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS")
record = {"begun": begun, "ended": time.monotonic()} | {name: os.environ.get(name) for name in names}
json.dump(record, open("record.json", "w"))
"""


@pytest.fixture
def sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Stands in for the plan of a sweep, whose jobs record when they ran and where."""
    monkeypatch.setattr(job_module, "POLL_SECONDS", 0.005)
    monkeypatch.setattr(job_module, "start", stand_in(RECORDS))
    monkeypatch.setattr("cyclegan.sweep.summary.write_summary", lambda folder: folder)
    for name in ("CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    sweep = SimpleNamespace(folder=tmp_path, job_folder=lambda overrides: tmp_path / overrides[0])
    monkeypatch.setattr(plan, "Sweep", lambda config: sweep)
    return sweep


def launch(sweep: SimpleNamespace, jobs: int | None, *trainers: dict[str, Any]) -> list[dict[str, Any]]:
    """Launch a job for each trainer, and return what they recorded."""
    names = [[f"seed={number}"] for number in range(len(trainers))]
    for name, trainer in zip(names, trainers, strict=True):
        folder = sweep.job_folder(name)
        folder.mkdir()
        config = {"trainer": {"max_epochs": 2, **trainer}, "objective": "val/kid", "objective_value": "best"}
        (folder / "config.yaml").write_text("# cyclegan-train\n" + yaml.safe_dump(config))
        write_job(Job(folder, {}))
    returns = LocalLauncher(jobs).launch(names, 0)
    assert [result.overrides for result in returns] == names
    assert [result.return_value for result in returns] == [None] * len(names)
    return [json.loads((sweep.job_folder(name) / "record.json").read_text()) for name in names]


def at_once(found: list[dict[str, Any]]) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Return the pairs of jobs that ran at the same time."""
    pairs = [(one, other) for number, one in enumerate(found) for other in found[:number]]
    return [(one, other) for one, other in pairs if one["begun"] < other["ended"] and other["begun"] < one["ended"]]


@pytest.mark.parametrize("numbers", [[1, 1, 1, 1], [2, 2, 2, 2], [1, 2, 1, 3], [3, 3]])
def test_jobs_at_once_have_gpus_of_their_own(
    sweep: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, numbers: list[int]
) -> None:
    monkeypatch.setattr(devices, "visible_gpus", lambda: ["4", "5", "6", "7"])
    found = launch(sweep, None, *({"accelerator": "gpu", "devices": number} for number in numbers))
    for record in found:
        record["gpus"] = set(record["CUDA_VISIBLE_DEVICES"].split(","))
    assert [len(record["gpus"]) for record in found] == numbers
    assert set().union(*(record["gpus"] for record in found)) <= {"4", "5", "6", "7"}
    pairs = at_once(found)
    assert all(one["gpus"].isdisjoint(other["gpus"]) for one, other in pairs)
    assert bool(pairs) == (numbers != [3, 3])


@pytest.mark.parametrize(
    ("jobs", "own", "threads"),
    [(2, None, "4"), (2, "3", "3"), (None, None, None)],
    ids=["two at once", "two at once, the user's own number", "one at once"],
)
def test_jobs_on_the_cpu_share_its_threads(
    sweep: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, jobs: int | None, own: str | None, threads: str | None
) -> None:
    monkeypatch.setattr(pool, "processors", lambda: 8)
    if own:
        monkeypatch.setenv("OMP_NUM_THREADS", own)
    found = launch(sweep, jobs, *({"accelerator": "cpu", "devices": 1} for _ in range(2)))
    assert [record["OMP_NUM_THREADS"] for record in found] == [threads] * 2
    assert [record["CUDA_VISIBLE_DEVICES"] for record in found] == [None] * 2
    assert bool(at_once(found)) == bool(jobs)


@pytest.mark.parametrize(
    ("accelerator", "asked", "gpus", "count"),
    [
        *(("gpu", 2, 4, 2), ("auto", 1, 4, 1), ("gpu", -1, 4, 4), ("gpu", [0, 2], 4, 4), ("auto", "auto", 4, 4)),
        *(("cpu", 2, 4, 0), ("auto", 2, 0, 0)),
    ],
)
def test_the_number_of_gpus_of_a_job(accelerator: str, asked: Any, gpus: int, count: int) -> None:
    assert number_of_gpus({"accelerator": accelerator, "devices": asked}, gpus) == count
