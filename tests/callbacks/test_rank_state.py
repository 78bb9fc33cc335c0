"""Every device's own pools and random numbers come back to it."""

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
import torch

from cyclegan.callbacks.checkpointing import Checkpointing
from cyclegan.callbacks.rank_state import RankState, random_state, restore_random_state
from cyclegan.checkpoint.reading import read
from tests.small import small_cyclegan
from tests.tiny_run import differences
from tests.toy_runs import fit_toy, toy_data

CPU = torch.device("cpu")


def draw() -> list[Any]:
    """A number of each global generator, normal ones too, of which numpy and Python keep a second one back."""
    return [
        float(torch.rand(())),
        float(np.random.normal()),
        random.random(),
        random.gauss(0, 1),
    ]


def test_random_numbers_go_on_where_they_were_also_through_a_file(tmp_path: Path) -> None:
    draw()
    torch.save(random_state(CPU), tmp_path / "state")
    expected = [draw() for _ in range(3)]
    for generator_seed in (torch.manual_seed, np.random.seed, random.seed):
        generator_seed(99)
    restore_random_state(torch.load(tmp_path / "state", weights_only=True), CPU)
    assert [draw() for _ in range(3)] == expected


def begin(tmp_path: Path, rank: int, monkeypatch: pytest.MonkeyPatch, resume: Path | None = None) -> list[Any]:
    """What a device has when training begins: its pools, and a random number."""
    found: list[Any] = []

    class Look(pl.Callback):
        def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
            pools = pl_module.pools()  # type: ignore[operator]
            found.extend([{name: pool.state_dict() for name, pool in pools.items()}, draw()])

    with monkeypatch.context() as patch:
        # Set after the trainer is built, which asks for itself.
        patch.setattr("pytorch_lightning.trainer.trainer.Trainer.global_rank", rank)
        model = small_cyclegan(pool_size=3)
        torch.manual_seed(7)
        np.random.seed(7)
        random.seed(7)
        fit_toy(model, toy_data(tmp_path / "toy"), RankState(), Look(), resume=resume, max_epochs=2 if resume else 1)
    return found


def test_a_new_run_gives_every_device_random_numbers_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second, third = (begin(tmp_path, rank, monkeypatch) for rank in (0, 1, 2))
    numbers = [number for found in (first, second, third) for number in found[1]]
    assert len(set(numbers)) == 12
    generators = [bytes(found[0][pool]["rng"].tolist()) for found in (first, second, third) for pool in "ab"]
    assert len(set(generators)) == 6
    assert begin(tmp_path, 1, monkeypatch)[1] == second[1], "but always the same"


@pytest.mark.parametrize(("rank", "expected"), [(0, 0), (1, 1), (2, 0), (3, 1)])
def test_each_device_takes_its_own_back_and_more_devices_share(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rank: int, expected: int
) -> None:
    fit_toy(small_cyclegan(pool_size=3), toy_data(tmp_path / "toy"), RankState(), Checkpointing(str(tmp_path)))
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
