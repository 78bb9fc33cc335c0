"""Jobs as files: job.json, and runs that no sweep of this package started."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from cyclegan.sweep.record import Job, read_job, read_jobs, write_job
from tests.report.run_folders import write_table


def write_config(run: Path, epochs: int, **changes: Any) -> None:
    """Write a run of 4 epochs that was trained for `epochs`; `changes` are keys with __ for dots."""
    config: dict[str, Any] = {
        "name": run.name,
        "seed": 0,
        "run_dir": str(run),
        "model": {"seed": 0, "optimizer": {"_target_": "torch.optim.Adam", "lr": 2e-4, "betas": [0.5, 0.999]}},
        "trainer": {"max_epochs": 4},
        "callbacks": {"report": {"_target_": "Report", "run_dir": str(run)}},
        "logger": {"wandb": {"name": run.name}},
    }
    for key, value in changes.items():
        *sections, name = key.split("__")
        section = config
        for each in sections:
            section = section[each]
        section[name] = value
    run.mkdir(parents=True)
    (run / "config.yaml").write_text("# cyclegan-train name=x\n" + yaml.safe_dump(config))
    write_table(run / "metrics.csv", [{"images_seen": 10 * e, "epoch": float(e)} for e in range(epochs + 1)])


def test_a_job_is_read_as_it_was_written(tmp_path: Path) -> None:
    job = Job(tmp_path, {"seed": "1", "optimizer": "adam"}, "failed", 12.5, None, "CUDA error: größer")
    file = write_job(job)
    assert list(json.loads(file.read_text())) == ["overrides", "state", "seconds", "objective", "message"]
    assert list(json.loads(file.read_text())["overrides"]) == ["optimizer", "seed"]
    assert read_job(tmp_path) == job
    assert [path.name for path in tmp_path.iterdir()] == ["job.json"]


def test_jobs_are_in_the_natural_order_of_their_names(tmp_path: Path) -> None:
    names = ["identity=0.5,seed=2", "identity=0.5,seed=10", "identity=1e-3,seed=1", "lr=1", "identity=10,seed=1"]
    for name in names:
        (tmp_path / name).mkdir()
        write_job(Job(tmp_path / name, {}))
    (tmp_path / ".submitit").mkdir()
    (tmp_path / "sweep.yaml").touch()
    assert [job.folder.name for job in read_jobs(tmp_path)] == [names[i] for i in (2, 0, 1, 4, 3)]


def test_runs_without_a_record_are_compared_by_their_configurations(tmp_path: Path) -> None:
    write_config(tmp_path / "here/a", 4)
    write_config(tmp_path / "here/b", 2, seed=1, model__seed=1, model__optimizer__lr=1e-5)
    adamw = {"_target_": "torch.optim.AdamW", "lr": 2e-4, "betas": [0.5, 0.999], "weight_decay": 0.01}
    write_config(tmp_path / "there/c", 0, model__optimizer=adamw, callbacks__ema={"_target_": "x.Ema", "decay": 0.9})
    (tmp_path / "here/other").mkdir()
    (tmp_path / "here/other/config.yaml").write_text("name: of another program\n")
    jobs = read_jobs(tmp_path / "here", tmp_path / "there")
    assert [(job.folder.name, job.state) for job in jobs] == [("a", "done"), ("b", "stopped"), ("c", "stopped")]
    assert [job.overrides for job in jobs] == [
        {"callbacks.ema": ema, "model.optimizer": optimizer, "model.optimizer.lr": lr, "seed": seed}
        for ema, optimizer, lr, seed in [
            ("null", "Adam", "0.0002", "0"),
            ("null", "Adam", "1.0e-05", "1"),
            ("Ema", "AdamW", "0.0002", "0"),
        ]
    ]


@pytest.mark.parametrize(("model_seed", "keys"), [(1, ["seed"]), (5, ["model.seed", "seed"])])
def test_a_key_that_follows_another_is_not_a_change_of_its_own(
    tmp_path: Path, model_seed: int, keys: list[str]
) -> None:
    write_config(tmp_path / "a", 4)
    write_config(tmp_path / "b", 4, seed=1, model__seed=model_seed)
    assert [list(job.overrides) for job in read_jobs(tmp_path)] == [keys, keys]
