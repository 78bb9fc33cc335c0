"""Unpaired images of several domains, for training: the data module."""

import dataclasses
import logging
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor

from cyclegan.data import shelf
from cyclegan.data.augment import Affine
from cyclegan.data.cache import Plan, require_room
from cyclegan.data.dataset import ForgivingImages, UnpairedImages
from cyclegan.data.description import describe
from cyclegan.data.domains import Domain, find_splits
from cyclegan.data.file_list import ImageSource
from cyclegan.data.held_out import HeldOut, held_out
from cyclegan.data.loader import Batch, PositionLoader
from cyclegan.data.preflight import look_at, stored_type
from cyclegan.data.reader import Prepared
from cyclegan.data.sampler import PositionSampler
from cyclegan.data.selection import PAIRINGS, Fingerprint, fingerprint, require_same_files
from cyclegan.data.shown import shown
from cyclegan.data.transforms import TrainingView
from cyclegan.errors import DataError
from cyclegan.images import MAX_PIXELS, PixelFormat

log = logging.getLogger(__name__)

SAMPLES = {"raise": UnpairedImages, "skip": ForgivingImages}


class UnpairedData(pl.LightningDataModule):
    """Images of each domain for training, and for validation and testing where there are any; see docs/data.md.

    Batches map each domain to images (N, C, crop_size, crop_size) in [-1, 1].

    Args:
        root: folder of the data set; holds trainA, trainB and so on for domains that name no sources of their own.
        load_size: images are resized to this first, as `resize` says; None leaves them as they are.
        crop_size: height and width of the random crop; None: whole images.
        flip: whether to flip every other image.
        batch_size: images of each domain in a batch of one device.
        num_workers: processes that decode images.
        seed: of order and augmentation.
        source: called with the root before training, on one process: draws or fetches what is missing there.
        domains: by name; None: A and B, RGB.
        resize: "stretch" to a square, or proportions kept: "width" or "short_side" become `load_size`.
        affine: small random movements.
        jitter: random changes of colours: a function of (image, rng).
        size_multiple: with `crop_size` None, height and width are cut to multiples of this.
        val_share: part of the training images that are set aside for validation where there are no others.
        max_images: the training images of each domain that are used at most, chosen by their names.
        on_error: "raise" at an image that cannot be used, or "skip" it: the next one of its domain stands in.
        header_checks: how many headers of each domain are read before training, with on_error "raise".
        max_pixels: width × height of the largest image that is decoded.
        reducing_gap: JPEGs are decoded smaller than they are, as long as they stay so many times as large as they
            have to become; None: never.
        cache: "none", or where decoded, resized training images are kept for all workers and devices: "ram", "disk".
        cache_dir: folder of the disk cache; None: `.cache` below the root.
        pairing: which held-out images are each other's paired ground truth: "by_name", those of the same name;
            "auto", the halves of side-by-side images alone; "none".

    Raises:
        DataError: an argument has a value that means nothing.
    """

    def __init__(
        self,
        root: str | Path | None = None,
        load_size: int | None = 286,
        crop_size: int | None = 256,
        flip: bool = True,
        batch_size: int = 1,
        num_workers: int = 2,
        seed: int = 0,
        source: Callable[[Path], object] | None = None,
        domains: Mapping[str, Domain] | None = None,
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
        cache: str = "none",
        cache_dir: str | Path | None = None,
        pairing: str = "auto",
    ) -> None:
        super().__init__()
        self.root = None if root is None else Path(root).expanduser()
        self.load_size = load_size
        self.crop_size = crop_size
        self.flip = flip
        self.batch_size = batch_size
        self.num_workers = num_workers
        self.seed = seed
        self.source = source
        self.domains = {"A": Domain(), "B": Domain()} if domains is None else dict(domains)
        self.resize = resize
        self.affine = affine
        self.jitter = jitter
        self.size_multiple = size_multiple
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
            ("on_error", on_error, SAMPLES), ("cache", cache, shelf.KINDS), ("pairing", pairing, PAIRINGS)
        ):  # fmt: skip
            if value not in words:
                raise DataError(f"data.{name} is {value!r}; there are {', '.join(words)}")
        for name, number, least in (
            ("batch_size", batch_size, 1), ("num_workers", num_workers, 0), ("header_checks", header_checks, 0),
            ("max_pixels", max_pixels, 1), ("reducing_gap", reducing_gap, 1)
        ):  # fmt: skip
            if number is not None and number < least:
                raise DataError(f"data.{name} is {number}; it is {least} or more")
        self._splits: dict[str, dict[str, Prepared]] = {}
        self._modes: dict[str, Counter[str]] = {}
        self._types: dict[str, str] = {}
        self._plans: dict[str, Plan] = {}
        self._loader: PositionLoader | None = None
        self._resume_from: dict[str, int] = {}
        self._files: dict[str, Fingerprint] = {}
        self._files_then: dict[str, Fingerprint] = {}
        self._warned: set[str] = set()

    def prepare_data(self) -> None:
        """Calls the source, if there is one."""
        if self.source is not None and self.root is not None:
            self.source(self.root)

    def setup(self, stage: str | None = None) -> None:
        """Finds the images, once. Validation and test images may be missing.

        Raises:
            DataError: training images are missing or cannot be used, the crop is larger than load_size, or a state
                was loaded of a run that had other training images.
        """
        self._loader = None  # of an earlier fit
        if not self._splits:
            view = TrainingView(
                self.load_size, self.crop_size, self.flip, self.resize, self.affine, self.jitter, self.size_multiple
            )
            found = find_splits(self.root, self.domains, self.val_share, self.max_images)
            self._splits = {
                split: {domain: self._prepare(images, domain, view) for domain, images in each.items()}
                for split, each in found.items()
            }
            self._find_types()
            self._plans = shelf.plan(self.cache, self._splits["train"])
            if self.cache == "ram" and (self.trainer is None or self.trainer.is_global_zero):
                # Now, and not when the first batch is due. On other devices it would count what the first has taken.
                require_room("ram", sum(plan.size for plan in self._plans.values()), None)
            self._images = SAMPLES[self.on_error](self._splits["train"], self.seed)
        self._require_files_of_then()

    def _prepare(self, images: ImageSource, domain: str, view: TrainingView) -> Prepared:
        given = self.domains[domain]
        return Prepared(images, given.pixel_format, given.half, view, self.reducing_gap, self.max_pixels)

    def _find_types(self) -> None:
        """Looks at headers, the first process at many: what is wrong with an image is better known now than later."""
        if self.on_error == "raise" and self.header_checks and (self.trainer is None or self.trainer.is_global_zero):
            for split, domains in self._splits.items():
                for domain, prepared in domains.items():
                    self._modes[f"{split}{domain}"] = look_at(prepared, self.header_checks, f"{split}{domain}")
        for domain, prepared in self._splits["train"].items():
            self._types[domain] = stored_type(prepared, f"train{domain}")
            pixel_format = prepared.pixel_format
            if pixel_format.dtype is None:
                pixel_format = dataclasses.replace(pixel_format, dtype=self._types[domain])
            for domains in self._splits.values():
                if domain in domains:
                    domains[domain].pixel_format = pixel_format

    @property
    def counts(self) -> dict[str, int]:
        """Images of each split and domain: {"trainA": 1067, ...}."""
        return {
            f"{split}{domain}": len(prepared)
            for split, domains in self._splits.items()
            for domain, prepared in domains.items()
        }

    @property
    def channels(self) -> dict[str, int]:
        """That the networks see, of each domain."""
        return {name: domain.channels for name, domain in self.domains.items()}

    @property
    def pixel_formats(self) -> dict[str, PixelFormat]:
        """How the images of each domain are stored, as found."""
        return {domain: prepared.pixel_format for domain, prepared in self._splits["train"].items()}

    @property
    def epoch_length(self) -> int:
        """Images of each domain in an epoch: as many as the larger domain has."""
        return max(len(prepared) for prepared in self._splits["train"].values())

    @property
    def images_seen(self) -> int:
        """Images of each domain that training has had so far, on all devices together."""
        return self._resume_from.get("position", 0) if self._loader is None else self._loader.images_seen

    def held_out(self, at_most: int | None = None) -> HeldOut | None:
        """Images that training does not see, at most so many of each domain; None if a domain has none."""
        return held_out(self._splits, self.on_error, at_most, self.pairing)

    def describe(self) -> list[str]:
        """What was found, in lines for people."""
        return describe(self.root, self._splits, self._modes, self._types, self.held_out())

    def train_dataloader(self) -> PositionLoader:
        """Training batches of this device; called again within a fit, they continue with a new epoch."""
        shelf.fill(self.cache, self.cache_dir, self._splits["train"], self._plans, self.trainer)
        rank, world_size = (0, 1) if self.trainer is None else (self.trainer.global_rank, self.trainer.world_size)
        sampler = PositionSampler(self.epoch_length, self.batch_size, rank, world_size)
        loader = PositionLoader(
            self._images,
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
            loader.skipped = self._loader.skipped
        self._loader = loader
        return loader

    def last_batch_files(self) -> dict[str, list[str]]:
        """The files of each domain in the batch that this process was handed last; none before the first."""
        if self._loader is None:
            return {domain: [] for domain in self.domains}
        last, unreadable = self._loader.last_positions, self._loader.skipped
        return {domain: [self._images.path(domain, t, unreadable) for t in last] for domain in self.domains}

    def end_epoch(self) -> None:
        """Closes the running epoch where it stands: the next one, here or in a resumed run, begins with new images."""
        if self._loader is not None:
            self._loader.end_epoch()

    def state_dict(self) -> dict[str, Any]:
        """How far training has come, and with which training images, for the checkpoint.

        Lightning saves a loader's state by itself, but gives it back only to a run that was cut off within an
        epoch; one that was stopped between two epochs would begin with the first images again.
        """
        progress = self._resume_from if self._loader is None else self._loader.state_dict()
        return {**progress, "files": self._fingerprints()} if progress else {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Lets the next loader go on where training stood.

        Raises:
            DataError: the training images are not those of then; said by `setup`, if it comes later.
        """
        self._files_then = state_dict.get("files", {})
        self._require_files_of_then()
        progress = {key: value for key, value in state_dict.items() if key != "files"}
        if self._loader is None:
            self._resume_from = progress
        else:
            self._loader.load_state_dict(progress)

    def _require_files_of_then(self) -> None:
        if self._files_then and self._splits:
            require_same_files(self._files_then, self._fingerprints())
            self._files_then = {}

    def _fingerprints(self) -> dict[str, Fingerprint]:
        """Of each domain's training images; found out once, as there may be a million of them."""
        if not self._files:
            self._files = {domain: fingerprint(p.images) for domain, p in self._splits["train"].items()}
        return self._files

    def sample_batch(self, count: int) -> Batch:
        """The first `count` test images of each domain; see `shown`.

        A domain without test images shows those for validation or training instead, and says so once.

        Raises:
            ImageError: one cannot be read.
        """
        return {domain: self._shown(domain, count) for domain in self.domains}

    def _shown(self, domain: str, count: int) -> Tensor:
        split = next(name for name in ("test", "val", "train") if domain in self._splits[name])
        if split != "test" and domain not in self._warned:
            self._warned.add(domain)
            log.warning("samples   there are no test images of %s: those of %s%s are shown", domain, split, domain)
        return shown(self._splits[split][domain], count, self.on_error)
