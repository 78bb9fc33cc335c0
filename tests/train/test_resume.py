"""A run that is interrupted anywhere and resumed ends with the same bits as an uninterrupted run."""

import shutil
from pathlib import Path

import pytest
import torch
import yaml

from cyclegan.callbacks.stop_signals import StopRequestedError
from cyclegan.errors import CheckpointError, DataError, RunError
from cyclegan.train.command import train
from tests.tiny_run import (
    METHODS,
    UNMEASURED,
    StoppedError,
    composed,
    differences,
    metrics,
    read_checkpoint,
    snapshot_at,
    stop_at,
)

pytestmark = pytest.mark.usefixtures("quiet")

EPOCHS = 3
# A checkpoint after every batch. Pools of three are full in the second batch, and from then on random.
OFTEN = (
    f"trainer.max_epochs={EPOCHS}",
    "model.pool_size=3",
    "callbacks.checkpointing.every_n_images=2",
    "callbacks.checkpointing.keep_every_n_epochs=2",
)


# What the files of a run can be like when it is killed. The number is that of the finished batches.
CUTS = [
    "on_train_batch_start-4",
    *("on_train_batch_end-1", "on_train_batch_end-3"),  # before the checkpoint of that batch
    "on_train_epoch_start-3",
    *("on_train_epoch_end-3", "on_train_epoch_end-9"),  # before the epoch's checkpoint
]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, root: Path) -> Path:
    """The folder of an uninterrupted run, beside copies at every moment of CUTS, as a kill would have left it."""
    folder = tmp_path_factory.mktemp("runs") / "whole"
    train(composed(folder, root, *OFTEN, *snapshot_at(CUTS, folder, folder.parent)))
    return folder


def assert_same_end(one: Path, other: Path) -> None:
    """Compare the checkpoints, metrics.csv and sample grids of two runs."""
    assert sorted(p.name for p in (one / "checkpoints").iterdir()) == sorted(
        p.name for p in (other / "checkpoints").iterdir()
    )
    for path in (one / "checkpoints").iterdir():
        first, second = read_checkpoint(one, path.name), read_checkpoint(other, path.name)
        entries = ("state_dict", "optimizer_states", "lr_schedulers", "ranks", "data", "loops", "callbacks")
        assert all(first[entry] for entry in entries)
        del first["config"], second["config"]  # which have other names and folders
        assert differences(first, second) == []
    assert (one / "checkpoints" / "best.ckpt").exists()
    assert metrics(one) == metrics(other)
    grids = [sorted((p.name, p.read_bytes()) for p in (folder / "samples").iterdir()) for folder in (one, other)]
    assert grids[0] == grids[1]


@pytest.mark.parametrize("moment", CUTS)
def test_a_run_killed_at_any_moment_resumes_bit_for_bit(whole: Path, root: Path, moment: str) -> None:
    train(composed(whole.parent / moment, root, *OFTEN, "resume=auto"))
    assert_same_end(whole.parent / moment, whole)


@pytest.mark.parametrize(
    ("moment", "overrides"),
    [
        # Dropout and the penalty draw from torch's random numbers.
        ("on_after_backward-2", ("generator=unet128", "adversarial=wasserstein")),
        (
            "on_train_batch_start-2",  # the next row has the losses of a player that rested in its step
            (
                *("diff_augment=ada", "model.diff_augment.target=-2", "model.diff_augment.images=20"),  # p rises
                *("penalty=r1", "model.penalty.every=2", "model.n_critic=2", "callbacks=ema_images"),
                *("model.discriminator.spectral_norm=true", "model.discriminator.norm=none"),
            ),
        ),
        (
            "on_train_batch_start-1",  # a step has two batches, or the last of an epoch
            ("trainer.accumulate_grad_batches=2", "trainer.gradient_clip_val=0.5", "data.num_workers=2"),
        ),
        (
            "on_after_backward-3",
            ("schedule=cosine", "optimizer=adamw", "trainer.precision=bf16-mixed", "trainer.limit_train_batches=2"),
        ),
    ],
    ids=lambda words: words if isinstance(words, str) else words[0],
)
def test_every_kind_of_run_resumes_bit_for_bit(
    root: Path, tmp_path: Path, moment: str, overrides: tuple[str, ...]
) -> None:
    words = [*OFTEN, "trainer.max_epochs=2", *overrides]
    train(composed(tmp_path / "whole", root, *words, *snapshot_at([moment], tmp_path / "whole", tmp_path)))
    train(composed(tmp_path / moment, root, *words, "resume=auto"))
    assert_same_end(tmp_path / moment, tmp_path / "whole")


def test_a_run_of_turns_resumes_bit_for_bit(tmp_path: Path) -> None:
    """Also one that ends between the turns of a batch. Batch norm has running statistics."""
    words = [word for word in OFTEN if not word.startswith("model.pool_size")]
    words += [*METHODS["pix2pix"], "callbacks=ema", "trainer.gradient_clip_val=0.5"]
    root = tmp_path / "pairs"
    train(composed(tmp_path / "whole", root, *words))
    for hook, step in (("on_train_batch_start", 4), ("on_after_backward", 5), ("on_train_batch_end", 7)):
        with pytest.raises(StoppedError):
            train(composed(tmp_path / "cut", root, *words, *stop_at(hook, step), "resume=auto"))
    train(composed(tmp_path / "cut", root, *words, "resume=auto"))
    assert_same_end(tmp_path / "cut", tmp_path / "whole")


# ---------------------------------------------------------------------------------------------- damage


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.name != ".lock"}


def spoil(path: Path) -> None:
    """Flip one bit of a file, under all of its names."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)


def test_a_damaged_checkpoint_is_skipped_for_the_one_before(
    whole: Path, root: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(StoppedError):
        train(composed(tmp_path, root, *OFTEN, *stop_at("on_train_batch_start", 5)))
    checkpoints = tmp_path / "checkpoints"
    assert sorted(p.name for p in checkpoints.iterdir()) == [
        "best.ckpt", "images000000008.ckpt", "images000000010.ckpt", "last.ckpt",
    ]  # fmt: skip
    spoil(checkpoints / "last.ckpt")
    with caplog.at_level("INFO", "cyclegan"):
        train(composed(tmp_path, root, *OFTEN, "resume=auto"))
    skipped, resumed = [message for message in caplog.messages if message.startswith("resume")]
    assert f"skipped: {checkpoints / 'last.ckpt'} is damaged" in skipped
    assert "checksum" in skipped
    assert f"from {checkpoints / 'images000000008.ckpt'}: 8 images, 1 epochs" in resumed
    assert_same_end(tmp_path, whole)


def test_a_resume_without_an_intact_checkpoint_is_refused_and_changes_no_file(root: Path, tmp_path: Path) -> None:
    train(composed(tmp_path, root, *OFTEN))
    for path in {path.stat().st_ino: path for path in tmp_path.glob("checkpoints/*.ckpt")}.values():
        spoil(path)
    before = contents(tmp_path)
    with pytest.raises(CheckpointError, match=r"none of the 3 checkpoints in .* can be read") as error:
        train(composed(tmp_path, root, *OFTEN, "resume=auto", "trainer.max_epochs=9"))
    assert str(error.value).count("does not agree with its checksum") == 3
    assert contents(tmp_path) == before


def test_weights_alone_cannot_be_resumed(whole: Path, root: Path, tmp_path: Path) -> None:
    torch.save({"state_dict": read_checkpoint(whole)["state_dict"]}, tmp_path / "weights.ckpt")
    with pytest.raises(RunError, match=r"it has no config, loops, data.*init_from="):
        train(composed(tmp_path / "run", root, *OFTEN, f"resume={tmp_path / 'weights.ckpt'}"))


# ---------------------------------------------------------------------------------------------- what may change


def test_a_resume_with_another_configuration_is_refused_and_changes_no_file(whole: Path, root: Path) -> None:
    before = contents(whole)
    changes = ("seed=1", "data.batch_size=1", "model.generator.width=8", "model.loss_weights.cycle_a=5")
    with pytest.raises(RunError) as error:
        train(composed(whole, root, *OFTEN, *changes, "resume=auto"))
    for line in ("seed: 0 → 1", "data.batch_size: 2 → 1", "model.loss_weights.cycle_a: 10.0 → 5"):
        assert f"\n  {line}" in str(error.value)
    assert contents(whole) == before


def test_a_run_is_not_resumed_with_other_images(whole: Path, root: Path, tmp_path: Path) -> None:
    shutil.copytree(root, tmp_path / "images")
    last = f"resume={whole / 'checkpoints' / 'last.ckpt'}"
    moved = (*OFTEN, "data.source=null", last, f"trainer.max_epochs={EPOCHS + 1}")
    train(composed(tmp_path / "moved", tmp_path / "images", *moved))
    (tmp_path / "images" / "trainA" / "0000.png").rename(tmp_path / "images" / "trainA" / "new.png")
    with pytest.raises(DataError, match=r"images of domain A"):
        train(composed(tmp_path / "other", tmp_path / "images", *moved))


def test_max_steps_is_refused_on_a_resume(whole: Path, root: Path) -> None:
    with pytest.raises(RunError, match=r"trainer.max_steps is 20.*Bound the run by trainer.max_epochs"):
        train(composed(whole, root, *OFTEN, "resume=auto", "trainer.max_epochs=9", "+trainer.max_steps=20"))


@pytest.mark.filterwarnings("ignore:.*callbacks used to create the checkpoint.*")  # as the command does
def test_a_time_limit_does_not_end_the_epoch(whole: Path, root: Path, tmp_path: Path) -> None:
    with pytest.raises(StopRequestedError, match="max_time"):
        train(composed(tmp_path, root, *OFTEN, "trainer.max_time={microseconds: 1}"))
    assert read_checkpoint(tmp_path)["global_step"] == 1
    train(composed(tmp_path, root, *OFTEN, "resume=auto"))
    # Lightning's timer keeps its state under its own name, in the checkpoints of the first part.
    assert differences(read_checkpoint(tmp_path)["state_dict"], read_checkpoint(whole)["state_dict"]) == []
    assert metrics(tmp_path) == metrics(whole)


# ---------------------------------------------------------------------------------------------- the run in wandb


def test_the_wandb_run_id_is_stored_before_training_and_stays_the_same(root: Path, tmp_path: Path) -> None:
    def ids(folder: Path) -> tuple[str, str]:
        stored = yaml.safe_load((folder / "config.yaml").read_text())["logger"]["wandb"]["id"]
        return stored, read_checkpoint(folder)["config"]["logger"]["wandb"]["id"]

    words = (*OFTEN, *UNMEASURED, "logger=default")
    with pytest.raises(StoppedError):  # before there is any checkpoint
        train(composed(tmp_path / "run", root, *words, *stop_at("on_train_batch_start", 0)))
    first = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())["logger"]["wandb"]["id"]
    assert len(first) == 8
    with pytest.raises(StoppedError):
        train(composed(tmp_path / "run", root, *words, "resume=auto", *stop_at("on_train_batch_start", 4)))
    assert ids(tmp_path / "run") == (first, first)
    last = tmp_path / "run" / "checkpoints" / "last.ckpt"
    train(composed(tmp_path / "branch", root, *words, f"resume={last}", "trainer.max_epochs=4"))
    branch, in_checkpoint = ids(tmp_path / "branch")
    assert branch == in_checkpoint != first, "another folder is another run"
