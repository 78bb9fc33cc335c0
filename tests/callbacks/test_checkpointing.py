"""Which checkpoints a run leaves, and that they hold the end of the epoch they are named for."""

from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch

from cyclegan.callbacks.checkpointing import Checkpointing
from cyclegan.checkpoint import read
from tests.small import small_cyclegan
from tests.toy_runs import fit_toy, toy_data


class WeightsAfterEachEpoch(pl.Callback):
    """Keeps one weight as it is when an epoch ends."""

    def __init__(self) -> None:
        self.seen: list[torch.Tensor] = []

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.seen.append(pl_module.state_dict()["gen_ab.model.1.weight"].clone())


@pytest.mark.parametrize(
    ("every", "epochs", "expected"),
    [
        (1, 2, ["epoch=0001.ckpt", "epoch=0002.ckpt", "last.ckpt"]),
        (2, 5, ["epoch=0002.ckpt", "epoch=0004.ckpt", "epoch=0005.ckpt", "last.ckpt"]),
        (10, 3, ["epoch=0003.ckpt", "last.ckpt"]),
    ],
)
def test_keeps_one_every_few_epochs_and_the_last(tmp_path: Path, every: int, epochs: int, expected: list[str]) -> None:
    record = WeightsAfterEachEpoch()
    fit_toy(
        small_cyclegan(),
        toy_data(tmp_path / "toy", train=2),
        record,
        Checkpointing(str(tmp_path), every_n_epochs=every),
        max_epochs=epochs,
    )
    assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir()) == expected
    for name in expected:
        epoch = epochs if name == "last.ckpt" else int(name[6:10])
        checkpoint = read(tmp_path / "checkpoints" / name)
        assert checkpoint["global_step"] == epoch  # of one batch each
        assert checkpoint["state_dict"]["gen_ab.model.1.weight"].equal(record.seen[epoch - 1]), name


def test_last_is_there_after_every_epoch_so_that_a_killed_run_loses_one_at_most(tmp_path: Path) -> None:
    found: list[int] = []

    class LookAtTheNextStart(pl.Callback):
        def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
            if trainer.current_epoch > 0:
                found.append(read(tmp_path / "checkpoints" / "last.ckpt")["global_step"])

    data = toy_data(tmp_path / "toy", train=2)
    fit_toy(small_cyclegan(), data, LookAtTheNextStart(), Checkpointing(str(tmp_path)), max_epochs=3)
    assert found == [1, 2]


def test_refuses_to_keep_none() -> None:
    with pytest.raises(ValueError, match="every_n_epochs is 0"):
        Checkpointing("run", every_n_epochs=0)
