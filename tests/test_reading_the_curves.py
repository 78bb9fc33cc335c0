"""docs/reading-the-curves.md says what the code does."""

import inspect
import re
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from cyclegan.alarms import every_rule
from tests.situations import history
from tests.test_alarms import BAD
from tests.tiny_run import composed

PAGE = (Path(__file__).parents[1] / "docs" / "reading-the-curves.md").read_text()
SECTIONS = dict(re.findall(r"^### `(\w+)`\n(.*?)(?=^##|\Z)", PAGE, re.M | re.S))


def test_every_alarm_has_its_section() -> None:
    assert list(SECTIONS) == [rule.name for rule in every_rule()]


@pytest.mark.parametrize("rule", every_rule(), ids=lambda rule: rule.name)
def test_the_numbers_are_those_of_the_code(rule: Any) -> None:
    ((stated, sentence),) = re.findall(r"^\*\*Rule\*\* \((.*?)\): (.*?)\n\n", SECTIONS[rule.name], re.M | re.S)
    defaults = {name: given.default for name, given in inspect.signature(type(rule)).parameters.items()}
    assert stated == ", ".join(f"`{name}={value}`" for name, value in defaults.items())
    assert {float(number) for number in re.findall(r"-?\d+(?:\.\d+)?", sentence)} == set(defaults.values())


def test_keys_that_are_recommended_exist(tmp_path: Path) -> None:
    config = composed(tmp_path / "run", tmp_path / "toy")
    rising = [{"identity_a": value} for value in (0.1, 0.1, 0.1, 0.3, 0.3, 0.3)]
    texts = [
        text
        for rule in every_rule()
        for rows in ([BAD] * 4, rising)
        for text in rule.check(history({}, *rows)).values()
    ]
    assert len(texts) == len(every_rule())
    keys = set(re.findall(r"\b(?:model|callbacks)(?:\.\w+)+", " ".join([PAGE, *texts])))
    assert {"model.discriminator_lr", "model.generator.upsampling", "model.loss_weights.cycle_a"} <= keys
    missing = object()
    assert [key for key in keys if OmegaConf.select(config, key, default=missing) is missing] == []


def test_options_that_are_recommended_exist() -> None:
    conf = Path(__file__).parents[1] / "conf"
    options = set(re.findall(r"`(discriminator|generator|augmentation|adversarial)=(\w+)`", PAGE))
    assert len(options) == 4
    assert [option for option in options if not (conf / option[0] / f"{option[1]}.yaml").exists()] == []
