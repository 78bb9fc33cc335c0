"""Agreement of docs/reading-the-curves.md with the code."""

import math
import re
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from cyclegan.alarms import default_rules
from cyclegan.methods.cyclegan import CycleGAN
from tests.tiny_run import composed

PAGE = (Path(__file__).parents[1] / "docs" / "reading-the-curves.md").read_text()
SECTIONS = dict(re.findall(r"^### `(\w+)`\n(.*?)(?=^##|\Z)", PAGE, re.M | re.S))


def test_every_alarm_has_a_section() -> None:
    assert list(SECTIONS) == [rule.name for rule in default_rules()]


@pytest.mark.parametrize("rule", default_rules(), ids=lambda rule: rule.name)
def test_documented_numbers_match_the_rules(rule: Any) -> None:
    ((stated, sentence),) = re.findall(r"^\*\*Rule\*\* \((.*?)\): (.*?)\n\n", SECTIONS[rule.name], re.M | re.S)
    numbers = {name: value for name, value in vars(rule).items() if isinstance(value, int | float)}
    numbers = {name: value for name, value in numbers.items() if math.isfinite(value)}
    assert stated == ", ".join(f"`{name}={value}`" for name, value in numbers.items())
    assert {float(number) for number in re.findall(r"-?\d+(?:\.\d+)?", sentence)} == set(numbers.values())


def test_recommended_keys_exist(tmp_path: Path) -> None:
    config = composed(tmp_path / "run", tmp_path / "toy")
    assert list(CycleGAN.advice) == [rule.name for rule in default_rules()]
    texts = CycleGAN.advice.values()
    keys = set(re.findall(r"\b(?:model|callbacks)(?:\.\w+)+", " ".join([PAGE, *texts])))
    assert {"model.discriminator_lr", "model.generator.upsampling", "model.loss_weights.cycle_a"} <= keys
    missing = object()
    assert [key for key in keys if OmegaConf.select(config, key, default=missing) is missing] == []


def test_recommended_options_exist() -> None:
    conf = Path(__file__).parents[1] / "conf"
    options = set(re.findall(r"`(discriminator|generator|augmentation|adversarial)=(\w+)`", PAGE))
    assert len(options) >= 4
    assert [option for option in options if not (conf / option[0] / f"{option[1]}.yaml").exists()] == []
