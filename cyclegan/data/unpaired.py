"""Unpaired pictures of several domains, for training: the data module."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.utils.data import Dataset

from cyclegan.data.index import DataError, find_pictures
from cyclegan.data.loader import Batch, PositionLoader
from cyclegan.data.sampler import PositionSampler, augmentation_rng, file_index
from cyclegan.data.transforms import TrainingView, evaluation_view
from cyclegan.images import read


class UnpairedPictures(Dataset[Batch]):
    """The training sample at a position: an image of each domain, chosen and augmented independently.

    Args:
        files: pictures of each domain.
        view: what is shown of a picture.
        seed: another seed gives another order and other augmentations.
    """

    def __init__(self, files: Mapping[str, Sequence[str]], view: TrainingView, seed: int) -> None:
        self.files = files
        self.view = view
        self.seed = seed

    def __getitem__(self, position: int) -> Batch:
        """Images (3, H, W) in [-1, 1] of each domain at this position of the run.

        Raises:
            ImageError: a picture cannot be read.
            DataError: a picture is too small for the crop.
        """
        return {domain: self._image(domain, position) for domain in self.files}

    def _image(self, domain: str, position: int) -> Tensor:
        files = self.files[domain]
        path = files[file_index(self.seed, domain, position, len(files))]
        try:
            return self.view(read(path), augmentation_rng(self.seed, domain, position))
        except DataError as error:
            raise DataError(f"{path}: {error}") from None


class UnpairedData(pl.LightningDataModule):
    """Folders trainA, trainB and, if there are any, testA, testB below a root.

    Batches map each domain to images (N, 3, crop_size, crop_size) in [-1, 1].

    Args:
        root: folder of the data set.
        load_size: pictures are resized to this square first; None leaves them as they are.
        crop_size: height and width of the random crop.
        flip: whether to flip every other picture.
        batch_size: images of each domain in a batch of one device.
        num_workers: processes that decode pictures.
        seed: of order and augmentation.
        source: called with the root before training, on one process: draws or fetches what is missing there.
        domains: names of the domains.
    """

    def __init__(
        self,
        root: str | Path,
        load_size: int | None = 286,
        crop_size: int = 256,
        flip: bool = True,
        batch_size: int = 1,
        num_workers: int = 2,
        seed: int = 0,
        source: Callable[[Path], object] | None = None,
        domains: Sequence[str] = ("A", "B"),
    ) -> None:
        super().__init__()
        self.root = Path(root).expanduser()
        self.load_size = load_size
        self.crop_size = crop_size
        self.flip = flip
        self.batch_size = batch_size
        self.num_workers = num_workers
        self.seed = seed
        self.source = source
        self.domains = tuple(domains)
        self._train: dict[str, list[str]] = {}
        self._test: dict[str, list[str]] = {}
        self._loader: PositionLoader | None = None
        self._resume_from: dict[str, int] = {}
        self._warned: set[str] = set()

    def prepare_data(self) -> None:
        """Calls the source, if there is one."""
        if self.source is not None:
            self.source(self.root)

    def setup(self, stage: str | None = None) -> None:
        """Finds the pictures. Test folders may be missing.

        Raises:
            DataError: a training folder is missing, a folder holds no picture, or the crop is larger than load_size.
        """
        self._view = TrainingView(self.load_size, self.crop_size, self.flip)
        self._train = {domain: find_pictures(self.root, "train", domain) for domain in self.domains}
        self._test = {
            domain: find_pictures(self.root, "test", domain)
            for domain in self.domains
            if (self.root / f"test{domain}").is_dir()
        }

    @property
    def counts(self) -> dict[str, int]:
        """Pictures in each folder that was found: {"trainA": 1067, ...}."""
        return {
            f"{split}{domain}": len(files)
            for split, found in (("train", self._train), ("test", self._test))
            for domain, files in found.items()
        }

    @property
    def epoch_length(self) -> int:
        """Images of each domain in an epoch: as many as the larger domain has."""
        return max(len(files) for files in self._train.values())

    @property
    def images_seen(self) -> int:
        """Images of each domain that training has had so far, on all devices together."""
        return 0 if self._loader is None else self._loader.images_seen

    def train_dataloader(self) -> PositionLoader:
        """Training batches of this device."""
        rank, world_size = (0, 1) if self.trainer is None else (self.trainer.global_rank, self.trainer.world_size)
        self._loader = PositionLoader(
            UnpairedPictures(self._train, self._view, self.seed),
            PositionSampler(self.epoch_length, self.batch_size, rank, world_size),
            num_workers=self.num_workers,
            persistent_workers=self.num_workers > 0,
            pin_memory=torch.cuda.is_available(),
        )
        if self._resume_from:
            self._loader.load_state_dict(self._resume_from)
            self._resume_from = {}
        return self._loader

    def state_dict(self) -> dict[str, int]:
        """How far training has come, for the checkpoint.

        Lightning saves a loader's state by itself, but gives it back only to a run that was cut off within an
        epoch; one that was stopped between two epochs would begin with the first images again.
        """
        return {} if self._loader is None else self._loader.state_dict()

    def load_state_dict(self, state_dict: dict[str, int]) -> None:
        """Lets the next loader go on where training stood."""
        self._resume_from = state_dict

    def sample_batch(self, count: int) -> Batch:
        """The first `count` test pictures of each domain, or all if there are fewer, always the same.

        A domain without a test folder shows training pictures instead, with one warning.

        Returns:
            Images (N, 3, crop_size, crop_size) in [-1, 1] of each domain: whole pictures, not augmented.
        """
        return {
            domain: torch.stack([evaluation_view(read(path), self.crop_size) for path in self._shown(domain)[:count]])
            for domain in self.domains
        }

    def _shown(self, domain: str) -> list[str]:
        if domain in self._test:
            return self._test[domain]
        if domain not in self._warned:
            self._warned.add(domain)
            folder = self.root / f"test{domain}"
            warnings.warn(f"there is no folder {folder}: samples show training pictures of {domain}", stacklevel=3)
        return self._train[domain]
