"""Training runs: resumed, extended, initialised from other weights, and in every variant that YAML can choose."""

from pathlib import Path

import hydra.utils
import pytest
import pytorch_lightning as pl
import torch
from hydra import compose, initialize_config_dir

import cyclegan
from cyclegan.data.file_list import find_files
from cyclegan.errors import CheckpointError, RunError
from cyclegan.images import read
from cyclegan.images.tensors import to_tensor
from cyclegan.metrics.paired import psnr
from cyclegan.train.command import train
from cyclegan.train.configuration import conf_dir
from tests.tiny_run import (
    STEPS_PER_EPOCH,
    UNMEASURED,
    composed,
    differences,
    metrics,
    rates,
    read_checkpoint,
    training_rows,
)

pytestmark = pytest.mark.usefixtures("quiet")

RATES = "+callbacks.rates={_target_: tests.tiny_run.Rates}"
# Pools of three are full in the second batch, so later ones depend on the pools' random numbers too.
FOUR_EPOCHS = ("trainer.max_epochs=4", "model.pool_size=3", "callbacks.checkpointing.keep_every_n_epochs=2")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, root: Path) -> Path:
    """The folder of a run of four epochs that nothing disturbed."""
    folder = tmp_path_factory.mktemp("runs") / "whole"
    train(composed(folder, root, *FOUR_EPOCHS))
    return folder


def test_resume_takes_a_checkpoint_of_another_folder(whole: Path, root: Path, tmp_path: Path) -> None:
    kept = whole / "checkpoints" / "epoch0002.ckpt"
    train(composed(tmp_path, root, *FOUR_EPOCHS, f"resume={kept}"))
    assert differences(read_checkpoint(tmp_path)["state_dict"], read_checkpoint(whole)["state_dict"]) == []
    assert metrics(tmp_path) == [row for row in metrics(whole) if row["images_seen"] > 12]


def test_resume_takes_a_folder_of_a_run_for_its_newest_checkpoint(whole: Path, root: Path, tmp_path: Path) -> None:
    trainer = train(composed(tmp_path / "new", root, *FOUR_EPOCHS, "trainer.max_epochs=5", f"resume={whole}"))
    assert (trainer.current_epoch, trainer.global_step) == (5, 5 * STEPS_PER_EPOCH)
    assert [row["images_seen"] for row in training_rows(tmp_path / "new")] == [26, 28, 30]
    (tmp_path / "empty").mkdir()
    with pytest.raises(RunError, match=r"empty: that folder holds no checkpoints/\*\.ckpt"):
        train(composed(tmp_path / "other", root, *FOUR_EPOCHS, f"resume={tmp_path / 'empty'}"))


def test_an_extended_run_follows_the_new_schedule_and_logs_both(
    root: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rate = "model.optimizer.lr=2e-4"
    first = train(composed(tmp_path, root, *UNMEASURED, "trainer.max_epochs=2", rate, RATES))
    # Linear over two epochs: one constant, then 1 - 1/2.
    assert rates(first) == pytest.approx([2e-4, 1e-4])
    with caplog.at_level("INFO", "cyclegan"):
        second = train(composed(tmp_path, root, *UNMEASURED, "trainer.max_epochs=6", rate, RATES, "resume=auto"))
    assert [message for message in caplog.messages if message.startswith("schedule")] == [
        "schedule  Linear(total_epochs=2) → Linear(total_epochs=6); learning rate in epoch 3: 2.00e-04"
    ]
    # Over six: three constant (epochs 0 to 2), then 3/4, 1/2, 1/4. The epochs 0 and 1 are done.
    assert rates(second) == pytest.approx([2e-4, 1.5e-4, 1e-4, 0.5e-4])
    assert (second.current_epoch, second.global_step) == (6, 6 * STEPS_PER_EPOCH)
    assert len(training_rows(tmp_path)) == 6 * STEPS_PER_EPOCH


def test_a_schedule_of_another_length_than_the_run_is_logged(
    root: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO", "cyclegan.train"):
        run = train(composed(tmp_path, root, "model.schedule.total_epochs=1", "model.optimizer.lr=2e-4", RATES))
    assert rates(run) == pytest.approx([1e-4, 0.0])  # 1 - 1/2 in the one epoch of the schedule
    assert [m for m in caplog.messages if m.startswith("schedule")] == [
        "schedule  over total_epochs=1, but the run has trainer.max_epochs=2"
    ]


def test_a_resume_of_a_finished_run_logs_that_nothing_is_left(
    whole: Path, root: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    train(composed(tmp_path, root, "trainer.max_epochs=2"))
    before = read_checkpoint(tmp_path)["state_dict"]
    with caplog.at_level("INFO", "cyclegan.train"):
        train(composed(tmp_path, root, "trainer.max_epochs=2", "resume=auto"))
    assert "nothing left to do; to continue, raise trainer.max_epochs=2" in caplog.messages
    assert differences(before, read_checkpoint(tmp_path)["state_dict"]) == []
    last = whole / "checkpoints" / "last.ckpt"
    with pytest.raises(RunError, match=r"max_epochs is 2, but .*last\.ckpt has had 4 epochs already: give that number"):
        train(composed(tmp_path / "fewer", root, *FOUR_EPOCHS, "trainer.max_epochs=2", f"resume={last}"))


def test_resume_auto_starts_a_new_run_in_an_empty_folder_and_a_missing_checkpoint_is_an_error(
    root: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO", "cyclegan.train.resume"):
        trainer = train(composed(tmp_path, root, "trainer.max_epochs=1", "resume=auto"))
    assert trainer.global_step == STEPS_PER_EPOCH
    assert [m for m in caplog.messages if "new run" in m] == ["resume    no checkpoint found, so this is a new run"]
    with pytest.raises(RunError, match=r"resume=gone\.ckpt: there is no such file. resume=auto takes the latest in"):
        train(composed(tmp_path, root, "resume=gone.ckpt"))


def test_init_from_takes_the_weights_and_nothing_else(whole: Path, root: Path, tmp_path: Path) -> None:
    last = whole / "checkpoints" / "last.ckpt"
    # Without a rate the weights stay what they were at the start.
    begun = train(composed(tmp_path / "begun", root, f"init_from={last}", "model.optimizer.lr=0.0"))
    assert differences(read_checkpoint(tmp_path / "begun")["state_dict"], read_checkpoint(whole)["state_dict"]) == []
    assert (begun.current_epoch, begun.global_step) == (2, 2 * STEPS_PER_EPOCH)
    assert training_rows(tmp_path / "begun")[0]["images_seen"] == 2


def test_checkpoints_that_do_not_fit_are_refused_before_anything_is_written(
    whole: Path, root: Path, tmp_path: Path
) -> None:
    last = whole / "checkpoints" / "last.ckpt"
    with pytest.raises(RunError, match=r"model\.generator\._target_: .*ResnetGenerator → .*UnetGenerator"):
        train(composed(tmp_path / "new", root, *FOUR_EPOCHS, f"resume={last}", "generator=unet128"))
    (tmp_path / "cut.ckpt").write_bytes(last.read_bytes()[:1000])
    for key in ("resume", "init_from"):
        with pytest.raises(CheckpointError, match=r"cut\.ckpt is damaged"):
            train(composed(tmp_path / "new", root, f"{key}={tmp_path / 'cut.ckpt'}"))
    assert [path.name for path in tmp_path.iterdir()] == ["cut.ckpt"]


VARIANTS = {
    "vanilla": ("adversarial=vanilla",),
    "hinge": ("adversarial=hinge",),
    "wasserstein": ("adversarial=wasserstein",),
    "pixel": ("discriminator=pixel",),
    "accumulation": ("trainer.accumulate_grad_batches=2",),
    "resize and cosine": ("generator=resnet9_resize", "schedule=cosine", "optimizer=adamw", "init=orthogonal"),
}


@pytest.mark.parametrize("overrides", VARIANTS.values(), ids=VARIANTS.keys())
def test_every_variant_trains(root: Path, tmp_path: Path, overrides: tuple[str, ...]) -> None:
    config = composed(tmp_path / "run", root, *UNMEASURED, *overrides)
    pl.seed_everything(config.seed, verbose=False)
    hydra.utils.instantiate(config.data, _convert_="all")
    before = hydra.utils.instantiate(config.model, _convert_="all").state_dict()
    trainer = train(config)
    after = read_checkpoint(tmp_path / "run")["state_dict"]
    weights = dict(trainer.lightning_module.named_parameters())
    assert [name for name in weights if torch.equal(before[name], after[name])] == [], "every weight moves"
    assert all(torch.isfinite(value).all() for value in after.values())
    assert len(weights) > 10
    # Accumulation makes two steps of an epoch's three batches: 2 + 1.
    assert trainer.global_step == 2 * (2 if "accumulate" in overrides[0] else STEPS_PER_EPOCH)


def test_a_few_dozen_steps_lower_the_cycle_loss(root: Path, tmp_path: Path) -> None:
    train(
        composed(tmp_path, root, "trainer.max_epochs=16", "schedule=constant", "model.optimizer.lr=2e-3", *UNMEASURED)
    )
    cycle = [row["train/cycle_a"] + row["train/cycle_b"] for row in training_rows(tmp_path)]
    assert len(cycle) == 48
    assert sum(cycle[-6:]) < 0.7 * sum(cycle[:6])


@pytest.mark.slow
def test_the_toy_experiment_approaches_its_paired_ground_truth(tmp_path: Path) -> None:
    """A quarter of its epochs."""
    overrides = ["experiment=toy", "trainer.max_epochs=2", "logger=csv", f"run_dir={tmp_path}"]
    with initialize_config_dir(conf_dir(), version_base="1.3"):
        train(compose("train", [*overrides, f"data.root={tmp_path / 'toy'}"]))
    translator = cyclegan.load(tmp_path / "checkpoints" / "last.ckpt")
    images = {}
    for domain in "AB":
        files = find_files(tmp_path / "toy" / f"test{domain}")
        images[domain] = torch.stack([to_tensor(read(file)) for file in files])
    for source, target in (("A", "B"), ("B", "A")):
        with torch.no_grad():
            translated = translator.translate(images[source], source, target)
        gain = psnr(translated, images[target]).mean() - psnr(images[source], images[target]).mean()
        assert gain > 2, f"{source} to {target}: {gain:.1f} dB over copying the input"
