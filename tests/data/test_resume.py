"""A run that is stopped and resumed by Lightning sees the same images as an undisturbed one."""

from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from torch import Tensor

from cyclegan.data.datamodule import ImageDataModule
from cyclegan.data.loader import Batch
from cyclegan.datasets import toy

EPOCHS, STEPS = 5, 3  # five images in batches of two

pytestmark = [
    # Python 3.12 warns of fork in a process with threads, which every process that imported torch has.
    pytest.mark.filterwarnings("ignore:This process.*is multi-threaded:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:.*does not have many workers"),
    pytest.mark.filterwarnings("ignore:.*LeafSpec:FutureWarning"),  # Lightning 2.6 with torch 2.15
]


class Recorder(pl.LightningModule):
    """Records the images of every batch that it is trained on."""

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
    """The run was stopped."""


class Stop(pl.Callback):
    """Saves a checkpoint in a hook at a step and stops the run there."""

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
    toy.draw(root, train=5, test=1, size=12)
    return root


def fit(data: ImageDataModule, *callbacks: pl.Callback, resume: Path | None = None, reload: int = 0) -> Recorder:
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


def module(root: Path, num_workers: int = 0, batch_size: int = 2, **more: Any) -> ImageDataModule:
    return ImageDataModule(root, 12, 8, batch_size=batch_size, num_workers=num_workers, **more)


@pytest.fixture(scope="module", params=["independent", "aligned"])
def draw(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def undisturbed(root: Path, draw: str) -> Recorder:
    return fit(module(root, draw=draw))


@pytest.mark.parametrize(
    ("hook", "step", "num_workers"),
    [
        ("batch end", 3, 0),  # the last batch of the first epoch
        ("batch end", 8, 1),  # while the worker is ahead
        ("epoch end", 6, 0),
    ],
)
def test_a_resumed_run_sees_the_images_of_an_undisturbed_one(
    root: Path, tmp_path: Path, undisturbed: Recorder, draw: str, hook: str, step: int, num_workers: int
) -> None:
    assert undisturbed.batches == [(epoch, i) for epoch in range(EPOCHS) for i in range(STEPS)]
    assert len(set(undisturbed.images)) > 20
    first = fit(module(root, num_workers, draw=draw), Stop(tmp_path / "stop.ckpt", hook, step))
    assert len(first.batches) == step
    data = module(root, num_workers, draw=draw)
    second = fit(data, resume=tmp_path / "stop.ckpt")
    assert first.images + second.images == undisturbed.images
    assert first.batches + second.batches == undisturbed.batches
    assert data.images_seen == len(undisturbed.images)


def test_a_resumed_run_may_have_another_batch_size(
    root: Path, tmp_path: Path, undisturbed: Recorder, draw: str
) -> None:
    first = fit(module(root, batch_size=1, draw=draw), Stop(tmp_path / "stop.ckpt", "batch end", 2))
    second = fit(module(root, draw=draw), resume=tmp_path / "stop.ckpt")
    seen = first.images + second.images
    assert len(seen) > 20
    assert seen == undisturbed.images[: len(seen)]


def test_a_reloaded_loader_continues(root: Path, tmp_path: Path, undisturbed: Recorder, draw: str) -> None:
    """With trainer.reload_dataloaders_every_n_epochs, also after a stop within an epoch."""
    data = module(root, draw=draw)
    assert fit(data, reload=1).images == undisturbed.images
    assert data.images_seen == len(undisturbed.images)
    first = fit(module(root, draw=draw), Stop(tmp_path / "stop.ckpt", "batch end", 4), reload=1)
    second = fit(module(root, draw=draw), resume=tmp_path / "stop.ckpt", reload=2)
    assert first.images + second.images == undisturbed.images


def test_a_second_fit_with_the_same_data_module_starts_anew(
    root: Path, tmp_path: Path, undisturbed: Recorder, draw: str
) -> None:
    data = module(root, draw=draw)
    fit(data, Stop(tmp_path / "stop.ckpt", "batch end", 4))
    fit(data, resume=tmp_path / "stop.ckpt")
    assert fit(data).images == undisturbed.images
