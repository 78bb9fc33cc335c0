"""Data modules of other classes than ImageDataModule train, resume bit for bit, and are evaluated."""

import csv
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import pytorch_lightning as pl
import torch

from cyclegan.data.datamodule import ImageDataModule
from cyclegan.data.loader import Batch
from cyclegan.errors import RunError
from cyclegan.evaluate.command import main as evaluate
from cyclegan.images import PixelFormat
from cyclegan.train.command import train
from tests.tiny_run import composed, differences, metrics, read_checkpoint, snapshot_at

pytestmark = pytest.mark.usefixtures("quiet")

OFTEN = ("callbacks.checkpointing.every_n_images=2", "model.pool_size=3", "features=none", "perceptual=none")


class OwnData(ImageDataModule):
    """A class of a user's own that changes nothing."""


class Noise(pl.LightningDataModule):
    """Images of noise that are a function of (domain, position), five an epoch; its own loader."""

    channels: ClassVar = {"A": 3, "B": 3}
    pixel_formats: ClassVar = {"A": PixelFormat(3, "uint8"), "B": PixelFormat(3, "uint8")}
    batch_size, crop_size, size_multiple, epoch_length = 2, 16, 4, 5

    def __init__(self, cache_dir: str) -> None:
        super().__init__()
        self.cache_dir = Path(cache_dir)
        self.images_seen = self.epoch_start = 0

    def __len__(self) -> int:
        return 3  # batches of two, the last of which begins the next five

    def __iter__(self) -> Iterator[Batch]:
        while True:
            batch = self._images(range(self.images_seen, self.images_seen + 2))
            self.images_seen += 2
            last = self.images_seen >= self.epoch_start + self.epoch_length
            if last:
                self.end_epoch()
            yield batch
            if last:
                return

    def train_dataloader(self) -> "Noise":
        return self

    def _images(self, positions: Any) -> Batch:
        draws = {d: [np.random.default_rng([t, ord(d)]).uniform(-1, 1, (3, 16, 16)) for t in positions] for d in "AB"}
        return {domain: torch.tensor(np.stack(each), dtype=torch.float32) for domain, each in draws.items()}

    def end_epoch(self) -> None:
        self.epoch_start = self.images_seen

    def describe(self) -> list[str]:
        return ["images    noise"]

    def held_out(self, at_most: int | None = None) -> None:
        return None

    def sample_batch(self, count: int) -> Batch:
        return self._images(range(count))

    def last_batch_files(self) -> dict[str, list[str]]:
        return {"A": [], "B": []}

    def state_dict(self) -> dict[str, Any]:
        return {"position": self.images_seen, "epoch_start": self.epoch_start}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.images_seen, self.epoch_start = state_dict["position"], state_dict["epoch_start"]


def replaced(config: Any, **data: Any) -> Any:
    """A configuration with other values for its data module, and with nothing else below `data` if it is Noise."""
    if data["_target_"].endswith(".Noise"):
        config.data, config.model.channels = data, Noise.channels  # which otherwise follow data.domains
    else:
        config.data.update(data)
    return config


def old_style(path: Path) -> None:
    """Turns a checkpoint into one of an earlier version: the state under the name of its class."""
    checkpoint = torch.load(path, weights_only=True)
    checkpoint["UnpairedData"] = checkpoint.pop("data")
    torch.save(checkpoint, path)


def assert_same(one: Path, other: Path) -> None:
    first, second = read_checkpoint(one), read_checkpoint(other)
    assert first["data"]["position"] == 2 * 2 * 3, "two epochs of three batches of two"
    for key in ("state_dict", "optimizer_states", "data", "ranks", "loops"):
        assert first[key]
        assert differences(first[key], second[key], key) == []
    assert metrics(one) == metrics(other)


CUT = "on_train_batch_start-4"


def arguments(name: str, cache_dir: Path) -> dict[str, str]:
    """Return the data module of a class of this file, or ImageDataModule, as its configuration has it."""
    module = ImageDataModule.__module__ if name == "ImageDataModule" else __name__
    return {"_target_": f"{module}.{name}"} | ({"cache_dir": str(cache_dir)} if name == "Noise" else {})


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, root: Path) -> Path:
    """A folder with a run of each class, and below `cut NAME` a copy of it after four batches, as a kill leaves it."""
    folder = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["cyclegan-train"])
        patch.delenv("PL_GLOBAL_SEED", raising=False)
        for name in ("ImageDataModule", "OwnData", "Noise"):
            copy = snapshot_at([CUT], folder / name, folder / f"cut {name}")
            train(replaced(composed(folder / name, root, *OFTEN, *copy), **arguments(name, folder)))
    return folder


def cut(runs: Path, name: str, folder: Path) -> Path:
    """Copy the run that was cut, for a test to resume it."""
    return Path(shutil.copytree(runs / f"cut {name}" / CUT, folder / "cut"))


@pytest.mark.parametrize("name", ["OwnData", "Noise"])
def test_a_data_module_of_another_class_trains_and_resumes(runs: Path, root: Path, tmp_path: Path, name: str) -> None:
    run = cut(runs, name, tmp_path)
    assert name not in read_checkpoint(run), "its class is named in the configuration only"
    train(replaced(composed(run, root, *OFTEN, "resume=auto"), **arguments(name, runs)))
    assert_same(run, runs / name)


@pytest.mark.parametrize("name", ["OwnData", "ImageDataModule"])
def test_a_checkpoint_with_the_earlier_key_of_the_data_is_resumed(
    runs: Path, root: Path, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lightning restores a state that is keyed by the class's name; it must not be restored twice."""
    run = cut(runs, name, tmp_path)
    old_style(run / "checkpoints" / "last.ckpt")
    positions = []
    restore = ImageDataModule.load_state_dict

    def load(self: ImageDataModule, state: dict[str, Any]) -> None:
        positions.append(state["position"])
        restore(self, state)

    monkeypatch.setattr(ImageDataModule, "load_state_dict", load)
    train(replaced(composed(run, root, *OFTEN, "resume=auto"), **arguments(name, runs)))
    assert positions == [8], "four batches of two"
    assert_same(run, runs / name)


@pytest.mark.parametrize("make", [lambda path: None, old_style], ids=["now", "earlier"])
def test_a_run_of_a_subclass_is_evaluated(runs: Path, tmp_path: Path, make: Any) -> None:
    run = Path(shutil.copytree(runs / "OwnData", tmp_path / "run"))
    last = run / "checkpoints" / "last.ckpt"
    make(last)
    words = ("--features", "none", "--perceptual", "none", "--device", "cpu", "--output", str(tmp_path / "out"))
    evaluate(["--checkpoint", str(last), *words])
    with (tmp_path / "out" / "per_image.csv").open(newline="") as file:
        assert len(list(csv.DictReader(file))) == 4, "two test images in two directions"


def test_missing_methods_of_a_data_module_are_named_before_training(root: Path, tmp_path: Path) -> None:
    config = composed(tmp_path / "run", root, *OFTEN)
    config.data, config.model.channels = {"_target_": "pytorch_lightning.LightningDataModule"}, Noise.channels
    with pytest.raises(RunError, match=r"LightningDataModule, which lacks channels, .*images_seen.*TrainingData"):
        train(config)
