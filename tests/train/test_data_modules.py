"""Data modules of other classes than ImageDataModule train, resume bit for bit, and are evaluated."""

import csv
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
from tests.tiny_run import StoppedError, composed, differences, metrics, read_checkpoint, stop_at

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


@pytest.mark.parametrize("name", ["OwnData", "Noise"])
def test_a_data_module_of_another_class_trains_and_resumes(root: Path, tmp_path: Path, name: str) -> None:
    data = {"_target_": f"{__name__}.{name}"} | ({"cache_dir": str(tmp_path)} if name == "Noise" else {})
    train(replaced(composed(tmp_path / "whole", root, *OFTEN), **data))
    with pytest.raises(StoppedError):
        train(replaced(composed(tmp_path / "cut", root, *OFTEN, *stop_at("on_train_batch_start", 4)), **data))
    assert name not in read_checkpoint(tmp_path / "cut"), "its class is named in the configuration only"
    train(replaced(composed(tmp_path / "cut", root, *OFTEN, "resume=auto"), **data))
    assert_same(tmp_path / "cut", tmp_path / "whole")


@pytest.mark.parametrize("name", ["OwnData", "ImageDataModule"])
def test_a_checkpoint_with_the_earlier_key_of_the_data_is_resumed(
    root: Path, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lightning restores a state that is keyed by the class's name; it must not be restored twice."""
    module = __name__ if name == "OwnData" else ImageDataModule.__module__
    data = {"_target_": f"{module}.{name}"}
    train(replaced(composed(tmp_path / "whole", root, *OFTEN), **data))
    with pytest.raises(StoppedError):
        train(replaced(composed(tmp_path / "cut", root, *OFTEN, *stop_at("on_train_batch_start", 4)), **data))
    old_style(tmp_path / "cut" / "checkpoints" / "last.ckpt")
    positions = []
    restore = ImageDataModule.load_state_dict

    def load(self: ImageDataModule, state: dict[str, Any]) -> None:
        positions.append(state["position"])
        restore(self, state)

    monkeypatch.setattr(ImageDataModule, "load_state_dict", load)
    train(replaced(composed(tmp_path / "cut", root, *OFTEN, "resume=auto"), **data))
    assert positions == [8], "four batches of two"
    assert_same(tmp_path / "cut", tmp_path / "whole")


@pytest.mark.parametrize("make", [lambda path: None, old_style], ids=["now", "earlier"])
def test_a_run_of_a_subclass_is_evaluated(root: Path, tmp_path: Path, make: Any) -> None:
    train(replaced(composed(tmp_path / "run", root, *OFTEN), _target_=f"{__name__}.OwnData"))
    last = tmp_path / "run" / "checkpoints" / "last.ckpt"
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
