"""Every YAML file composes, and names classes and arguments that exist."""

import re
from pathlib import Path

import hydra
import pytest
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf

from cyclegan.methods.translator import Translator
from cyclegan.optim import Linear
from cyclegan.train.configuration import conf_dir
from cyclegan.train.signatures import check_values

CONF = Path(conf_dir())
FILES = sorted(path.relative_to(CONF) for path in CONF.rglob("*.yaml"))
OPTIONS = [path for path in FILES if len(path.parts) == 2]


def composed(*overrides: str) -> DictConfig:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose("train", ["name=mine", *overrides, "data.root=images"])


def narrow(config: DictConfig) -> DictConfig:
    """The same configuration with networks of a few channels."""
    for part in (config.model.generator, config.model.discriminator):
        if "width" in part:
            part.width = 4
        if "widths" in part:
            part.widths = [4] * len(part.widths)
    return config


def override_for(path: Path, tmp_path: Path) -> list[str]:
    group, option = path.parts[0], path.stem
    return [f"{group}={option}", f"run_dir={tmp_path}"]


@pytest.mark.parametrize("path", OPTIONS, ids=str)
def test_every_option_composes_and_builds(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    config = narrow(composed(*override_for(path, tmp_path)))
    before = OmegaConf.to_yaml(config)
    check_values(config)
    assert OmegaConf.to_yaml(config) == before, "every value is written as what its argument takes"

    model = hydra.utils.instantiate(config.model)
    assert isinstance(model, Translator)
    data = hydra.utils.instantiate(config.data)
    assert data.crop_size % model.size_multiple == 0 or path.parts[0] == "generator"
    for entry in [*config.callbacks.values(), *config.logger.values()]:
        assert hydra.utils.instantiate(entry) is not None
    if path.stem != "ddp":  # which looks for GPUs
        assert hydra.utils.instantiate(config.trainer, logger=False).max_epochs == config.trainer.max_epochs
    else:
        assert config.trainer.strategy == "ddp"


def test_docs_list_every_option() -> None:
    page = (Path(__file__).parents[1] / "docs" / "configuration.md").read_text()
    listed = {
        group: re.findall(r"`(\w+)`", cell) for group, cell in re.findall(r"^\| `(\w+)` \| (`.*?) \|", page, re.M)
    }
    published = {("data", name) for name in names_of_published_sets()}  # the page gives two of them
    options = {(path.parts[0], path.stem) for path in OPTIONS if path.parts[0] != "experiment"}
    assert options - published == {(group, name) for group, names in listed.items() for name in names} - published


@pytest.mark.parametrize("path", [p for p in OPTIONS if p.parts[0] == "experiment"], ids=str)
def test_every_experiment_states_its_command_and_requirements(path: Path) -> None:
    head = (CONF / path).read_text().split("defaults:")[0]
    name = path.stem
    command = "cyclegan-train\n" if name == "toy" else f"cyclegan-train experiment={name}"
    assert command in head
    assert "# Needs " in head
    assert composed(f"experiment={name}").name in (name, "mine")


def names_of_published_sets() -> list[str]:
    others = ("folders", "pairs", "toy", "toy_pairs")
    return [path.stem for path in (CONF / "data").glob("*.yaml") if path.stem not in others]


@pytest.mark.parametrize("name", names_of_published_sets())
def test_published_data_sets_train_by_the_papers_recipe(name: str) -> None:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = compose("train", [f"data={name}"])
    assert config.data.root == f"data/{name}"
    assert (config.data.load_size, config.data.crop_size, config.data.batch_size) == (286, 256, 1)
    assert (config.model.generator.blocks, config.model.generator.width) == (9, 64)
    assert config.model.loss_weights == {
        "_target_": "cyclegan.methods.cyclegan.LossWeights",
        "adversarial": 1.0, "cycle_a": 10.0, "cycle_b": 10.0, "identity": 0.5,
    }  # fmt: skip
    assert config.trainer.max_epochs == 200
    assert (config.model.optimizer.lr, list(config.model.optimizer.betas)) == (2e-4, [0.5, 0.999])
    assert (config.trainer.accelerator, config.callbacks.validation.features.weights) == ("auto", None)
    assert hydra.utils.instantiate(config.model.schedule) == Linear(200, None)
    assert config.model.pool_size == 50


@pytest.mark.parametrize(
    ("name", "weights"),
    {"cycle_alone": (0, 10, 10), "gan_alone": (1, 0, 0), "gan_forward": (1, 10, 0), "gan_backward": (1, 0, 10)}.items(),
)
def test_ablations_remove_loss_terms(name: str, weights: tuple[float, ...]) -> None:
    chosen = composed(f"loss_weights={name}").model.loss_weights
    assert (chosen.adversarial, chosen.cycle_a, chosen.cycle_b) == weights


def test_the_weights_of_the_pytorch_gan_recipe() -> None:
    model = composed("experiment=pytorch_gan").model
    # (GAN_AB + GAN_BA)/2 + 10 (cycle_A + cycle_B)/2 + 5 (identity_A + identity_B)/2
    weights = model.loss_weights
    assert (weights.adversarial, weights.cycle_a, weights.cycle_b) == (1 / 2, 10 / 2, 10 / 2)
    assert weights.cycle_a * weights.identity == 5 / 2
    assert model.generator.upsampling == "resize"


def test_a_model_brings_its_own_groups_which_the_command_line_chooses_from(tmp_path: Path) -> None:
    conf = tmp_path / "model"
    conf.mkdir()
    (conf / "other.yaml").write_text("# @package model\n_target_: their.Method\n")
    search = f"hydra.searchpath=[file://{tmp_path}]"
    with initialize_config_dir(str(CONF), version_base="1.3"):
        own = compose("train", ["adversarial=wasserstein", "loss_weights=gan_alone"]).model
        other = compose("train", [search, "model=other"]).model
    assert (own.adversarial._target_, own.penalty.weight) == ("cyclegan.losses.adversarial.Wasserstein", 10)
    assert own.loss_weights.cycle_a == 0
    assert other.keys() == {"_target_", "generator", "discriminator", "init", "optimizer", "schedule"}
