"""Guarantees of training samples, for images of every kind of source and type."""

import pickle
import tarfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

from cyclegan.data.augment import Affine, ColourJitter
from cyclegan.data.datamodule import ImageDataModule
from cyclegan.data.domains import Domain, find_splits
from cyclegan.errors import DataError
from tests.data.image_folders import data_of, epochs, equal, image_folder, noise

pytestmark = [
    pytest.mark.filterwarnings("ignore:This process.*is multi-threaded:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:This DataLoader will create 2 worker"),  # more than there are processors
]


def folders(root: Path) -> dict[str, Any]:
    image_folder(root, 11, 13, trainA=7, trainB=6)
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
        Image.fromarray(noise(i, 11, 26)).save(root / "train" / f"{i}.png")
    return {"domains": {"A": Domain(half="left"), "B": Domain(half="right")}}


def deep_and_grey(root: Path) -> dict[str, Any]:
    """Seven bands of 16 bits, and floating-point grey."""
    for number, domain in enumerate("AB"):
        (root / f"train{domain}").mkdir()
        for i in range(5):
            if domain == "A":
                pixels = noise(i, 11, 13, 7).astype(np.uint16) * 250
                tifffile.imwrite(root / "trainA" / f"{i}.tif", pixels, photometric="minisblack", planarconfig="contig")
            else:
                np.save(root / "trainB" / f"{i}.npy", noise(10 * number + i, 11, 13, 1)[..., 0] / np.float32(255))
    return {"domains": {"A": Domain(channels=7), "B": Domain(channels=1, range=[0, 1])}}


def listed_and_moving(root: Path) -> dict[str, Any]:
    """A list for one domain and a pattern for the other, with every augmentation."""
    folders(root)
    (root / "a.txt").write_text("".join(f"trainA/{i}.png\n" for i in (4, 1, 6)))
    domains = {"A": Domain(train="a.txt"), "B": Domain(train="trainB/[0-3].png")}
    return {"domains": domains, "affine": Affine(10, 0.1, 0.1, 5), "jitter": ColourJitter(0.2, 0.2, 0.2, 0.1)}


SOURCES = [folders, shards, pairs, deep_and_grey, listed_and_moving]


def of(root: Path, arguments: dict[str, Any], **more: Any) -> ImageDataModule:
    return data_of(root, **{"load_size": 10, "crop_size": 8, "seed": 5} | arguments | more)


@pytest.mark.parametrize("source", SOURCES)
def test_a_resumed_run_sees_the_same_samples_of_every_source(
    source: Callable[[Path], dict[str, Any]], tmp_path: Path
) -> None:
    arguments = source(tmp_path)
    first = of(tmp_path, arguments)
    undisturbed = epochs(first)
    for batch in undisturbed:
        for images in batch.values():
            assert images.dtype == torch.float32
            assert images.shape[2:] == (8, 8)
            assert -1 <= images.min() < images.max() <= 1
    stopped = of(tmp_path, arguments)
    next(iter(stopped.train_dataloader()))
    resumed = of(tmp_path, arguments)
    resumed.load_state_dict(stopped.state_dict())
    assert equal(epochs(resumed), undisturbed[1:])


@pytest.mark.parametrize(("source", "draw"), [*((source, "independent") for source in SOURCES), (pairs, "aligned")])
def test_samples_do_not_depend_on_workers_and_caches(
    source: Callable[[Path], dict[str, Any]], draw: str, tmp_path: Path
) -> None:
    arguments = source(tmp_path)
    alone = epochs(of(tmp_path, arguments, draw=draw))
    for more in ({"num_workers": 2}, {"cache": "disk"}, {"cache": "disk", "num_workers": 2}):
        assert equal(epochs(of(tmp_path, arguments, draw=draw, **more)), alone), more
    assert not equal(epochs(of(tmp_path, arguments, draw=draw, seed=6)), alone)


@pytest.mark.parametrize("source", SOURCES)
def test_a_source_is_read_by_several_threads_and_pickled_after_reading(
    source: Callable[[Path], dict[str, Any]], tmp_path: Path
) -> None:
    domains = source(tmp_path).get("domains", {"A": Domain(), "B": Domain()})
    for images in find_splits(tmp_path, domains)["train"].values():
        files = [images.open(index) for index in range(len(images))]
        for each in (images, pickle.loads(pickle.dumps(images))):
            with ThreadPoolExecutor(4) as pool:
                assert list(pool.map(each.open, range(len(images)))) == files


def test_shards_hold_the_images_of_folders_each_once_in_a_pass(tmp_path: Path) -> None:
    arguments = shards(tmp_path)
    plain = {"flip": False, "crop_size": 10, "batch_size": 1}

    def seen(arguments: dict[str, Any]) -> list[bytes]:
        data = of(tmp_path, arguments, **plain)
        return [batch["A"].numpy().tobytes() for batch in epochs(data, 1)]

    from_shards, from_files = seen(arguments), seen({})
    assert sorted(from_shards) == sorted(from_files)
    assert len(set(from_shards)) == 7


def test_halves_of_a_file_are_images_of_two_domains(tmp_path: Path) -> None:
    data = of(tmp_path, pairs(tmp_path), flip=False, load_size=None, crop_size=11, batch_size=1)
    parts = {domain: [] for domain in "AB"}  # type: dict[str, list[bytes]]
    for batch in epochs(data, 1):
        for domain, images in batch.items():
            parts[domain].append(images[0, :, :, 1:-1].numpy().tobytes())
    assert data.counts == {"trainA": 7, "trainB": 7}
    assert len(set(parts["A"]) | set(parts["B"])) == 14


def test_each_domain_has_its_range(tmp_path: Path) -> None:
    data = of(tmp_path, deep_and_grey(tmp_path), flip=False, load_size=None, crop_size=11, batch_size=1)
    shown = {domain: torch.cat([batch[domain] for batch in epochs(data, 1)]) for domain in "AB"}
    assert shown["A"].shape[1] == 7
    assert shown["A"].max() == pytest.approx(255 * 250 / 32767.5 - 1)  # of 65535
    assert shown["B"].max() == pytest.approx(1)
    formats = data.pixel_formats
    assert (formats["A"].dtype, formats["B"].dtype) == ("uint16", "float32")


def test_whole_images_of_several_sizes_need_batches_of_one(tmp_path: Path) -> None:
    for domain in "AB":
        (tmp_path / f"train{domain}").mkdir()
        for i, width in enumerate((9, 13, 17)):
            Image.fromarray(noise(i, 11, width)).save(tmp_path / f"train{domain}" / f"{i}.png")
    whole: dict[str, Any] = {"load_size": None, "crop_size": None}
    sizes = {tuple(batch["A"].shape) for batch in epochs(of(tmp_path, {}, batch_size=1, **whole), 1)}
    assert sizes == {(1, 3, 8, 8), (1, 3, 8, 12), (1, 3, 8, 16)}
    sample = of(tmp_path, {}, **whole).sample_batch(3)
    assert sample["A"].shape == (3, 3, 8, 8), "cut to the smallest"
    for num_workers in (0, 1):
        with pytest.raises(DataError, match=r"of domain [AB] in one batch are (\d+×8, )+\d+×8, .*data\.batch_size=1"):
            epochs(of(tmp_path, {}, num_workers=num_workers, batch_size=3, **whole))
