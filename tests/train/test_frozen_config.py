"""`--config FILE`: a frozen configuration, and the keys that follow it."""

import re
from pathlib import Path

import pytest
import yaml
from omegaconf import DictConfig, OmegaConf

from cyclegan.errors import UserError
from cyclegan.train.configuration import frozen_config
from cyclegan.train.run_folder import save_config
from tests.command_line import Command
from tests.tiny_run import composed


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The config.yaml of a run."""
    run = tmp_path_factory.mktemp("runs") / "mine"
    words = ("name=mine", "logger=default", "resume=auto", "seed=3", "schedule=linear", "logger.wandb.id=abc123")
    tensorboard = "+logger.tensorboard={_target_: theirs, save_dir: '${run_dir}'}"
    save_config(composed(run, Path("toy"), *words, tensorboard), run)
    return run / "config.yaml"


def read(file: Path, *words: str) -> DictConfig:
    config = frozen_config(["--config", str(file), *words])
    assert config is not None
    return config


def test_without_keys_it_is_the_file_itself(file: Path) -> None:
    assert frozen_config(["name=mine", "--config-dir", "recipes"]) is None
    written = yaml.safe_load(file.read_text())
    assert (written.pop("resume"), written.pop("overwrite")) == ("auto", False)
    config = OmegaConf.to_container(read(file), resolve=True)
    assert isinstance(config, dict)
    assert (config.pop("resume"), config.pop("overwrite")) == (None, False), "they were those of a command"
    assert config == written


def test_keys_follow_the_key_whose_value_they_have(file: Path) -> None:
    config = read(file, "seed=7", "trainer.max_epochs=9", "callbacks.checkpointing.best=cycle")
    assert (config.seed, config.model.seed, config.data.seed) == (7, 7, 7)
    assert (config.trainer.max_epochs, config.model.schedule.total_epochs) == (9, 9)
    assert config.callbacks.early_stopping.metric == "cycle"
    own = read(file, "seed=7", "data.seed=3")
    assert (own.model.seed, own.data.seed) == (7, 3)


@pytest.mark.parametrize(
    ("words", "name", "folder"),
    [(["name=other"], "other", "runs/other"), (["run_dir=there"], "mine", "there")],
    ids=["name", "run_dir"],
)
def test_a_run_elsewhere_leaves_nothing_in_the_old_folder_nor_in_its_wandb_run(
    file: Path, words: list[str], name: str, folder: str
) -> None:
    config = read(file, *words)
    text = OmegaConf.to_yaml(config, resolve=True)
    assert str(file.parent) not in text
    assert (config.name, config.run_dir, config.callbacks.validation.run_dir) == (name, folder, folder)
    assert (config.logger.csv.run_dir, config.logger.tensorboard.save_dir) == (folder, folder)
    assert (config.logger.wandb.run_dir, config.logger.wandb.name, config.logger.wandb.id) == (folder, name, None)


def test_the_wandb_run_is_continued_unless_the_run_begins_anew(file: Path) -> None:
    assert read(file, "resume=auto").logger.wandb.id == "abc123"
    assert read(file, "overwrite=true").logger.wandb.id is None


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("sed=1", "there is no key 'sed' in FILE. Did you mean seed?"),
        ("trainer.max_epoch=1", "there is no key 'trainer.max_epoch' in FILE. Did you mean trainer.max_epochs?"),
        ("trainer.max_epochs.x=1", "there is no key 'trainer.max_epochs.x' in FILE. Did you mean trainer.max_epochs?"),
        ("seed", "'seed': only key=value can follow --config FILE, for keys of the file"),
        ("+x=1", "'+x=1': only key=value can follow --config FILE, for keys of the file"),
        ("~callbacks.ema", "'~callbacks.ema': only key=value can follow --config FILE, for keys of the file"),
        ("-m", "'-m': only key=value can follow --config FILE, for keys of the file"),
    ],
)
def test_a_key_that_the_file_lacks_is_refused(file: Path, word: str, message: str) -> None:
    with pytest.raises(UserError) as raised:
        read(file, word)
    assert str(raised.value) == message.replace("in FILE", f"in {file}")


def test_a_file_that_no_run_wrote_is_refused_in_one_line(command: Command, tmp_path: Path) -> None:
    (tmp_path / "list.yaml").write_text("- name\n")
    for name, message in {
        "nothing.yaml": "--config nothing.yaml: there is no such file; it takes the config.yaml of a run's folder",
        "list.yaml": "--config list.yaml: not the config.yaml of a run's folder",
    }.items():
        assert command("--config", name) == (1, f"cyclegan-train: {message}")


def test_a_value_of_the_wrong_type_is_refused_in_one_line(command: Command, file: Path) -> None:
    refused = command("--config", str(file), "name=other", "seed=two")
    assert refused.code == 1
    assert re.search(r"^cyclegan-train: seed is 'two'; it takes int$", refused.screen, re.M)
