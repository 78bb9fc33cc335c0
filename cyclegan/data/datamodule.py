"""The data module: images of several domains, for training and validation."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.utils.data import Dataset

from cyclegan.data.augment import Affine
from cyclegan.data.dataset import Switched, TrainingSamples
from cyclegan.data.domains import Domain, find_splits
from cyclegan.data.draw import DRAWS, Draw
from cyclegan.data.file_list import ImageSource
from cyclegan.data.held_out import HeldOut
from cyclegan.data.loader import Batch, PositionLoader, PositionSampler, Sample, scaled
from cyclegan.data.reader import DomainImages, find_types, open_caches
from cyclegan.data.selection import PAIRINGS, Fingerprint, fingerprint, require_same_files
from cyclegan.data.transforms import TrainingView
from cyclegan.errors import DataError
from cyclegan.images import MAX_PIXELS, PixelFormat


class ImageDataModule(pl.LightningDataModule):
    """Images of each domain for training, validation and testing; see docs/data.md.

    Training steps receive batches that map each domain to images (N, C, crop_size, crop_size) in [-1, 1]; the loader
    yields those of integers as stored. Validation and test images are optional.

    Args:
        root: folder of the data set; holds trainA, trainB and so on for domains without sources of their own.
        load_size: images are resized to this first, as `resize` says; None keeps their size.
        crop_size: height and width of the random crop; None: whole images.
        crop_epochs: number of epochs with a random crop, each of `epoch_length` samples; later samples are resized to
            `crop_size` directly, as in CUT's authors' decay epochs. None: all epochs have the crop.
        flip: whether to mirror half of the images, chosen at random.
        batch_size: images of each domain in a batch of one device.
        num_workers: processes that decode images.
        seed: seed of the order and the augmentations.
        source: function of the root that draws or downloads missing images before training, in one process.
        domains: the domains by name; None: A and B, RGB.
        draw: which images form a sample: "independent", one of each domain; "aligned", those of the same name or the
            halves of one file, with one crop and flip; or a function of (images by domain, seed) that returns a `Draw`.
        resize: "stretch" to a square, or keep proportions: "width" or "short_side" becomes `load_size`.
        affine: random affine transform.
        jitter: random colour changes: a function of (image, rng).
        size_multiple: with `crop_size` None, height and width are cropped to multiples of this.
        val_share: share of the training images that is set aside for validation if there are no validation images.
        max_images: number of training images of each domain to use at most, chosen by their names.
        on_error: "raise" at an unreadable image, or "skip" it: the next one of its domain replaces it.
        header_checks: number of headers of each domain to read before training, with on_error "raise".
        max_pixels: largest width × height that is decoded.
        reducing_gap: large JPEGs are decoded at a reduced size, at least this many times `load_size`; None: full size.
        cache: "disk" keeps decoded and resized training images in files for all workers, devices and runs; None.
        cache_dir: folder of the cache; None: `.cache` below the root.
        pairing: which held-out images are paired ground truth: of the same name ("by_name"), halves ("auto"), "none".

    Raises:
        DataError: an argument is out of range.
    """

    def __init__(
        self,
        root: str | Path | None = None,
        load_size: int | None = 286,
        crop_size: int | None = 256,
        crop_epochs: int | None = None,
        flip: bool = True,
        batch_size: int = 1,
        num_workers: int = 2,
        seed: int = 0,
        source: Callable[[Path], object] | None = None,
        domains: Mapping[str, Domain] | None = None,
        draw: str | Callable[[Mapping[str, ImageSource], int], Draw] = "independent",
        resize: str = "stretch",
        affine: Affine | None = None,
        jitter: Callable[[Tensor, np.random.Generator], Tensor] | None = None,
        size_multiple: int = 4,
        val_share: float = 0.0,
        max_images: int | None = None,
        on_error: str = "raise",
        header_checks: int = 10_000,
        max_pixels: int = MAX_PIXELS,
        reducing_gap: float | None = 2.0,
        cache: str | None = None,
        cache_dir: str | Path | None = None,
        pairing: str = "auto",
    ) -> None:
        super().__init__()
        self.root = None if root is None else Path(root).expanduser()
        self.view = TrainingView(load_size, crop_size, flip, resize, affine, jitter, size_multiple)
        self.crop_size = crop_size
        self.crop_epochs = crop_epochs
        self.size_multiple = size_multiple
        self.batch_size = batch_size
        self.num_workers = num_workers
        self.seed = seed
        self.source = source
        self.domains = {"A": Domain(), "B": Domain()} if domains is None else dict(domains)
        self.draw = draw
        self.val_share = val_share
        self.max_images = max_images
        self.on_error = on_error
        self.header_checks = header_checks
        self.max_pixels = max_pixels
        self.reducing_gap = reducing_gap
        self.cache = cache
        self.cache_dir = Path(self.root or ".", ".cache") if cache_dir is None else Path(cache_dir).expanduser()
        self.pairing = pairing
        for name, value, words in (
            ("on_error", on_error, ("raise", "skip")), ("pairing", pairing, PAIRINGS), ("draw", draw, DRAWS),
            ("cache", cache, ("disk", "null")),
        ):  # fmt: skip
            if isinstance(value, str) and value not in words:
                raise DataError(f"data.{name} is {value!r}; available: {', '.join(words)}")
        for name, number, least in (
            ("batch_size", batch_size, 1), ("num_workers", num_workers, 0), ("header_checks", header_checks, 0),
            ("max_pixels", max_pixels, 1), ("reducing_gap", reducing_gap, 1), ("max_images", max_images, 1),
            ("crop_epochs", crop_epochs, 0),
        ):  # fmt: skip
            if number is not None and number < least:
                raise DataError(f"data.{name} is {number}; it must be at least {least}")
        if crop_epochs is not None and crop_size is None:
            raise DataError(f"data.crop_epochs is {crop_epochs}, but data.crop_size is null: set data.crop_epochs=null")
        self._splits: dict[str, dict[str, DomainImages]] = {}
        self._loader: PositionLoader | None = None
        self._resume_from: dict[str, int] = {}

    def prepare_data(self) -> None:
        """Draw or download missing images with `source`."""
        if self.source is not None and self.root is not None:
            self.source(self.root)

    def setup(self, stage: str | None = None) -> None:
        """Find the images, once.

        Raises:
            DataError: training images are missing or cannot be used.
        """
        self._loader = None  # of an earlier fit
        if self._splits:
            return
        found = find_splits(self.root, self.domains, self.val_share, self.max_images)
        self._splits = {
            split: {domain: self._reader(domain, source) for domain, source in sources.items()}
            for split, sources in found.items()
        }
        training = self._splits["train"]
        is_first = self.trainer is None or self.trainer.is_global_zero
        if self.on_error == "raise" and self.header_checks and is_first:
            for split, each in self._splits.items():
                for domain, images in each.items():
                    images.check_headers(self.header_checks, f"{split}{domain}")
        find_types(self._splits)
        make_draw = DRAWS[self.draw] if isinstance(self.draw, str) else self.draw
        draw = make_draw({domain: images.images for domain, images in training.items()}, self.seed)
        self._samples = self._training_samples(training, draw, is_first)
        if self.crop_epochs is not None and self.crop_size is not None:
            whole = {domain: images.at_size(self.crop_size) for domain, images in training.items()}
            later = self._training_samples(whole, draw, is_first)
            self._samples = Switched(self._samples, later, self.crop_epochs * self.epoch_length)

    def _training_samples(self, images: Mapping[str, DomainImages], draw: Draw, is_first: bool) -> Dataset[Sample]:
        if self.cache == "disk":
            open_caches(images, self.cache_dir, is_first)
        return TrainingSamples(images, draw, self.seed, skip=self.on_error == "skip")

    def _reader(self, domain: str, images: ImageSource) -> DomainImages:
        given = self.domains[domain]
        return DomainImages(images, given.pixel_format, given.half, self.view, self.reducing_gap, self.max_pixels)

    @property
    def counts(self) -> dict[str, int]:
        """Number of images of each split and domain: {"trainA": 1067, ...}."""
        return {f"{split}{name}": len(each) for split, found in self._splits.items() for name, each in found.items()}

    @property
    def channels(self) -> dict[str, int]:
        """Number of channels of each domain, as the networks see them."""
        return {name: domain.channels for name, domain in self.domains.items()}

    @property
    def pixel_formats(self) -> dict[str, PixelFormat]:
        """Channels, type and value range of each domain's training images."""
        return {domain: images.pixel_format for domain, images in self._splits["train"].items()}

    @property
    def epoch_length(self) -> int:
        """Images of each domain in an epoch: the number of images of the largest domain."""
        return max(len(images) for images in self._splits["train"].values())

    @property
    def images_seen(self) -> int:
        """Images of each domain used for training so far, on all devices together."""
        return self._resume_from.get("position", 0) if self._loader is None else self._loader.images_seen

    def held_out(self, at_most: int | None = None) -> HeldOut | None:
        """Return validation images, else test images, up to `at_most` of each domain; None if a domain has none."""
        for split in ("val", "test"):
            if self._splits[split].keys() == self.domains.keys():
                return HeldOut(split, self._splits[split], self.on_error, at_most, self.pairing)
        return None

    def find_held_out(
        self, splits: Sequence[str], pixel_formats: Mapping[str, PixelFormat], at_most: int | None = None
    ) -> HeldOut:
        """Return the images of the first of these splits that has images of every domain; needs no `setup`.

        Args:
            splits: names of splits: "val", "test", "train".
            pixel_formats: `pixel_formats` of the run; its training images may be missing now.
            at_most: number of images of each domain to use at most.

        Raises:
            DataError: there is no such split.
        """
        for split in splits:
            found = find_splits(self.root, self.domains, self.val_share, self.max_images, only=split)[split]
            if found.keys() == self.domains.keys():
                images = {domain: self._reader(domain, each) for domain, each in found.items()}
                for domain, each in images.items():
                    each.pixel_format = pixel_formats[domain]
                return HeldOut(split, images, self.on_error, at_most, self.pairing)
        raise DataError(f"there are no {' or '.join(splits)} images of every domain in {self.root or Path.cwd()}")

    def describe(self) -> list[str]:
        """Return lines about the images for the log."""
        counts = ", ".join(f"{name} {count}" for name, count in self.counts.items())
        lines = [f"images    {counts}" + (f" from {self.root}" if self.root else "")]
        lines += [images.describe(domain) for domain, images in self._splits["train"].items()]
        found = [images for domains in self._splits.values() for images in domains.values()]
        if others := sum((images.images.skipped for images in found), Counter[str]()):
            lines.append(f"others    skipped: {', '.join(f'{kind} ×{n}' for kind, n in others.most_common(8))}")
        if (measured := self.held_out()) and (paired := measured.describe_pairing("data.pairing=by_name")):
            lines.append(f"pairing   {paired}")
        shown = {domain: self._preview_split(domain) for domain in self.domains}
        if other := ", ".join(f"{split}{domain}" for domain, split in shown.items() if split != "test"):
            lines.append(f"samples   show {other}, in place of test images")
        return lines

    def _preview_split(self, domain: str) -> str:
        return next(split for split in ("test", "val", "train") if domain in self._splits[split])

    def train_dataloader(self) -> PositionLoader:
        """Return training batches of this device; called again within a fit, they continue with a new epoch."""
        rank, world_size = (0, 1) if self.trainer is None else (self.trainer.global_rank, self.trainer.world_size)
        sampler = PositionSampler(self.epoch_length, self.batch_size, rank, world_size)
        loader = PositionLoader(
            self._samples,
            sampler,
            num_workers=self.num_workers,
            persistent_workers=self.num_workers > 0,
            pin_memory=torch.cuda.is_available(),
        )
        if self._resume_from:
            loader.load_state_dict(self._resume_from)
            self._resume_from = {}
        elif self._loader is not None:  # trainer.reload_dataloaders_every_n_epochs
            sampler.position = sampler.epoch_start = self._loader.images_seen
        self._loader = loader
        return loader

    def on_after_batch_transfer(self, batch: Mapping[str, Tensor], dataloader_idx: int) -> Batch:
        """Scale a batch to [-1, 1] on the device; integers are a quarter or a half of the bytes to transfer."""
        images = scaled(batch, self.pixel_formats)
        return images if self.trainer is None else self.trainer.precision_plugin.convert_input(images)

    def last_batch_files(self) -> dict[str, list[str]]:
        """Return the files of each domain in this process's last batch; empty before the first."""
        return {} if self._loader is None else self._loader.last_files

    def end_epoch(self) -> None:
        """End the epoch early: the next one, in this run or a resumed one, begins with new images."""
        if self._loader is not None:
            self._loader.end_epoch()

    def state_dict(self) -> dict[str, Any]:
        """Return the position of training and a fingerprint of the training images, for the checkpoint.

        Lightning also saves the loader's state, but restores it only in a run that stopped within an epoch.
        """
        progress = self._resume_from if self._loader is None else self._loader.state_dict()
        return {**progress, "files": self._fingerprints} if progress else {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue from a state; called after `setup` and before `train_dataloader`.

        Raises:
            DataError: the training images are not those of the state.
        """
        if files := state_dict.get("files"):  # checkpoints of earlier versions have none
            require_same_files(files, self._fingerprints)
        self._resume_from = {key: value for key, value in state_dict.items() if key != "files"}

    @cached_property
    def _fingerprints(self) -> dict[str, Fingerprint]:
        return {domain: fingerprint(each.images) for domain, each in self._splits["train"].items()}

    def sample_batch(self, count: int) -> Batch:
        """Return the first `count` test images of each domain, at training's scale.

        A domain without test images shows validation or training images instead.

        Raises:
            ImageError: an image cannot be read.
        """
        batch = {}
        for domain in self.domains:
            split = self._preview_split(domain)
            batch[domain] = HeldOut(split, self._splits[split], self.on_error).first(domain, count)
        return batch
