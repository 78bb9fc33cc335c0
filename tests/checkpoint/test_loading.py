"""Checkpoints load by themselves, without running code, and name what is damaged or does not fit."""

import os
import sys
import zipfile
from pathlib import Path
from typing import Any

import hydra
import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.errors import InstantiationException
from omegaconf import OmegaConf

import cyclegan
from cyclegan.checkpoint.reading import checkpoint_file, read
from cyclegan.checkpoint.targets import require_trusted
from cyclegan.checkpoint.writing import AtomicCheckpointIO
from cyclegan.errors import CheckpointError
from cyclegan.methods.cyclegan import CycleGAN
from cyclegan.train.configuration import conf_dir


def small_config() -> dict[str, Any]:
    with initialize_config_dir(conf_dir(), version_base="1.3"):
        config = compose(
            "train",
            ["name=small", "model.generator.width=4", "model.generator.blocks=1", "model.discriminator.width=4"],
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
    translator = cyclegan.load(tmp_path)  # the folder, or the file
    images = torch.rand(2, 3, 16, 16) * 2 - 1
    torch.testing.assert_close(translator.translate(images, "B", "A"), model.gen_ba(images))
    assert not translator.training
    assert translator.directions == (("A", "B"), ("B", "A"))


def test_load_takes_averaged_weights(tmp_path: Path) -> None:
    config = small_config()
    weights = save(tmp_path / "x.ckpt", config).gen_ab.state_dict()
    averaged = {name: torch.full_like(p, 0.5) for name, p in weights.items()}
    save(tmp_path / "x.ckpt", config, ema={"gen_ab": averaged})
    translator = cyclegan.load(tmp_path / "x.ckpt")
    assert {float(p.detach().unique()) for p in translator.generators()["gen_ab"].parameters()} == {0.5}


class RunsCode:
    """A hostile object: unpickling it makes a folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


def test_a_pickled_call_is_refused_and_not_run(tmp_path: Path) -> None:
    torch.save({"state_dict": RunsCode(tmp_path / "proof")}, tmp_path / "evil.ckpt")
    with pytest.raises(CheckpointError, match="could run code"):
        cyclegan.load(tmp_path / "evil.ckpt")
    assert not (tmp_path / "proof").exists()
    torch.load(tmp_path / "evil.ckpt", weights_only=False)
    assert (tmp_path / "proof").exists(), "the file would run code"


@pytest.mark.parametrize(
    "target",
    [
        "os.system",
        "builtins.eval",
        "cyclegan.checkpoint.loading.os.system",  # a module's imports are no part of the package
        "cyclegan.datasets.toy.draw",  # writes files
        "torch.load",
    ],
)
def test_a_configuration_that_names_foreign_code_is_refused(tmp_path: Path, target: str) -> None:
    config = small_config()
    config["model"]["generator"] = {"_target_": target, "command": "true"}
    AtomicCheckpointIO().save_checkpoint({"config": config, "state_dict": {}}, tmp_path / "evil.ckpt")
    with pytest.raises(CheckpointError, match=r"not part of cyclegan.*--trust"):
        cyclegan.load(tmp_path / "evil.ckpt")


def test_only_plain_configurations_of_trusted_packages_are_accepted(tmp_path: Path) -> None:
    with initialize_config_dir(conf_dir(), version_base="1.3"):
        config = compose("train", ["name=small", "adversarial=wasserstein", "optimizer=adamw"])
    require_trusted(OmegaConf.to_container(config.model, resolve=True), tmp_path)
    with pytest.raises(CheckpointError, match="plain"):
        require_trusted({"seed": "${oc.env:HOME}"}, tmp_path)
    foreign = {"_target_": "collections.OrderedDict"}
    with pytest.raises(CheckpointError, match="trust collections"):
        require_trusted(foreign, tmp_path)
    require_trusted(foreign, tmp_path, trust=("collections",))


def test_a_file_from_before_torch_1_6_is_read(tmp_path: Path) -> None:
    torch.save({"w": torch.ones(2)}, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    assert torch.equal(read(tmp_path / "old.pth")["w"], torch.ones(2))
    whole = (tmp_path / "old.pth").read_bytes()
    (tmp_path / "cut.pth").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(CheckpointError, match=r"cut\.pth"):
        read(tmp_path / "cut.pth")
    torch.save({"w": RunsCode(tmp_path / "proof")}, tmp_path / "evil.pth", _use_new_zipfile_serialization=False)
    with pytest.raises(CheckpointError, match="could run code"):
        read(tmp_path / "evil.pth")
    assert not (tmp_path / "proof").exists()


def test_a_runs_folder_stands_for_its_best_checkpoint_else_its_newest(tmp_path: Path) -> None:
    folder = tmp_path / "run" / "checkpoints"
    folder.mkdir(parents=True)
    for name in ("epoch0001.ckpt", "epoch0002.ckpt", "last.ckpt", "best.ckpt"):
        (folder / name).touch()
        assert checkpoint_file(tmp_path / "run") == checkpoint_file(folder) == folder / name
    assert checkpoint_file(folder / "last.ckpt") == folder / "last.ckpt"
    (tmp_path / "empty").mkdir()
    with pytest.raises(CheckpointError, match=r"no checkpoint at .*empty"):
        cyclegan.load(tmp_path / "empty")


def test_load_draws_no_random_numbers(tmp_path: Path) -> None:
    save(tmp_path / "a.ckpt", small_config())
    before = torch.get_rng_state()
    cyclegan.load(tmp_path / "a.ckpt")
    assert torch.equal(torch.get_rng_state(), before)


# ---------------------------------------------------------------------------------------- unsuitable checkpoints


def assert_refused(path: Path, config: dict[str, Any], state: Any, text: str, **trusted: Any) -> None:
    torch.save({"config": config, "state_dict": state}, path)
    with pytest.raises(CheckpointError, match=text) as raised:
        cyclegan.load(path, **trusted)
    assert str(path) in str(raised.value)
    assert str(raised.value).isprintable(), "one line"


def test_weights_that_do_not_fit_are_named(tmp_path: Path) -> None:
    config = small_config()
    state = save(tmp_path / "a.ckpt", config).state_dict()
    wide = state | {"gen_ab.model.1.weight": torch.zeros(8, 3, 7, 7)}
    shapes = r"1 of another shape \(gen_ab\.model\.1\.weight \(4, 3, 7, 7\) here, \(8, 3, 7, 7\) there\)"
    assert_refused(tmp_path / "a.ckpt", config, wide, rf"do not fit the networks .*: {shapes}")
    less = {name: value for name, value in state.items() if name != "disc_b.model.0.bias"} | {"extra": torch.zeros(1)}
    assert_refused(tmp_path / "a.ckpt", config, less, r"1 missing \(disc_b\.model\.0\.bias\); 1 unexpected \(extra\)")


def test_arguments_of_another_version_are_named(tmp_path: Path) -> None:
    config = small_config()
    config["model"]["generator"]["attention"] = True
    target = r"cyclegan\.networks\.resnet\.ResnetGenerator"
    assert_refused(tmp_path / "a.ckpt", config, {}, rf"with cyclegan 0.*: {target} takes no argument attention")
    config = small_config()
    config["model"]["generator"]["norm"] = "layer"  # a value of another version
    assert_refused(tmp_path / "a.ckpt", config, {}, "norm is 'layer'; it must be one of instance, batch, none")
    config = small_config()
    config["model"]["generator"]["_target_"] = "cyclegan.networks.gone.Generator"
    assert_refused(
        tmp_path / "a.ckpt", config, {}, r"'cyclegan\.networks\.gone\.Generator' .* is not part of cyclegan 0"
    )


def test_a_trusted_package_that_cannot_be_imported_is_named(tmp_path: Path) -> None:
    config = small_config()
    config["model"]["generator"] = {"_target_": "my_nets.Generator", "_partial_": True}
    reason = r"model\.generator\._target_ is my_nets\.Generator: there is no module my_nets\. Install it"
    assert_refused(tmp_path / "a.ckpt", config, {}, reason, trust=["my_nets"])


def test_a_bug_in_a_trusted_class_keeps_its_traceback(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_nets.py").write_text("class Nets:\n    class Generator:\n        def __init__(self): 1 / 0\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "my_nets", raising=False)
    config = small_config() | {"model": {"_target_": "my_nets.Nets.Generator"}}
    torch.save({"config": config, "state_dict": {}}, tmp_path / "a.ckpt")
    with pytest.raises(InstantiationException) as raised:
        cyclegan.load(tmp_path / "a.ckpt", trust=["my_nets"])
    assert isinstance(raised.value.__cause__, ZeroDivisionError)


@pytest.mark.parametrize("load_size", ["big", -3, 1.5])
def test_an_invalid_load_size_is_refused(tmp_path: Path, load_size: Any) -> None:
    config = small_config()
    state = save(tmp_path / "a.ckpt", config).state_dict()
    config["data"]["load_size"] = load_size
    assert_refused(tmp_path / "a.ckpt", config, state, f"its data.load_size={load_size!r} and data.resize='stretch'")


def test_files_that_are_no_checkpoint_are_refused_in_one_line(tmp_path: Path) -> None:
    save(tmp_path / "a.ckpt", small_config())
    whole = (tmp_path / "a.ckpt").read_bytes()
    for name, content in (("cut", whole[: len(whole) // 2]), ("empty", b""), ("text", b"hello")):
        (tmp_path / f"{name}.ckpt").write_bytes(content)
    with zipfile.ZipFile(tmp_path / "zip.ckpt", "w") as archive:
        archive.writestr("a.txt", "hello")
    torch.save({"lr": OmegaConf.create([0.5, 0.999])}, tmp_path / "object.ckpt")
    torch.save({"config": small_config()}, tmp_path / "config.ckpt")
    torch.save({"weights": torch.zeros(1)}, tmp_path / "other.ckpt")
    messages = {
        **dict.fromkeys(("cut", "empty", "text", "zip"), r"\.ckpt is damaged or is no checkpoint: "),
        "object": r"it holds omegaconf\.\w+\.\w+, and reading more",
        "config": "holds no weights: its entry state_dict is missing",
        "other": r"a state dict of no known generator\. Found: weights \(1,\)\..*None is near",
        "missing": r"no checkpoint at .*missing\.ckpt; there are .*zip\.ckpt",
    }
    for name, message in messages.items():
        with pytest.raises(CheckpointError, match=message) as raised:
            cyclegan.load(tmp_path / f"{name}.ckpt")
        assert f"{name}.ckpt" in str(raised.value)
        assert str(raised.value).isprintable(), "neither colour codes nor line breaks"
        assert "weights_only" not in str(raised.value)
