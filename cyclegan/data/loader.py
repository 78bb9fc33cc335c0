"""A loader that can be stopped at any batch and goes on from there."""

import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from cyclegan.data.sampler import PositionSampler
from cyclegan.data.worker import Answers, Notes, Skipped, Workers, collate, shortage_told

log = logging.getLogger(__name__)

Batch = dict[str, Tensor]


class PositionLoader(DataLoader[Any]):
    """Batches of the samples at the sampler's positions; knows which of them training has had.

    It counts the batches that it hands over, not those that its workers prepare ahead, so the state that
    Lightning puts into a checkpoint (it looks for `state_dict` and `load_state_dict`) is where training stands.
    That state is two global positions: the same on every device, and free of batch size and device count.

    Iterating draws nothing from the global random numbers. An error in a worker comes as it would from the main
    process; a worker that dies, as a DataError that names the file. Images that were passed over are told once each.

    Args:
        dataset: gives the sample at a position.
        sampler: gives the positions of each batch.
        num_workers: processes that make the samples; 0: the main process makes them.
        **kwargs: `pin_memory`, `persistent_workers` and the others of DataLoader.
    """

    def __init__(self, dataset: Dataset[Batch], sampler: PositionSampler, num_workers: int = 0, **kwargs: Any) -> None:
        with shortage_told(num_workers):
            self._notes = Notes(num_workers)
        super().__init__(
            Answers(dataset),
            batch_sampler=sampler,
            num_workers=num_workers,
            collate_fn=collate,
            worker_init_fn=self._notes.begin,
            # DataLoader draws the seed of its workers for every epoch, also where it has none, and without a
            # generator of its own from the numbers of the model: an epoch that is resumed would draw once more.
            generator=torch.Generator().manual_seed(0),
            **kwargs,
        )
        self._positions = sampler
        self._resumes = False
        self.last_positions: Sequence[int] = ()
        """Positions of the batch that was handed over last; empty before the first."""
        self.skipped: Counter[str] = Counter()
        """How often an image could not be read and another one stood in its place, by path."""

    @property
    def images_seen(self) -> int:
        """Images of each domain handed over since the start of the run, on all devices together."""
        return self._positions.position

    def __iter__(self) -> Iterator[Batch]:  # type: ignore[override] # a DataLoader promises its private iterator
        """An epoch; after `load_state_dict`, once, what is left of the epoch that was cut off.

        A generator, so that an iterator which is never asked for a batch, as Lightning makes one, does nothing.
        """
        if not self._resumes:
            # The last iteration may have been left early, by limit_train_batches: this is a new epoch anyhow.
            self._positions.end_epoch()
        self._resumes = False
        try:
            for found in super().__iter__():
                self.last_positions = self._positions.advance()
                self._tell(found.skipped)
                yield found.samples
        except Exception:
            self._iterator = None  # its workers have ended, also those that were to stay for the next epoch
            raise

    def _tell(self, skipped: Sequence[Skipped]) -> None:
        for path, reason in skipped:
            if path not in self.skipped:
                log.warning("skipped   %s. Another image stands in its place", reason.rstrip("."))
            self.skipped[path] += 1
        ended = self._positions.epoch_start == self._positions.position
        if ended and self.skipped:
            log.info("skipped   %d samples so far, where %d images cannot be read; others stood in their places",
                     self.skipped.total(), len(self.skipped))  # fmt: skip

    def _get_iterator(self) -> Any:
        if self.num_workers == 0:
            return super()._get_iterator()
        return Workers(self, self._notes)

    def end_epoch(self) -> None:
        """Closes the running epoch where it stands: the next iteration, here or after a resume, begins a new one.

        Only an epoch that is left early, by limit_train_batches, needs it.
        """
        self._positions.end_epoch()

    def state_dict(self) -> dict[str, int]:
        """How far training has come: `position` and `epoch_start`, in images of each domain."""
        return {"position": self._positions.position, "epoch_start": self._positions.epoch_start}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Goes to a state; what is left of its epoch comes at the next iteration."""
        self._positions.position = state["position"]
        self._positions.epoch_start = state["epoch_start"]
        self._resumes = True
