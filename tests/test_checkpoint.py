"""Checkpoints: whole or absent, enough by themselves, and unable to run code."""

import os
import pickle
from pathlib import Path
from typing import Any

import hydra
import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

import cyclegan
from cyclegan.checkpoint import CheckpointError, require_trusted
from cyclegan.configuration import conf_dir
from cyclegan.methods.cyclegan import CycleGAN
from cyclegan.saving import AtomicCheckpointIO


def small_config() -> dict[str, Any]:
    with initialize_config_dir(conf_dir(), version_base="1.3"):
        config = compose(
            "train", ["model.generator.width=4", "model.generator.blocks=1", "model.discriminator.width=4"]
        )
    plain = OmegaConf.to_container(config, resolve=True)
    assert isinstance(plain, dict)
    return {str(key): value for key, value in plain.items()}


def save(path: Path, config: dict[str, Any], **entries: Any) -> CycleGAN:
    torch.manual_seed(1)
    model = hydra.utils.instantiate(config["model"])
    assert isinstance(model, CycleGAN)
    AtomicCheckpointIO().save_checkpoint({"config": config, "state_dict": model.state_dict(), **entries}, path)
    return model


def test_load_rebuilds_the_translator_from_the_file_alone(tmp_path: Path) -> None:
    model = save(tmp_path / "last.ckpt", small_config())
    translator = cyclegan.load(tmp_path / "last.ckpt")
    images = torch.rand(2, 3, 16, 16) * 2 - 1
    torch.testing.assert_close(translator.translate(images, "B", "A"), model.gen_ba(images))
    assert not translator.training
    assert translator.directions == (("A", "B"), ("B", "A"))


def test_load_prefers_averaged_weights(tmp_path: Path) -> None:
    config = small_config()
    weights = save(tmp_path / "x.ckpt", config).gen_ab.state_dict()
    averaged = {name: torch.full_like(p, 0.5) for name, p in weights.items()}
    save(tmp_path / "x.ckpt", config, ema={"gen_ab": averaged})
    translator = cyclegan.load(tmp_path / "x.ckpt")
    assert {float(p.detach().unique()) for p in translator.generators()["gen_ab"].parameters()} == {0.5}


class RunsCode:
    """What a hostile checkpoint holds: unpickling it would make a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


def test_a_pickled_call_is_refused_and_not_run(tmp_path: Path) -> None:
    torch.save({"state_dict": RunsCode(tmp_path / "proof")}, tmp_path / "evil.ckpt")
    with pytest.raises(CheckpointError, match="could run code"):
        cyclegan.load(tmp_path / "evil.ckpt")
    assert not (tmp_path / "proof").exists()
    # The same bytes, read without care, do run it: the test would notice a file that is harmless anyway.
    with pytest.raises((pickle.UnpicklingError, TypeError, RuntimeError, AttributeError)):
        torch.load(tmp_path / "evil.ckpt", weights_only=False)["state_dict"].path  # noqa: B018
    assert (tmp_path / "proof").exists()


@pytest.mark.parametrize(
    "target",
    [
        "os.system",
        "subprocess.run",
        "builtins.eval",
        "cyclegan.checkpoint.os.system",  # a module's imports are no part of the package
        "cyclegan.methods.cyclegan.torch.load",
        "cyclegan.train.main",
        "cyclegan.data.toy.draw",  # writes files
        "torch.load",
        "hydra.utils.get_method",
    ],
)
def test_a_configuration_that_names_foreign_code_is_refused(tmp_path: Path, target: str) -> None:
    config = small_config()
    config["model"]["generator"] = {"_target_": target, "command": "true"}
    AtomicCheckpointIO().save_checkpoint({"config": config, "state_dict": {}}, tmp_path / "evil.ckpt")
    with pytest.raises(CheckpointError, match=r"not part of cyclegan.*--trust"):
        cyclegan.load(tmp_path / "evil.ckpt")


def test_interpolations_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="plain"):
        require_trusted({"seed": "${oc.env:HOME}"}, tmp_path)


def test_every_model_of_this_project_is_trusted(tmp_path: Path) -> None:
    for adversarial in ("least_squares", "wasserstein"):
        for optimizer in ("adam", "adamw"):
            with initialize_config_dir(conf_dir(), version_base="1.3"):
                config = compose("train", [f"adversarial={adversarial}", f"optimizer={optimizer}"])
            require_trusted(OmegaConf.to_container(config.model, resolve=True), tmp_path)


def test_trust_names_a_package(tmp_path: Path) -> None:
    config = {"_target_": "collections.OrderedDict"}
    with pytest.raises(CheckpointError, match="trust collections"):
        require_trusted(config, tmp_path)
    require_trusted(config, tmp_path, trust=("collections",))


def test_damage_is_named(tmp_path: Path) -> None:
    save(tmp_path / "a.ckpt", small_config())
    whole = (tmp_path / "a.ckpt").read_bytes()
    (tmp_path / "cut.ckpt").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "empty.ckpt").write_bytes(b"")
    (tmp_path / "text.ckpt").write_text("hello")
    for name in ("cut", "empty", "text"):
        with pytest.raises(CheckpointError, match=rf"{name}\.ckpt"):
            cyclegan.load(tmp_path / f"{name}.ckpt")
    with pytest.raises(CheckpointError, match=r"no checkpoint at .*missing\.ckpt; there are .*a\.ckpt"):
        cyclegan.load(tmp_path / "missing.ckpt")
    torch.save({"weights": torch.zeros(1)}, tmp_path / "other.ckpt")
    with pytest.raises(CheckpointError, match=r"carries no configuration .found: weights.*init_from=.gen_ab: .*other"):
        cyclegan.load(tmp_path / "other.ckpt")
