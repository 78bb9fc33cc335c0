"""The command line as people type it, and as Hydra takes it."""

from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from hypothesis import assume, given
from hypothesis import strategies as st

from cyclegan.train.configuration import conf_dir, hydra_words, known_keys, nearest_keys


def read(word: str) -> Any:
    """What Hydra makes of the value."""
    override = OverridesParser.create().parse_override(word)
    return list(override.sweep_string_iterator()) if override.is_sweep_override() else override.value()


NASTY = [
    "runs/x/checkpoints/epoch0010.ckpt",
    "a=b=c.ckpt",
    "my run/last.ckpt",
    "my runs/epoch=0010 (copy).ckpt",
    "trailing ",
    " leading",
    "a,b.ckpt",
    "lr=0.1,seed=2/last.ckpt",
    "runs/x(1)/last.ckpt",
    "int(5)",
    "[x]",
    "runs/[x]/last.ckpt",
    "it's/last.ckpt",
    "it's=1.ckpt",
    'a "hydra_words" name=1.ckpt',
    """both ' and "=.ckpt""",
    "'begins hydra_words'/epoch1.ckpt",
    r"C:\runs\x\epoch0010.ckpt",
    "ends in a backslash=\\",
    r"backslash before a quote=\'.ckpt",
    "läufe/épocha=1.ckpt",
    "ランス/last.ckpt",
    "🦓",
    "a#b~c!d&e;f.ckpt",
    "two\nlines",
    "2024",
    "true",
]


@pytest.mark.parametrize("path", NASTY)
@pytest.mark.parametrize("key", ["resume", "init_from", "data.root", "data.domains.A.train"])
def test_hydra_reads_nasty_paths_as_they_are(
    key: str, path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if "," in path:  # a sweep, unless there is such a file
        monkeypatch.chdir(tmp_path)
        Path(path).parent.mkdir(exist_ok=True)
        Path(path).touch()
    (word,) = hydra_words([f"{key}={path}"])
    assert word.startswith(f"{key}=")
    assert read(word) == path
    assert hydra_words([word]) == [word], "what a process of a further device gets once more stays as it is"


def test_the_configuration_gets_the_path() -> None:
    words = [f"resume={NASTY[3]}", f"init_from={{gen_ab: {NASTY[0]}, gen_ba: {NASTY[8]}}}"]
    with initialize_config_dir(conf_dir(), version_base="1.3"):
        config = compose("train", hydra_words(words))
    assert config.resume == NASTY[3]
    assert config.init_from == {"gen_ab": NASTY[0], "gen_ba": NASTY[8]}


def test_hydra_itself_does_not_take_a_checkpoints_name() -> None:
    with pytest.raises(HydraException, match="mismatched input '='"):
        read("resume=epoch0010.ckpt")


@given(path=st.text(alphabet=st.one_of(st.sampled_from("ab0/\\=,:;'\"()[]{} \t\n$*~#é-."), st.characters())))
def test_hydra_reads_any_path_as_it_is(path: str) -> None:
    assume(path.lower() != "null" and "," not in path)
    assume(not (path.startswith("{") and path.endswith("}")))  # a mapping
    with suppress(HydraException):
        assume(read(f"resume={path}") == path or not set("'\"\\") & set(path))  # else written for Hydra
    (word,) = hydra_words([f"resume={path}"])
    assert read(word) == path
    assert hydra_words([word]) == [word]


@pytest.mark.parametrize(
    "word",
    [
        "resume=auto",
        "resume=null",
        "resume=",
        "resume=runs/x/checkpoints/last.ckpt",
        "resume=runs/${name}/checkpoints/last.ckpt",
        "resume='epoch0010.ckpt'",
        'init_from="epoch0010.ckpt"',
        r"resume=epoch\=0010.ckpt",
        r"resume=my\ run/a\,b.ckpt",
        "init_from={gen_ab: a.ckpt, disc_b: 'epoch0010.ckpt'}",
        "init_from={not: [a, mapping=1}]}",
        "model.optimizer.betas=[0.5,0.9]",
        "callbacks.checkpointing.best=null",
        "~callbacks.report",
        "seed=range(0,3)",
        "--multirun",
        "-m",
    ],
)
def test_every_other_word_stays_as_it_is(word: str) -> None:
    assert hydra_words([word, "seed=0,1"]) == [word, "seed=0,1"]


@pytest.mark.parametrize("text", ["1e5", "1_000", "20261126", "007", "true", "None", "it's", "läufe (2)", "7e12345"])
def test_a_name_is_the_text_that_was_typed(text: str) -> None:
    assert read(*hydra_words([f"name={text}"])) == text
    assert read(*hydra_words([f"logger.wandb.project={text}"])) == text


def test_a_value_that_hydra_cannot_read_is_text() -> None:
    assert read(*hydra_words(["model.generator.path=a b (2)=c"])) == "a b (2)=c"


def test_a_comma_is_part_of_a_path_where_there_is_such_a_file_and_else_a_sweep(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert hydra_words(["data.root=a,b"]) == ["data.root=a,b"]
    Path("a,b").mkdir()
    assert hydra_words(["data.root=a,b"]) == ["data.root='a,b'"]
    assert hydra_words(["-m", "data.root=a,b"]) == ["-m", "data.root=a,b"]


def test_options_may_stand_between_keys() -> None:
    words = ["seed=1,2", "-m", "name=x", "--config-dir", "my conf", "--cfg", "job", "trainer.max_epochs=3"]
    assert hydra_words(words) == ["-m", "--config-dir", "my conf", "--cfg", "job", "seed=1,2", "name=x", words[-1]]


@pytest.mark.parametrize("options", [[], ["--cfg", "job"], ["-m"]])
def test_without_any_key_the_toy_set_is_trained_on(options: list[str]) -> None:
    assert hydra_words(options) == [*options, "experiment=toy"]


def test_without_an_experiment_the_recipe_is_the_papers() -> None:
    with initialize_config_dir(conf_dir(), version_base="1.3"):
        config = compose("train", ["data=horse2zebra"])
    assert config.data.root == "data/horse2zebra"
    assert (config.model.generator.width, config.model.generator.blocks, config.trainer.max_epochs) == (64, 9, 200)
    assert (config.trainer.accelerator, config.model.optimizer.lr) == ("auto", 2e-4)


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
def test_a_mistyped_key_is_answered_with_the_full_key_that_ends_like_it(key: str, nearest: list[str]) -> None:
    assert nearest_keys(key, known_keys([])) == nearest


def test_the_paths_of_a_mapping_are_hydra_words_one_by_one() -> None:
    (word,) = hydra_words(["init_from={gen_ab: runs/x/epoch0010.ckpt, disc_b: it's (1).ckpt,gen_ba:last.ckpt}"])
    assert read(word) == {"gen_ab": "runs/x/epoch0010.ckpt", "disc_b": "it's (1).ckpt", "gen_ba": "last.ckpt"}


@pytest.mark.parametrize("flag", ["-m", "--multirun", "hydra.mode=MULTIRUN"])
def test_in_a_sweep_commas_stand_between_paths(flag: str) -> None:
    def rewritten(word: str) -> str:
        (found,) = set(hydra_words([word, flag])) - {flag}
        return found

    word = rewritten("init_from=a/epoch0001.ckpt,b/last.ckpt")
    assert OverridesParser.create().parse_override(word).is_sweep_override()
    assert word == "init_from='a/epoch0001.ckpt',b/last.ckpt"
    for value in ("a.ckpt,b.ckpt", "choice(a.ckpt, b.ckpt)", "{gen_ab: a},{gen_ba: b}"):
        assert rewritten(f"init_from={value}") == f"init_from={value}"
    assert rewritten("resume=epoch0001.ckpt") == "resume='epoch0001.ckpt'"
    assert rewritten("name=1e5,20261126") == "name='1e5','20261126'"
