"""Paths of checkpoints on the command line, as Hydra takes them."""

from contextlib import suppress
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from hypothesis import assume, given
from hypothesis import strategies as st

from cyclegan.configuration import conf_dir, quoted


def read(word: str) -> Any:
    """What Hydra makes of the value."""
    override = OverridesParser.create().parse_override(word)
    return list(override.sweep_string_iterator()) if override.is_sweep_override() else override.value()


NASTY = [
    "runs/x/checkpoints/epoch=0010.ckpt",
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
    'a "quoted" name=1.ckpt',
    """both ' and "=.ckpt""",
    "'begins quoted'/epoch=1.ckpt",
    r"C:\runs\x\epoch=0010.ckpt",
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
@pytest.mark.parametrize("key", ["resume", "init_from"])
def test_hydra_reads_nasty_paths_as_they_are(key: str, path: str) -> None:
    (word,) = quoted([f"{key}={path}"])
    assert word.startswith(f"{key}=")
    assert read(word) == path
    assert quoted([word]) == [word], "what a process of a further device gets once more stays as it is"


def test_the_configuration_gets_the_path() -> None:
    words = [f"resume={NASTY[3]}", f"init_from={{gen_ab: {NASTY[0]}, gen_ba: {NASTY[8]}}}"]
    with initialize_config_dir(conf_dir(), version_base="1.3"):
        config = compose("train", quoted(words))
    assert config.resume == NASTY[3]
    assert config.init_from == {"gen_ab": NASTY[0], "gen_ba": NASTY[8]}


def test_hydra_itself_does_not_take_a_checkpoints_name() -> None:
    with pytest.raises(HydraException, match="mismatched input '='"):
        read("resume=epoch=0010.ckpt")


@given(path=st.text(alphabet=st.one_of(st.sampled_from("ab0/\\=,:;'\"()[]{} \t\n$*~#é-."), st.characters())))
def test_hydra_reads_any_path_as_it_is(path: str) -> None:
    assume(path.lower() != "null")
    assume(not (path.startswith("{") and path.endswith("}")))  # a mapping
    with suppress(HydraException):
        assume(read(f"resume={path}") == path or not set("'\"\\") & set(path))  # else written for Hydra
    (word,) = quoted([f"resume={path}"])
    assert read(word) == path
    assert quoted([word]) == [word]


@pytest.mark.parametrize(
    "word",
    [
        "resume=auto",
        "resume=null",
        "resume=",
        "resume=runs/x/checkpoints/last.ckpt",
        "resume=runs/${name}/checkpoints/last.ckpt",
        "resume='epoch=0010.ckpt'",
        'init_from="epoch=0010.ckpt"',
        r"resume=epoch\=0010.ckpt",
        r"resume=my\ run/a\,b.ckpt",
        "init_from={gen_ab: a.ckpt, disc_b: 'epoch=0010.ckpt'}",
        "init_from={not: [a, mapping=1}]}",
        "name=a=b",
        "data.root=my pictures (1)",
        "model.optimizer.betas=[0.5,0.9]",
        "presume=a=b",
        "--multirun",
        "-m",
        "--cfg",
    ],
)
def test_every_other_word_stays_as_it_is(word: str) -> None:
    assert quoted([word, "seed=0,1"]) == [word, "seed=0,1"]


def test_the_paths_of_a_mapping_are_quoted_one_by_one() -> None:
    (word,) = quoted(["init_from={gen_ab: runs/x/epoch=0010.ckpt, disc_b: it's (1).ckpt,gen_ba:last.ckpt}"])
    assert read(word) == {"gen_ab": "runs/x/epoch=0010.ckpt", "disc_b": "it's (1).ckpt", "gen_ba": "last.ckpt"}


@pytest.mark.parametrize("flag", ["-m", "--multirun", "hydra.mode=MULTIRUN"])
def test_in_a_sweep_commas_stand_between_paths(flag: str) -> None:
    (word, _) = quoted(["init_from=a/epoch=0001.ckpt,b/last.ckpt", flag])
    swept = OverridesParser.create().parse_override(word)
    assert swept.is_sweep_override()
    assert word == "init_from='a/epoch=0001.ckpt',b/last.ckpt"
    for value in ("a.ckpt,b.ckpt", "choice(a.ckpt, b.ckpt)", "{gen_ab: a},{gen_ba: b}"):
        assert quoted([f"init_from={value}", flag]) == [f"init_from={value}", flag]
    assert quoted(["resume=epoch=0001.ckpt", flag])[0] == "resume='epoch=0001.ckpt'"
