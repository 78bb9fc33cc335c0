"""Unpaired pictures of several domains, for training: the data module."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.utils.data import Dataset

from cyclegan.data.fingerprint import Fingerprint, fingerprint, require_same_files
from cyclegan.data.index import DataError, find_pictures
from cyclegan.data.loader import Batch, PositionLoader
from cyclegan.data.sampler import PositionSampler, augmentation_rng, file_index
from cyclegan.data.transforms import TrainingView, evaluation_view
from cyclegan.data.workers import reading
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

    def path(self, domain: str, position: int) -> str:
        """The file of a domain at this position of the run."""
        files = self.files[domain]
        return files[file_index(self.seed, domain, position, len(files))]

    def _image(self, domain: str, position: int) -> Tensor:
        path = self.path(domain, position)
        try:
            with reading(path):
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
        self._files: dict[str, Fingerprint] = {}
        self._files_then: dict[str, Fingerprint] = {}
        self._warned: set[str] = set()

    def prepare_data(self) -> None:
        """Calls the source, if there is one."""
        if self.source is not None:
            self.source(self.root)

    def setup(self, stage: str | None = None) -> None:
        """Finds the pictures. Test folders may be missing.

        Raises:
            DataError: a training folder is missing, a folder holds no picture, the crop is larger than load_size, or
                a state was loaded of a run that had other training pictures.
        """
        self._view = TrainingView(self.load_size, self.crop_size, self.flip)
        self._train = {domain: find_pictures(self.root, "train", domain) for domain in self.domains}
        self._test = {
            domain: find_pictures(self.root, "test", domain)
            for domain in self.domains
            if (self.root / f"test{domain}").is_dir()
        }
        self._pictures = UnpairedPictures(self._train, self._view, self.seed)
        self._files = {}
        self._require_files_of_then()

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
        return self._resume_from.get("position", 0) if self._loader is None else self._loader.images_seen

    def train_dataloader(self) -> PositionLoader:
        """Training batches of this device."""
        rank, world_size = (0, 1) if self.trainer is None else (self.trainer.global_rank, self.trainer.world_size)
        self._loader = PositionLoader(
            self._pictures,
            PositionSampler(self.epoch_length, self.batch_size, rank, world_size),
            num_workers=self.num_workers,
            persistent_workers=self.num_workers > 0,
            pin_memory=torch.cuda.is_available(),
        )
        if self._resume_from:
            self._loader.load_state_dict(self._resume_from)
            self._resume_from = {}
        return self._loader

    def last_batch_files(self) -> dict[str, list[str]]:
        """The files of each domain in the batch that this process was handed last; none before the first."""
        positions = () if self._loader is None else self._loader.last_positions
        return {domain: [self._pictures.path(domain, position) for position in positions] for domain in self.domains}

    def end_epoch(self) -> None:
        """Closes the running epoch where it stands: the next one, here or in a resumed run, begins with new images."""
        if self._loader is not None:
            self._loader.end_epoch()

    def state_dict(self) -> dict[str, Any]:
        """How far training has come, and with which training pictures, for the checkpoint.

        Lightning saves a loader's state by itself, but gives it back only to a run that was cut off within an
        epoch; one that was stopped between two epochs would begin with the first images again.
        """
        progress = self._resume_from if self._loader is None else self._loader.state_dict()
        return {**progress, "files": self._fingerprints()} if progress else {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Lets the next loader go on where training stood.

        Raises:
            DataError: the training pictures are not those of then; said by `setup`, if it comes later.
        """
        self._files_then = state_dict.get("files", {})
        self._require_files_of_then()
        self._resume_from = {key: value for key, value in state_dict.items() if key != "files"}
        if self._loader is not None:
            self._loader.load_state_dict(self._resume_from)

    def _require_files_of_then(self) -> None:
        if self._files_then and self._train:
            require_same_files(self._files_then, self._fingerprints())
            self._files_then = {}

    def _fingerprints(self) -> dict[str, Fingerprint]:
        """Of each domain's training pictures; found out once, as there may be a million of them."""
        if not self._files:
            self._files = {
                domain: fingerprint(self.root / f"train{domain}", files) for domain, files in self._train.items()
            }
        return self._files

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
