"""What is promised of samples, held for images from everywhere and of every kind."""

import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image
from torch import Tensor

from cyclegan.data.augment import Affine, ColourJitter
from cyclegan.data.datamodule import UnpairedData
from cyclegan.data.domains import Domain
from cyclegan.errors import DataError

pytestmark = [
    pytest.mark.filterwarnings("ignore:This process.*is multi-threaded:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:This DataLoader will create 4 worker"),  # more than there are processors
]


def noise(seed: int, channels: int = 3, height: int = 11, width: int = 13) -> Any:
    return np.random.default_rng(seed).integers(0, 256, (height, width, channels), dtype=np.uint8)


def folders(root: Path) -> dict[str, Any]:
    for number, domain in enumerate("AB"):
        (root / f"train{domain}").mkdir()
        for i in range(7 - number):
            Image.fromarray(noise(10 * number + i)).save(root / f"train{domain}" / f"{i}.png")
    return {}


def shards(root: Path) -> dict[str, Any]:
    folders(root)
    for domain, count in (("A", 7), ("B", 6)):
        for shard in range(3):
            with tarfile.open(root / f"{domain}-{shard}.tar", "w") as tar:
                for i in range(shard, count, 3):
                    tar.add(root / f"train{domain}" / f"{i}.png", f"{i}.png")
    return {"domains": {domain: Domain(train=f"{domain}-{{0..2}}.tar") for domain in "AB"}}


def pairs(root: Path) -> dict[str, Any]:
    (root / "train").mkdir()
    for i in range(7):
        Image.fromarray(noise(i, width=26)).save(root / "train" / f"{i}.png")
    return {"domains": {"A": Domain(half="left"), "B": Domain(half="right")}}


def deep_and_grey(root: Path) -> dict[str, Any]:
    """Seven bands of 16 bits, and floating-point grey."""
    for number, domain in enumerate("AB"):
        (root / f"train{domain}").mkdir()
        for i in range(5):
            if domain == "A":
                pixels = noise(i, 7).astype(np.uint16) * 250
                tifffile.imwrite(root / "trainA" / f"{i}.tif", pixels, photometric="minisblack", planarconfig="contig")
            else:
                np.save(root / "trainB" / f"{i}.npy", noise(10 * number + i, 1)[..., 0] / np.float32(255))
    return {"domains": {"A": Domain(channels=7), "B": Domain(channels=1, range=[0, 1])}}


def listed_and_moving(root: Path) -> dict[str, Any]:
    """A list for one domain and a pattern for the other, with every augmentation."""
    folders(root)
    (root / "a.txt").write_text("".join(f"trainA/{i}.png\n" for i in (4, 1, 6)))
    domains = {"A": Domain(train="a.txt"), "B": Domain(train="trainB/[0-3].png")}
    return {"domains": domains, "affine": Affine(10, 0.1, 0.1, 5), "jitter": ColourJitter(0.2, 0.2, 0.2, 0.1)}


SOURCES = [folders, shards, pairs, deep_and_grey, listed_and_moving]


def data_of(root: Path, arguments: dict[str, Any], **more: Any) -> UnpairedData:
    given: dict[str, Any] = {"load_size": 10, "crop_size": 8, "batch_size": 2, "num_workers": 0, "seed": 5}
    data = UnpairedData(root, **given | arguments | more)
    data.setup()
    return data


def epochs(data: UnpairedData, count: int = 2) -> list[dict[str, Tensor]]:
    loader = data.train_dataloader()
    return [batch for _ in range(count) for batch in loader]


def equal(one: list[dict[str, Tensor]], other: list[dict[str, Tensor]]) -> bool:
    return all(a.keys() == b.keys() and all(a[d].equal(b[d]) for d in a) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("source", SOURCES)
def test_no_sample_differs_between_workers_runs_and_caches(
    source: Callable[[Path], dict[str, Any]], tmp_path: Path
) -> None:
    arguments = source(tmp_path)
    alone = epochs(data_of(tmp_path, arguments))
    for batch in alone:
        for images in batch.values():
            assert images.dtype == torch.float32
            assert images.shape[2:] == (8, 8)
            assert -1 <= images.min() < images.max() <= 1
    for more in ({}, {"num_workers": 1}, {"num_workers": 4}, {"cache": "ram"}, {"cache": "disk", "num_workers": 1}):
        assert equal(epochs(data_of(tmp_path, arguments, **more)), alone), more
    assert not equal(epochs(data_of(tmp_path, arguments, seed=6)), alone)


@pytest.mark.parametrize("source", SOURCES)
def test_a_run_goes_on_in_the_middle_of_an_epoch(source: Callable[[Path], dict[str, Any]], tmp_path: Path) -> None:
    arguments = source(tmp_path)
    whole = epochs(data_of(tmp_path, arguments))
    first = data_of(tmp_path, arguments)
    iterator = iter(first.train_dataloader())
    next(iterator)
    resumed = data_of(tmp_path, arguments, num_workers=1)
    resumed.load_state_dict(first.state_dict())
    assert equal(epochs(resumed), whole[1:])


def test_shards_hold_the_images_of_folders_each_once_in_a_pass(tmp_path: Path) -> None:
    arguments = shards(tmp_path)
    plain = {"flip": False, "crop_size": 10, "batch_size": 1}

    def seen(arguments: dict[str, Any]) -> list[bytes]:
        data = data_of(tmp_path, arguments, **plain)
        return [batch["A"].numpy().tobytes() for batch in epochs(data, 1)]

    from_shards, from_files = seen(arguments), seen({})
    assert sorted(from_shards) == sorted(from_files)
    assert len(set(from_shards)) == 7


def test_halves_are_those_of_one_file_and_come_in_orders_of_their_own(tmp_path: Path) -> None:
    data = data_of(tmp_path, pairs(tmp_path), flip=False, load_size=None, crop_size=11, batch_size=1)
    parts = {domain: [] for domain in "AB"}  # type: dict[str, list[bytes]]
    for batch in epochs(data, 1):
        for domain, images in batch.items():
            parts[domain].append(images[0, :, :, 1:-1].numpy().tobytes())
    assert data.counts == {"trainA": 7, "trainB": 7}
    assert len(set(parts["A"]) | set(parts["B"])) == 14


def test_a_range_is_that_of_the_domain(tmp_path: Path) -> None:
    data = data_of(tmp_path, deep_and_grey(tmp_path), flip=False, load_size=None, crop_size=11, batch_size=1)
    shown = {domain: torch.cat([batch[domain] for batch in epochs(data, 1)]) for domain in "AB"}
    assert shown["A"].shape[1] == 7
    assert shown["A"].max() == pytest.approx(255 * 250 / 32767.5 - 1)  # of 65535
    assert shown["B"].max() == pytest.approx(1)
    formats = data.pixel_formats
    assert (formats["A"].dtype, formats["B"].dtype) == ("uint16", "float32")


def test_whole_images_of_several_sizes_come_one_by_one(tmp_path: Path) -> None:
    for domain in "AB":
        (tmp_path / f"train{domain}").mkdir()
        for i, width in enumerate((9, 13, 17)):
            Image.fromarray(noise(i, width=width)).save(tmp_path / f"train{domain}" / f"{i}.png")
    whole: dict[str, Any] = {"load_size": None, "crop_size": None}
    sizes = {tuple(batch["A"].shape) for batch in epochs(data_of(tmp_path, {}, batch_size=1, **whole), 1)}
    assert sizes == {(1, 3, 8, 8), (1, 3, 8, 12), (1, 3, 8, 16)}
    sample = data_of(tmp_path, {}, **whole).sample_batch(3)
    assert sample["A"].shape == (3, 3, 8, 8), "cut to the smallest"
    for num_workers in (0, 1):
        with pytest.raises(DataError, match=r"of domain [AB] in one batch are (\d+×8, )+\d+×8, .*data\.batch_size=1"):
            epochs(data_of(tmp_path, {}, num_workers=num_workers, batch_size=3, **whole))


def test_ten_images_beside_many(tmp_path: Path) -> None:
    """An epoch is as long as the larger domain, and the few are used equally often."""
    for domain, count in (("A", 2), ("B", 50)):
        (tmp_path / f"train{domain}").mkdir()
        for i in range(count):
            Image.new("RGB", (10, 10), (i, 0, 0)).save(tmp_path / f"train{domain}" / f"{i}.png")
    data = data_of(tmp_path, {}, batch_size=1)
    found = [(int(b["A"][0, 0, 0, 0] * 127.5 + 128), int(b["B"][0, 0, 0, 0] * 127.5 + 128)) for b in epochs(data, 1)]
    assert len(found) == data.epoch_length == 50
    assert [a for a, _ in found].count(0) == 25
    assert sorted(b for _, b in found) == list(range(50))
