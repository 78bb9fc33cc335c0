"""A sweep's command: what it refuses, what it freezes before the first job, and which jobs it starts."""

import json
import os
import pickle
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf

from cyclegan.errors import RunError, missing
from cyclegan.sweep import job as job_module
from cyclegan.sweep import plan
from cyclegan.train.configuration import conf_dir
from cyclegan.train.run_folder import held
from tests.command_line import Command, contents, tiny
from tests.faults import in_use
from tests.sweep.stand_in import SAVES, Start, stand_in


class Started:
    """A `cyclegan.sweep.child.start` that records which jobs it starts, with what they have by then."""

    def __init__(self, start: Start) -> None:
        self.jobs: list[str] = []
        self.configs: list[dict[str, Any]] = []
        self._start = start

    def __call__(self, config_file: Path, output: Path, variables: Mapping[str, str]) -> subprocess.Popen[bytes]:
        self.jobs.append(config_file.parent.name)
        self.configs.append(yaml.safe_load(config_file.read_text()))
        return self._start(config_file, output, variables)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job_module, "POLL_SECONDS", 0.005)
    monkeypatch.setattr("cyclegan.sweep.summary.write_summary", lambda folder: folder)


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> Started:
    """Jobs end at once instead of training."""
    started = Started(stand_in(""))
    monkeypatch.setattr(job_module, "start", started)
    return started


def states(sweep: Path) -> dict[str, str]:
    return {path.parent.name: json.loads(path.read_text())["state"] for path in sorted(sweep.glob("*/job.json"))}


# ------------------------------------------------------------------------------------------ what is frozen


def test_a_job_is_frozen_as_the_run_that_its_overrides_alone_would_make(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = tmp_path / "recipes" / "experiment" / "mine.yaml"
    recipe.parent.mkdir(parents=True)
    text = "# @package _global_\ndefaults: [toy, _self_]\nmodel: {{pool_size: {}}}\n"
    recipe.write_text(text.format(11))

    def edit(*arguments: Any) -> subprocess.Popen[bytes]:
        recipe.write_text(text.format(22))
        return stand_in("")(*arguments)

    started = Started(edit)
    monkeypatch.setattr(job_module, "start", started)
    words = [word for word in tiny("pair", "objective=train/cycle_a") if word not in ("experiment=toy", "logger=csv")]
    options = ("--config-dir", "recipes", "experiment=mine", "model.loss_weights.identity=0.5")
    assert command("-m", *options, *words, "+trainer.profiler=simple,advanced").code == 0
    assert started.jobs == ["profiler=simple", "profiler=advanced"]
    assert recipe.read_text() == text.format(22), "edited when the first job began"

    name = "profiler=advanced"
    folder = tmp_path / "runs" / "pair" / name
    with initialize_config_dir(conf_dir(), version_base="1.3"):
        alone = compose("train", [
            *("experiment=toy", "model.pool_size=11", "model.loss_weights.identity=0.5"),
            *(*words, "+trainer.profiler=advanced", f"name='pair/{name}'", f"run_dir='runs/pair/{name}'"),
            *("group=pair", "resume=auto", "logger.wandb.project=cyclegan"),
        ])  # fmt: skip
    frozen = yaml.safe_load((folder / "config.yaml").read_text())
    ids = [config["logger"]["wandb"].pop("id") for config in (*started.configs, frozen)]
    assert ids[0] != ids[1] == ids[2]
    expected: Any = OmegaConf.to_container(alone, resolve=True)
    expected["logger"]["wandb"].pop("id")
    expected["logger"]["wandb"].update(name=name, tags=[name])
    assert frozen == started.configs[1] == expected
    assert (folder / "config.yaml").read_text().startswith("# cyclegan-train -m ")
    assert json.loads((folder / "job.json").read_text())["overrides"] == {"+trainer.profiler": "advanced"}
    asked = yaml.safe_load((tmp_path / "runs" / "pair" / "sweep.yaml").read_text())
    assert asked["command"].startswith("cyclegan-train -m --config-dir recipes experiment=mine ")
    assert asked["swept"] == ["+trainer.profiler"]
    assert {"name=pair", "~callbacks.validation", "objective=train/cycle_a"} < set(asked["fixed"])
    assert (asked["objective"], asked["objective_value"]) == ("train/cycle_a", "best")


# ------------------------------------------------------------------------------------------ the same command again


@pytest.mark.parametrize(
    ("words", "variables", "name", "tags"),
    [
        ([], {}, "identity=0.5,seed=3", ["identity=0.5", "seed=3"]),
        (["logger.wandb.name=mine", "logger.wandb.tags=[a]"], {}, "mine", ["a"]),
        ([], {"WANDB_NAME": "theirs", "WANDB_TAGS": "b"}, "theirs", None),  # wandb reads the tags itself
    ],
)
def test_a_job_is_named_in_wandb_by_what_it_changes(
    command: Command,
    tmp_path: Path,
    started: Started,
    monkeypatch: pytest.MonkeyPatch,
    words: list[str],
    variables: dict[str, str],
    name: str,
    tags: list[str] | None,
) -> None:
    for variable, value in variables.items():
        monkeypatch.setenv(variable, value)
    given = [word for word in tiny("pair", *words) if word != "logger=csv"]
    command("-m", *given, "model.loss_weights.identity=choice(0.5)", "seed=choice(3)")
    (config,) = started.configs
    entry = config["logger"]["wandb"]
    assert (entry["name"], entry["group"], entry["job_type"], entry["tags"]) == (name, "pair", "train", tags)


def test_the_same_command_again_starts_what_is_not_done(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fails = Started(stand_in("import os, sys; sys.exit(os.getcwd().endswith('seed=2'))"))
    monkeypatch.setattr(job_module, "start", fails)
    failed = command("-m", *tiny("mine", "seed=1,2"))
    assert (failed.code, fails.jobs) == (1, ["seed=1", "seed=2"])
    assert failed.screen.endswith("cyclegan-train: failed: 1 of 2 jobs; the same command repeats them")
    sweep = tmp_path / "runs" / "mine"
    assert states(sweep) == {"seed=1": "done", "seed=2": "failed"}

    before = contents(sweep / "seed=1")
    works = Started(stand_in(""))
    monkeypatch.setattr(job_module, "start", works)
    assert command("-m", *tiny("mine", "seed=3,2,1")).code == 0, "with a further value"
    assert works.jobs == ["seed=3", "seed=2"]
    assert contents(sweep / "seed=1") | {".lock": ""} == before | {".lock": ""}

    assert command("-m", *tiny("mine", "seed=1,2", "trainer.max_epochs=5")).code == 0, "finished jobs continue"
    assert works.jobs == ["seed=3", "seed=2", "seed=1", "seed=2"]
    assert [config["trainer"]["max_epochs"] for config in works.configs] == [2, 2, 5, 5]


def test_another_command_is_refused_and_overwrite_begins_anew(
    command: Command, tmp_path: Path, started: Started
) -> None:
    assert command("-m", *tiny("mine", "seed=0,1")).code == 0
    before = contents(tmp_path)
    for words, difference in {
        ("seed=0,1", "data.flip=false"): "with data.flip=false",
        ("seed=0,1", "data.flip=true,false"): "it sweeps seed, not data.flip, seed",
    }.items():
        code, line = command("-m", *tiny("mine", *words))
        assert code == 1
        assert line.startswith(f"cyclegan-train: runs/mine holds the sweep of another command ({difference}). Repeat ")
        assert "it was: cyclegan-train -m name=mine data.root=toy " in line
        assert "\n" not in line
    assert contents(tmp_path) == before

    assert command("-m", *tiny("mine", "seed=1,2", "data.flip=false", "overwrite=true")).code == 0
    assert states(tmp_path / "runs" / "mine") == {"seed=1": "done", "seed=2": "done"}
    assert started.jobs == ["seed=0", "seed=1", "seed=1", "seed=2"]
    assert [config["data"]["flip"] for config in started.configs] == [True, True, False, False]


@pytest.mark.parametrize("launcher", ["local", "basic"])
def test_on_a_signal_the_running_job_saves_and_no_further_job_begins(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, launcher: str
) -> None:
    def begin(config_file: Path, *arguments: Any) -> subprocess.Popen[bytes]:
        child = stand_in(SAVES)(config_file, *arguments)
        while not (config_file.parent / "ready").exists():
            assert child.poll() is None
        os.kill(os.getpid(), signal.SIGTERM)
        return child

    monkeypatch.setattr(job_module, "start", begin)
    stopped = command("-m", *tiny("mine", "seed=0,1", f"hydra/launcher={launcher}"))
    assert stopped.code == 75
    sweep = tmp_path / "runs" / "mine"
    assert states(sweep) == {"seed=0": "stopped", "seed=1": "queued"}
    assert (sweep / "seed=0" / "saved").exists()


# ------------------------------------------------------------------------------------------ what is refused

REFUSED = {
    "seed=0,1,two": "seed is 'two'; it takes int",
    "sed=0,1": "there is no key 'sed'. Did you mean seed? See all: cyclegan-train --cfg job",
    "seed=0,1 name=a,b": "name=a,b: the jobs of a sweep share name",
    "seed=0,1 resume=runs/other": "resume=runs/other names one run: a sweep resumes by the command that began it. ",
    "seed=0,1 hydra/launcher=condor": "there is no hydra/launcher=condor. There are: basic, local",
}


@pytest.mark.parametrize(("words", "message"), REFUSED.items(), ids=REFUSED.keys())
def test_a_mistake_is_found_before_anything_is_written(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: str, message: str
) -> None:
    monkeypatch.delattr(job_module, "start")
    refused = command("-m", *tiny("mine"), *words.split())
    assert refused.code == 1
    assert refused.screen.startswith(f"cyclegan-train: {message}")
    assert "\n" not in refused.screen
    assert [path.name for path in tmp_path.rglob("*") if path.name != "runs"] == []


def machine(trainer: Mapping[str, Any], **targets: str) -> DictConfig:
    """What is composed for a sweep, as far as the machine matters."""
    parts = {"sweeper": "BasicSweeper", "launcher": "LocalLauncher", **targets}
    return OmegaConf.create({
        "hydra": {
            **{part: {"_target_": target} for part, target in parts.items()},
            "runtime": {"choices": {f"hydra/{part}": "theirs" for part in parts}},
        },
        "trainer": {"accelerator": "cpu", "devices": 1, "num_nodes": 1, **trainer},
    })  # fmt: skip


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (machine({}, sweeper="x.optuna"), f"hydra/sweeper=theirs needs {missing('optuna')}"),
        (machine({}, launcher="x.submitit"), f"hydra/launcher=theirs needs {missing('submitit')}"),
        (machine({"num_nodes": 2}), "trainer.num_nodes is 2, but a job of a sweep runs on one machine"),
        (machine({"accelerator": "gpu", "devices": 3}), "trainer.devices is 3, but there are 2 GPUs here"),
    ],
)
def test_a_machine_that_lacks_something(monkeypatch: pytest.MonkeyPatch, config: DictConfig, message: str) -> None:
    monkeypatch.setattr(plan, "find_spec", lambda name: None)
    monkeypatch.setattr(plan, "visible_gpus", lambda: ["0", "1"])
    with pytest.raises(RunError) as raised:
        plan.check_machine(config)
    assert str(raised.value) == message


def test_a_machine_that_has_all() -> None:
    plan.check_machine(machine({"accelerator": "auto", "devices": 4}))
    plan.check_machine(machine({"accelerator": "gpu"}, launcher="Slurm"))  # the GPUs are elsewhere


def test_the_folder_of_a_run_is_no_place_for_a_sweep(command: Command, tmp_path: Path) -> None:
    run = tmp_path / "runs" / "run"
    run.mkdir(parents=True)
    (run / "config.yaml").write_text("# cyclegan-train name=run\n")
    refused = command("-m", *tiny("run", "seed=0,1", "overwrite=true"))
    assert refused == (1, "cyclegan-train: runs/run is the folder of a run: give the sweep another name (name=...)")


def test_two_processes_cannot_run_one_sweep(command: Command, tmp_path: Path, started: Started) -> None:
    with in_use(tmp_path / "runs" / "mine") as (first, _):
        refused = command("-m", *tiny("mine", "seed=0,1"))
    assert refused.code == 1
    assert refused.screen.startswith(f"cyclegan-train: runs/mine is in use: process {first} on ")
    assert started.jobs == []


def test_launchers_can_send_the_callback_to_their_jobs(tmp_path: Path) -> None:
    """Submitit pickles Hydra's callbacks, and this one holds the sweep's lock."""
    callback = plan.PlannedSweep()
    with callback._open as held_until_the_end:
        held_until_the_end.enter_context(held(tmp_path))
        assert isinstance(pickle.loads(pickle.dumps(callback)), plan.PlannedSweep)
