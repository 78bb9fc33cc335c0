"""A DataLoader that can be stopped after any batch and resumes there, and the sampler of its positions."""

import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler, default_collate, get_worker_info

from cyclegan.data.worker import Workers
from cyclegan.errors import DataError, UserError
from cyclegan.images import PixelFormat
from cyclegan.images.tensors import normalise

log = logging.getLogger(__name__)

Batch = dict[str, Tensor]
"""Images (N, C, H, W) in [-1, 1] of each domain."""


class Sample(NamedTuple):
    """An image (C, H, W) of each domain, its file and format, and the path and error of each image that was skipped."""

    images: dict[str, Tensor]
    files: dict[str, str]
    skipped: list[tuple[str, str]]
    formats: Mapping[str, PixelFormat]


class Samples(NamedTuple):
    """The samples of a batch: images (N, C, H, W) and their files, and skipped images."""

    images: dict[str, Tensor]
    files: dict[str, list[str]]
    skipped: list[tuple[str, str]]


def scaled(images: Mapping[str, Tensor], formats: Mapping[str, PixelFormat]) -> Batch:
    """Scale images that are integers, the stored values of files, to float32 in [-1, 1]; all others already are."""
    return {
        domain: each if each.is_floating_point() else normalise(each, formats[domain])
        for domain, each in images.items()
    }


class PositionSampler(Sampler[list[int]]):
    """Yields the positions of each batch; an epoch begins where the previous one ended.

    The batches of all devices together cover consecutive positions; each device takes its contiguous part. An epoch
    has full batches only, for at least `epoch_length` positions; the next epoch begins after the last of them.

    Args:
        epoch_length: positions in an epoch.
        batch_size: positions in a batch of one device.
        rank: number of this device.
        world_size: number of devices.
    """

    def __init__(self, epoch_length: int, batch_size: int, rank: int = 0, world_size: int = 1) -> None:
        self.epoch_length = epoch_length
        self.batch_size = batch_size
        self.global_batch_size = batch_size * world_size
        self.rank = rank
        self.position = 0
        """Number of positions used so far, on all devices together; the next iteration starts there."""
        self.epoch_start = 0
        """Position at which the epoch of the next iteration began."""

    def __len__(self) -> int:
        """Return the number of batches in a whole epoch."""
        return -(-self.epoch_length // self.global_batch_size)

    def __iter__(self) -> Iterator[list[int]]:
        """Yield the rest of the epoch. Only `advance` changes the position."""
        for first in range(self.position, self.epoch_start + self.epoch_length, self.global_batch_size):
            mine = first + self.rank * self.batch_size
            yield list(range(mine, mine + self.batch_size))

    def advance(self) -> None:
        """Move on by one batch; the last batch of an epoch ends it."""
        self.position += self.global_batch_size
        if self.position >= self.epoch_start + self.epoch_length:
            self.end_epoch()

    def end_epoch(self) -> None:
        """Begin the next epoch at the current position."""
        self.epoch_start = self.position


class _Batches(Dataset[Samples]):
    """Batches by their positions. A worker returns a UserError, as DataLoader would add the traceback to its text."""

    def __init__(self, dataset: Dataset[Sample]) -> None:
        self.dataset = dataset

    def __getitem__(self, positions: list[int]) -> Samples | UserError:  # type: ignore[override]
        try:
            samples = [self.dataset[position] for position in positions]
            images = [sample.images for sample in samples]
            _require_one_size(images)
        except UserError as error:
            if get_worker_info() is None:
                raise
            return error
        if any(len({each[domain].dtype for each in images}) > 1 for domain in images[0]):
            images = [scaled(sample.images, sample.formats) for sample in samples]
        files = {domain: [sample.files[domain] for sample in samples] for domain in samples[0].files}
        return Samples(default_collate(images), files, [each for sample in samples for each in sample.skipped])


def _require_one_size(images: list[dict[str, Tensor]]) -> None:
    for domain in images[0]:
        shapes = sorted({tuple(each[domain].shape) for each in images})
        if len(shapes) > 1:
            sizes = ", ".join(f"{width}×{height}" for _, height, width in shapes)
            raise DataError(
                f"the images of domain {domain} in one batch are {sizes}, and a batch takes one size: set "
                "data.batch_size=1, or cut squares of one size out of them with data.crop_size"
            )


class PositionLoader(DataLoader[Any]):
    """Batches of the samples at a sampler's positions, with a state for checkpoints.

    The state counts the batches that the loader yielded, not those that its workers prepared ahead. It is the same on
    every device, and valid with another batch size and number of devices. Lightning saves it, as it does for every
    loader with `state_dict` and `load_state_dict`.

    Iterating does not use the global random numbers. A UserError in a worker is raised as in the main process, and the
    death of a worker as a DataError that names the file. Each skipped image is logged once.

    Args:
        dataset: returns the sample at a position.
        sampler: yields the positions of each batch.
        num_workers: number of processes that load samples; 0: the main process loads them.
        **kwargs: `pin_memory`, `persistent_workers` and other arguments of DataLoader.
    """

    def __init__(self, dataset: Dataset[Sample], sampler: PositionSampler, num_workers: int = 0, **kwargs: Any) -> None:
        self._workers = Workers(num_workers)
        super().__init__(
            _Batches(dataset),
            batch_size=None,
            sampler=sampler,
            num_workers=num_workers,
            worker_init_fn=self._workers.files.begin,
            # Without a generator, DataLoader draws a seed from the global random numbers for every epoch: once more
            # in a run that was resumed within an epoch.
            generator=torch.Generator().manual_seed(0),
            **kwargs,
        )
        self._positions = sampler
        self._resumes = False
        self.last_files: dict[str, list[str]] = {}
        """Files of each domain in the last batch that was yielded; empty before the first."""
        self.skipped: Counter[str] = Counter()
        """Number of times that each unreadable image was replaced by another, by path."""

    @property
    def images_seen(self) -> int:
        """Images of each domain yielded since the start of the run, on all devices together."""
        return self._positions.position

    def __iter__(self) -> Iterator[dict[str, Tensor]]:  # type: ignore[override] # DataLoader promises its private iterator
        """Yield an epoch of images as their files store them, or in [-1, 1]; see `scaled`.

        After `load_state_dict`, once, the rest of the interrupted epoch.

        This is a generator, as Lightning makes iterators that it never uses: they have no effect.
        """
        if not self._resumes:
            # limit_train_batches may have ended the last iteration early.
            self._positions.end_epoch()
        self._resumes = False
        batches = None
        try:
            with self._workers.starting():
                batches = super().__iter__()
            for found in batches:
                if isinstance(found, UserError):
                    raise found
                self._positions.advance()
                self.last_files = found.files
                self._log(found.skipped)
                yield found.images
        except Exception as error:
            self._iterator = None  # persistent workers end as well
            if message := self._workers.end(error, batches):
                raise DataError(message) from error
            raise

    def _log(self, skipped: Sequence[tuple[str, str]]) -> None:
        for path, reason in skipped:
            if path not in self.skipped:
                log.warning("skipped   %s. Another image replaces it", reason.rstrip("."))
            self.skipped[path] += 1
        ended = self._positions.epoch_start == self._positions.position
        if ended and self.skipped:
            log.info("skipped   %d samples so far, of %d unreadable images; others replaced them",
                     self.skipped.total(), len(self.skipped))  # fmt: skip

    def end_epoch(self) -> None:
        """End an epoch early, as limit_train_batches does: the next iteration, or a resumed run, begins a new one."""
        self._positions.end_epoch()

    def state_dict(self) -> dict[str, int]:
        """Return the `position` and `epoch_start` of training, in images of each domain."""
        return {"position": self._positions.position, "epoch_start": self._positions.epoch_start}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Continue from a state: the next iteration yields the rest of its epoch."""
        self._positions.position = state["position"]
        self._positions.epoch_start = state["epoch_start"]
        self._resumes = True
