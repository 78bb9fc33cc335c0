"""Values of a configuration are checked against the annotations of their arguments."""

import sys
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig

from cyclegan.errors import UserError
from cyclegan.train.configuration import conf_dir
from cyclegan.train.signatures import check_values


def composed(*overrides: str) -> DictConfig:
    with initialize_config_dir(conf_dir(), version_base="1.3"):
        return compose("train", ["experiment=toy", "logger=default", *overrides])


MISTAKES = {
    "data.batch_size=two": "data.batch_size is 'two'; it takes int",
    "data.batch_size=true": "data.batch_size is True; it takes int",
    "data.crop_size=32.0": "data.crop_size is 32.0; it takes int or null",
    "data.max_images=None": "data.max_images is 'None'; it takes int or null",
    "data.flip=maybe": "data.flip is 'maybe'; it takes bool",
    "overwrite=null": "overwrite is None; it takes bool",
    "name=null": "name is None; it takes str",
    "name=' '": "name is empty; it names the folder of the run",
    "name=20261126": """name is 20261126; it takes str. Quote it: name="'20261126'\"""",
    "init_from=[a]": "init_from is ['a']; it takes str or collections.abc.Mapping[str, str] or null",
    # The key that was given is named, not the ones that follow it.
    "trainer.max_epochs=2.5": "trainer.max_epochs is 2.5; it takes int or null",
    "data.domains.A.channels=three": "data.domains.A.channels is 'three'; it takes int",
    "model.optimizer.lr=big": "model.optimizer.lr is 'big'; it takes float",
    "model.optimizer.betas=[0.5,x]": "model.optimizer.betas is [0.5, 'x']; it takes tuple[",
    "model.optimizer.betas=[0.5]": "model.optimizer.betas is [0.5]; it takes tuple[",
    "model.generator.norm=layer": "model.generator.norm is 'layer'; it takes Literal['instance', 'batch', 'none']",
    "model.channels.A=x": "model.channels is {'A': 'x', 'B': '${data.domains.B.channels}'}; it takes ",
    "model.schedule=3": "model.schedule is 3; it takes ",
    "callbacks.validation.features=inception": "callbacks.validation.features is 'inception'; it takes ",
    "model.optimizer._target_=torch.optim.Adm": (
        "model.optimizer._target_ is torch.optim.Adm: module 'torch.optim' has no attribute 'Adm'"
    ),
    "model.optimizer._target_=nomodule.Adam": "model.optimizer._target_ is nomodule.Adam: there is no module nomodule",
    "+model.generator.widht=3": (
        "cyclegan.networks.resnet.ResnetGenerator takes no argument widht (model.generator.widht). "
        "Did you mean model.generator.width? It takes in_channels, out_channels, width, "
    ),
}


@pytest.mark.parametrize(("word", "message"), MISTAKES.items(), ids=MISTAKES.keys())
def test_a_value_of_the_wrong_type_is_refused_with_its_key(word: str, message: str) -> None:
    with pytest.raises(UserError) as caught:
        check_values(composed(word))
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    "word",
    [
        "model.optimizer.lr=1",  # a whole number is a number
        "trainer.devices=auto",
        "trainer.devices=[0]",
        "trainer.max_time={hours: 1}",
        "trainer.precision=bf16-mixed",
        "data.domains.A.range=[0,1]",
        "init_from={gen_ab: a.ckpt}",
        "data.source=null",
    ],
)
def test_valid_values_are_accepted_unchanged(word: str) -> None:
    config = composed(word)
    before = config.copy()
    check_values(config)
    assert config == before


@pytest.mark.parametrize(("word", "meaning"), {"no": False, "off": False, "yes": True, "on": True}.items())
def test_yes_no_on_and_off_become_booleans(word: str, meaning: bool) -> None:
    config = composed(f"overwrite={word}", f"data.flip={word}")
    check_values(config)
    assert (config.overwrite, config.data.flip) == (meaning, meaning)


def test_a_users_class_is_checked_by_its_own_annotations_and_its_bugs_keep_their_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "their_generator.py").write_text("def make(in_channels, out_channels, depth: int, style=None): ...\n")
    (tmp_path / "their_bug.py").write_text("import a_module_that_is_not_installed\n")
    part = "+model.generator={{_target_: {}, _partial_: true, depth: {}, style: 7}}"
    check_values(composed("~model.generator", part.format("their_generator.make", 3)))
    with pytest.raises(UserError, match=r"generator\.depth is 'deep'; it takes int"):
        check_values(composed("~model.generator", part.format("their_generator.make", "deep")))
    with pytest.raises(ModuleNotFoundError, match="a_module_that_is_not_installed"):
        check_values(composed("~model.generator", part.format("their_bug.make", 3)))
    for name in ("their_generator", "their_bug"):
        sys.modules.pop(name, None)
