"""Checkpoint entries besides Lightning's, and resuming from them."""

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
import torch

from cyclegan.callbacks._position import images_seen
from cyclegan.callbacks.checkpointing import Checkpointing
from cyclegan.callbacks.run_state import RunState, restore_random_state
from cyclegan.checkpoint.reading import read
from tests.small import small_cyclegan
from tests.tiny_run import differences
from tests.toy_runs import fit_small, fit_toy, toy_data

CPU = torch.device("cpu")


def test_a_checkpoint_holds_configuration_and_position(tmp_path: Path) -> None:
    trainer = fit_small(tmp_path, RunState({"seed": 7}))
    trainer.save_checkpoint(tmp_path / "run.ckpt")
    found = read(tmp_path / "run.ckpt")
    assert found["config"] == {"seed": 7}
    assert found["data"]["position"] == 6
    assert "ImageDataModule" not in found


def draw() -> list[Any]:
    """Draw from each global generator; numpy and Python cache a second normal number."""
    return [float(torch.rand(())), float(np.random.normal()), random.random(), random.gauss(0, 1)]


def begin(tmp_path: Path, rank: int, monkeypatch: pytest.MonkeyPatch, resume: Path | None = None) -> list[Any]:
    """Return the pools and random numbers of a device as training begins."""
    found: list[Any] = []

    class Look(pl.Callback):
        def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
            pools = pl_module.pools()  # type: ignore[operator]
            found.extend([{name: pool.state_dict() for name, pool in pools.items()}, draw()])

    with monkeypatch.context() as patch:
        patch.setattr("pytorch_lightning.trainer.trainer.Trainer.global_rank", rank)
        model = small_cyclegan(pool_size=3)
        torch.manual_seed(7)
        np.random.seed(7)
        random.seed(7)
        fit_toy(model, toy_data(tmp_path / "toy"), RunState({}), Look(), resume=resume, max_epochs=2 if resume else 1)
    return found


def test_each_device_of_a_new_run_has_its_own_random_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = (begin(tmp_path, rank, monkeypatch) for rank in (0, 1))
    assert len({*first[1], *second[1]}) == 8
    generators = [bytes(found[0][pool]["rng"].tolist()) for found in (first, second) for pool in "ab"]
    assert len(set(generators)) == 4
    assert begin(tmp_path, 1, monkeypatch)[1] == second[1], "reproducible"


@pytest.mark.parametrize(("rank", "expected"), [(1, 1), (2, 0)])
def test_each_device_restores_its_own_state_and_further_devices_share(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rank: int, expected: int
) -> None:
    fit_toy(small_cyclegan(pool_size=3), toy_data(tmp_path / "toy"), RunState({}), Checkpointing(str(tmp_path)))
    path = tmp_path / "checkpoints" / "last.ckpt"
    checkpoint = read(path)
    (first,) = checkpoint["ranks"]
    assert len(first["pools"]["a"]["images"]) == 3
    second = {
        "pools": {n: {"images": [torch.full((3, 16, 16), 0.5)], "rng": p["rng"]} for n, p in first["pools"].items()},
        "random": first["random"] | {"torch": torch.Generator().manual_seed(1).get_state()},
    }
    torch.save(checkpoint | {"ranks": [first, second]}, path)

    pools, numbers = begin(tmp_path, rank, monkeypatch, resume=path)
    wanted = (first, second)[expected]
    assert differences(pools, wanted["pools"]) == []
    restore_random_state(wanted["random"], CPU)
    assert numbers == draw()


class Positions(pl.Callback):
    """Store the positions after the batches of each epoch."""

    def __init__(self) -> None:
        self.seen: dict[int, list[int]] = {}

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        self.seen.setdefault(trainer.current_epoch, []).append(images_seen(trainer))


@pytest.mark.parametrize(
    ("before", "after", "saved_at", "expected"),
    [
        # Two devices with a batch of one, then one device: one image is left of the first epoch.
        (2, 1, 6, {0: [7], 1: [8, 9, 10, 11, 12, 13, 14]}),
        # One device, then three: the last batch of an epoch reaches beyond its seven images.
        (1, 3, 2, {0: [5, 8], 1: [11, 14, 17]}),
        # Saved between two epochs.
        (2, 1, 8, {1: [9, 10, 11, 12, 13, 14, 15]}),
    ],
)
def test_resumes_at_the_same_image_with_another_number_of_devices(
    tmp_path: Path, before: int, after: int, saved_at: int, expected: dict[int, list[int]]
) -> None:
    # The batch size stands for the number of devices.
    data = toy_data(tmp_path / "toy", train=7, batch_size=before)
    saving = Checkpointing(str(tmp_path), every_n_images=1, keep_last=99)
    fit_toy(small_cyclegan(), data, RunState({}), saving)
    path = tmp_path / "checkpoints" / f"images{saved_at:09d}.ckpt"

    record = Positions()
    data = toy_data(tmp_path / "toy", train=7, batch_size=after)
    trainer = fit_toy(small_cyclegan(), data, RunState({}), record, resume=path, max_epochs=2)
    assert record.seen == expected
    assert trainer.current_epoch == 2
