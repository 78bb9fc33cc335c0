"""wandb's environment variables, configuration keys, and the id of a resumed run."""

import functools
from pathlib import Path
from typing import Any

import pytest
import wandb
import yaml
from omegaconf import DictConfig, OmegaConf

from cyclegan.errors import UserError
from cyclegan.loggers.wandb import Wandb
from cyclegan.train.command import train
from cyclegan.train.resume import name_wandb_run
from cyclegan.train.run_folder import MARK
from tests.tiny_run import UNMEASURED, composed, read_checkpoint

TEAM = {
    "WANDB_PROJECT": "ours",
    "WANDB_ENTITY": "team",
    "WANDB_NAME": "first",
    "WANDB_TAGS": "a,b",
    "WANDB_NOTES": "a try",
    "WANDB_JOB_TYPE": "sample",
}
AGENT = {"WANDB_SWEEP_ID": "s1", "WANDB_RUN_ID": "agent123"}


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """Id and description of every wandb run that is started."""
    runs: list[tuple[Any, ...]] = []
    init = wandb.init

    @functools.wraps(init)
    def recording(**arguments: Any) -> Any:
        run: Any = init(**arguments)
        runs.append((run.id, run.project, run.entity, run.name, list(run.tags), run.notes, run.job_type))
        return run

    monkeypatch.setattr(wandb, "init", recording)
    return runs


@pytest.fixture(autouse=True)
def fresh(quiet: None) -> None:
    wandb.teardown()  # wandb reads the variables once per process


def test_variables_describe_a_new_run_and_its_id_is_kept_on_resume(
    tmp_path: Path, started: list[tuple[Any, ...]]
) -> None:
    run = tmp_path / "run"
    options = (run, tmp_path / "toy", "name=mine", "logger=default", "resume=auto", *UNMEASURED)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (TEAM | AGENT).items():
            patch.setenv(name, value)
        train(composed(*options, "trainer.max_epochs=1"))
    train(composed(*options, "trainer.max_epochs=2"))
    first, resumed = started
    assert first == ("agent123", "ours", "team", "first", ["a", "b"], "a try", "sample")
    assert resumed[:3] == ("agent123", "ours", "team")
    for config in (yaml.safe_load((run / "config.yaml").read_text()), read_checkpoint(run)["config"]):
        assert config["logger"]["wandb"]["id"] == "agent123"


def test_an_unknown_argument_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"logger\.wandb\.entitty is set, but wandb\.init has no such argument"):
        Wandb(str(tmp_path), project="p", name="n", entitty="team")


def wandb_config(run_dir: Path, **keys: Any) -> DictConfig:
    entry = {"project": None, "entity": None, "id": None} | keys
    return OmegaConf.create({"run_dir": str(run_dir), "resume": "auto", "logger": {"wandb": entry}})


OWN = {"project": "own", "entity": "me", "id": "own12345"}
OTHER = {"WANDB_PROJECT": "ours", "WANDB_ENTITY": "team"}


@pytest.mark.parametrize(
    ("variables", "keys", "found"),
    [
        (OTHER, {}, OWN),  # a resumed run stays in its project
        (OTHER | AGENT, {}, {"project": "ours", "entity": "team", "id": "agent123"}),  # required by the sweep agent
        ({"WANDB_RUN_ID": "agent123"}, {}, OWN | {"id": "agent123"}),
        (OTHER, {"project": "new"}, OWN | {"project": "new"}),
    ],
)
def test_a_resumed_run_keeps_its_project_unless_overridden(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    variables: dict[str, str],
    keys: dict[str, str],
    found: dict[str, str],
) -> None:
    (tmp_path / "config.yaml").write_bytes(MARK + b"\n" + OmegaConf.to_yaml(wandb_config(tmp_path, **OWN)).encode())
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    resumed = wandb_config(tmp_path, **keys)
    name_wandb_run(resumed, None)
    assert resumed.logger.wandb == found


def test_a_new_run_takes_the_project_variable_or_cyclegan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    for project in ("", "ours"):  # a container may set it to an empty string
        monkeypatch.setenv("WANDB_PROJECT", project)
        new = wandb_config(tmp_path)
        name_wandb_run(new, None)
        found.append(new.logger.wandb)
    assert [(entry.project, entry.entity, len(entry.id)) for entry in found] == [
        ("cyclegan", None, 8), ("ours", None, 8),
    ]  # fmt: skip
