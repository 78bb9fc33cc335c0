"""Folders of small random images, and the batches of a data module, for the tests of the data package."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from cyclegan.data.datamodule import ImageDataModule
from cyclegan.data.loader import Batch


def noise(seed: int, height: int = 10, width: int = 9, channels: int = 3) -> Any:
    """Random uint8 pixels (height, width, channels)."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, channels), dtype=np.uint8)


def image_folder(root: Path, height: int = 10, width: int = 9, **counts: int) -> Path:
    """Write PNGs into folders of the root: trainA=7 writes trainA/0.png to 6.png, all of different pixels."""
    for number, (folder, count) in enumerate(counts.items()):
        (root / folder).mkdir(parents=True, exist_ok=True)
        for i in range(count):
            Image.fromarray(noise(100 * number + i, height, width)).save(root / folder / f"{i}.png")
    return root


def touch(root: Path, *names: str) -> None:
    """Create empty files below a folder."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def data_of(root: Path, **arguments: Any) -> ImageDataModule:
    """Set up a data module: 8 × 8, crops of 6 × 6, batches of two, no workers, unless the arguments say otherwise."""
    data = ImageDataModule(root, **{"load_size": 8, "crop_size": 6, "batch_size": 2, "num_workers": 0} | arguments)
    data.prepare_data()
    data.setup()
    return data


def epochs(data: ImageDataModule, count: int = 2) -> list[Batch]:
    """All batches of the next epochs, as training steps get them."""
    loader = data.train_dataloader()
    return [data.on_after_batch_transfer(batch, 0) for _ in range(count) for batch in loader]


def equal(one: list[Batch], other: list[Batch]) -> bool:
    """Whether two lists of batches are equal to the bit."""
    return all(a.keys() == b.keys() and all(a[d].equal(b[d]) for d in a) for a, b in zip(one, other, strict=True))


def images_of(batches: list[Batch], domain: str) -> list[bytes]:
    """The images of a domain, one by one."""
    return [image.numpy().tobytes() for image in torch.cat([batch[domain] for batch in batches])]
