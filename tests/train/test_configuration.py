"""The command line is rewritten for Hydra, and mistyped keys get suggestions."""

from typing import Any

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from cyclegan.train.configuration import hydra_arguments, known_keys, nearest_keys


def value_of(word: str) -> Any:
    """Return what Hydra reads from key=value."""
    return OverridesParser.create().parse_override(word).value()


@pytest.mark.parametrize(
    "path",
    [
        "runs/x/checkpoints/epoch=0010.ckpt",  # as earlier versions named them
        "my runs/last (copy).ckpt",
        "[x]/last.ckpt",
        "it's=1.ckpt",
        """both ' and "=.ckpt""",
        "ends in a backslash=\\",
        r"backslash before a quote=\'.ckpt",
        "läufe/🦓.ckpt",
        "a#b~c!d&e;f.ckpt",
        "two\nlines",
    ],
)
@pytest.mark.parametrize("key", ["resume", "data.domains.A.train", "model.generator.style"])
def test_a_value_that_hydra_cannot_parse_is_quoted(key: str, path: str) -> None:
    (word,) = hydra_arguments([f"{key}={path}"])
    assert word.startswith(f"{key}=")
    assert value_of(word) == path
    assert hydra_arguments([word]) == [word], "the processes of further devices get this command line once more"


def test_arguments_that_hydra_can_parse_are_unchanged() -> None:
    words = [
        *("resume=auto", "resume=null", "resume=", "resume=runs/${name}/checkpoints/last.ckpt", "name='1e5'"),
        *("init_from={gen_ab: a.ckpt, disc_b: 'b=1.ckpt'}", "model.optimizer.betas=[0.5,0.9]", "seed=range(0,3)"),
        *("data.root=a,b", "~callbacks.report", "name"),
    ]
    assert hydra_arguments(words) == words


def test_options_may_stand_between_keys() -> None:
    words = ["seed=1,2", "-m", "name=x", "--config-dir", "my conf", "--cfg", "job", "trainer.max_epochs=3"]
    assert hydra_arguments(words) == ["-m", "--config-dir", "my conf", "--cfg", "job", "seed=1,2", "name=x", words[-1]]


@pytest.mark.parametrize("options", [[], ["--cfg", "job"], ["-m"]])
def test_without_any_key_the_toy_set_is_trained_on(options: list[str]) -> None:
    assert hydra_arguments(options) == [*options, "experiment=toy"]


@pytest.mark.parametrize(
    ("key", "nearest"),
    {
        "lr": ["model.optimizer.lr"],
        "model.lr": ["model.optimizer.lr"],
        "batch_size": ["data.batch_size", "callbacks.validation.batch_size"],
        "modle": ["model"],
        "trainer.max_epoch": ["trainer.max_epochs"],
        "nothing.like.it": [],
    }.items(),
)
def test_the_full_key_is_suggested_for_a_mistyped_or_short_one(key: str, nearest: list[str]) -> None:
    assert nearest_keys(key, known_keys([])) == nearest
