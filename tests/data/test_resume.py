"""A run that is stopped and resumed by Lightning sees, image for image, what an undisturbed one sees."""

from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch
from torch import Tensor

from cyclegan.data.datamodule import UnpairedData
from cyclegan.data.loader import Batch
from cyclegan.datasets.toy import draw
from cyclegan.errors import DataError

EPOCHS, STEPS = 5, 3  # five images in batches of two

pytestmark = [
    # Python 3.12 warns of fork in a process with threads, which every process that imported torch has.
    pytest.mark.filterwarnings("ignore:This process.*is multi-threaded:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:.*does not have many workers"),
    pytest.mark.filterwarnings("ignore:.*LeafSpec:FutureWarning"),  # Lightning 2.6 with torch 2.15
]


class Recorder(pl.LightningModule):
    """Writes down the images of every batch that it is trained on."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.images: list[bytes] = []
        self.batches: list[tuple[int, int]] = []

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        self.images += [a.numpy().tobytes() + b.numpy().tobytes() for a, b in zip(batch["A"], batch["B"], strict=True)]
        self.batches.append((self.current_epoch, batch_idx))
        return self.weight**2

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


class StoppedError(Exception):
    """The run was broken off."""


class Stop(pl.Callback):
    """Saves a checkpoint at one moment of the run and breaks it off there."""

    def __init__(self, path: Path, hook: str, step: int) -> None:
        self.path, self.hook, self.step = path, hook, step

    def _save(self, trainer: pl.Trainer, hook: str) -> None:
        if hook == self.hook and trainer.global_step == self.step:
            trainer.save_checkpoint(self.path)
            raise StoppedError

    def on_train_batch_end(self, trainer: pl.Trainer, *_: object) -> None:
        self._save(trainer, "batch end")

    def on_train_epoch_end(self, trainer: pl.Trainer, *_: object) -> None:
        self._save(trainer, "epoch end")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("data") / "toy"
    draw(root, train=5, test=1, size=12)
    return root


def fit(data: UnpairedData, *callbacks: pl.Callback, resume: Path | None = None, reload: int = 0) -> Recorder:
    recorder = Recorder()
    trainer = pl.Trainer(
        accelerator="cpu",
        max_epochs=EPOCHS,
        reload_dataloaders_every_n_epochs=reload,
        callbacks=list(callbacks),
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    try:
        trainer.fit(recorder, datamodule=data, ckpt_path=resume, weights_only=True)
    except StoppedError:
        assert callbacks
    return recorder


def data_of(root: Path, num_workers: int = 0, batch_size: int = 2) -> UnpairedData:
    return UnpairedData(root, 12, 8, batch_size=batch_size, num_workers=num_workers)


@pytest.mark.parametrize(
    ("hook", "step", "num_workers"),
    [
        ("batch end", 1, 0),
        ("batch end", 3, 0),  # the last batch of the first epoch
        ("batch end", 4, 0),
        ("batch end", 8, 1),  # while the worker is ahead
        ("epoch end", 3, 0),
        ("epoch end", 6, 1),
    ],
)
def test_a_resumed_run_sees_what_an_undisturbed_one_sees(
    root: Path, tmp_path: Path, hook: str, step: int, num_workers: int
) -> None:
    whole = fit(data_of(root))
    assert whole.batches == [(epoch, i) for epoch in range(EPOCHS) for i in range(STEPS)]
    assert len(set(whole.images)) > 20

    first = fit(data_of(root, num_workers), Stop(tmp_path / "stop.ckpt", hook, step))
    assert len(first.batches) == step
    data = data_of(root, num_workers)
    second = fit(data, resume=tmp_path / "stop.ckpt")
    assert first.images + second.images == whole.images
    assert first.batches + second.batches == whole.batches
    assert data.images_seen == len(whole.images)


@pytest.mark.parametrize(("before", "after"), [(1, 2), (2, 1)])
def test_a_resumed_run_may_have_another_batch_size(root: Path, tmp_path: Path, before: int, after: int) -> None:
    first = fit(data_of(root, batch_size=before), Stop(tmp_path / "stop.ckpt", "batch end", 2))
    second = fit(data_of(root, batch_size=after), resume=tmp_path / "stop.ckpt")
    seen = first.images + second.images
    assert len(seen) > 20
    assert seen == fit(data_of(root)).images[: len(seen)]


@pytest.mark.parametrize("num_workers", [0, 1])
def test_a_loader_that_is_made_anew_continues(root: Path, tmp_path: Path, num_workers: int) -> None:
    """By trainer.reload_dataloaders_every_n_epochs: also where the run was cut off within an epoch."""
    whole = fit(data_of(root)).images
    data = data_of(root, num_workers)
    assert fit(data, reload=1).images == whole
    assert data.images_seen == len(whole)
    first = fit(data_of(root), Stop(tmp_path / "stop.ckpt", "batch end", 4), reload=1)
    second = fit(data_of(root, num_workers), resume=tmp_path / "stop.ckpt", reload=2)
    assert first.images + second.images == whole


def test_a_run_does_not_go_on_with_other_images(tmp_path: Path) -> None:
    draw(tmp_path / "toy", train=5, test=1, size=12)
    fit(data_of(tmp_path / "toy"), Stop(tmp_path / "stop.ckpt", "batch end", 4))
    next((tmp_path / "toy" / "trainB").iterdir()).unlink()
    with pytest.raises(DataError, match=r"domain B are not .*: there were 5, there are 4"):
        fit(data_of(tmp_path / "toy"), resume=tmp_path / "stop.ckpt")


def test_a_new_run_of_the_same_data_begins_at_the_beginning(root: Path, tmp_path: Path) -> None:
    data = data_of(root)
    whole = fit(data).images
    fit(data, Stop(tmp_path / "stop.ckpt", "batch end", 4))
    fit(data, resume=tmp_path / "stop.ckpt")
    assert fit(data).images == whole
