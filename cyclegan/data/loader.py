"""A loader that can be stopped at any batch and goes on from there."""

from collections.abc import Iterator
from typing import Any

from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from cyclegan.data.sampler import PositionSampler

Batch = dict[str, Tensor]


class PositionLoader(DataLoader[Batch]):
    """Batches of the samples at the sampler's positions; knows which of them training has had.

    It counts the batches that it hands over, not those that its workers prepare ahead, so the state that
    Lightning puts into a checkpoint (it looks for `state_dict` and `load_state_dict`) is where training stands.
    That state is two global positions: the same on every device, and free of batch size and device count.

    Args:
        dataset: gives the sample at a position.
        sampler: gives the positions of each batch.
        **kwargs: `num_workers`, `pin_memory` and the others of DataLoader.
    """

    def __init__(self, dataset: Dataset[Batch], sampler: PositionSampler, **kwargs: Any) -> None:
        super().__init__(dataset, batch_sampler=sampler, **kwargs)
        self._positions = sampler
        self._resumes = False

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
            self._positions.epoch_start = self._positions.position
        self._resumes = False
        for batch in super().__iter__():
            self._positions.advance()
            yield batch

    def state_dict(self) -> dict[str, int]:
        """How far training has come: `position` and `epoch_start`, in images of each domain."""
        return {"position": self._positions.position, "epoch_start": self._positions.epoch_start}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Goes to a state; what is left of its epoch comes at the next iteration."""
        self._positions.position = state["position"]
        self._positions.epoch_start = state["epoch_start"]
        self._resumes = True
