"""The interface of data modules that training accepts, whatever their class."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from cyclegan.data.held_out import HeldOut
from cyclegan.data.loader import Batch
from cyclegan.images import PixelFormat

STATE_KEY = "data"
"""The entry of a checkpoint that holds the data module's state."""


class TrainingData(Protocol):
    """The interface of a LightningDataModule that `cyclegan-train` can train with; `ImageDataModule` has it.

    `train_dataloader` returns an iterable with a length, of batches that map each domain to images (N, C, H, W) in
    [-1, 1], or to what the class's `on_after_batch_transfer`, a hook of Lightning, turns into them. After
    `load_state_dict` its next iteration yields the rest of the epoch. `setup` may be called twice.
    """

    @property
    def channels(self) -> Mapping[str, int]:
        """Number of channels of each domain, as the networks see them."""

    @property
    def pixel_formats(self) -> Mapping[str, PixelFormat]:
        """Storage format of each domain's images, in which translations are written as well."""

    @property
    def batch_size(self) -> int:
        """Images of each domain in a batch of one device."""

    @property
    def crop_size(self) -> int | None:
        """Height and width of a training image; None: whole images, cut to multiples of `size_multiple`."""

    @property
    def size_multiple(self) -> int:
        """Height and width of whole images are multiples of this."""

    @property
    def epoch_length(self) -> int:
        """Images of each domain in an epoch."""

    @property
    def images_seen(self) -> int:
        """Images of each domain used for training so far, on all devices together."""

    @property
    def cache_dir(self) -> Path:
        """Folder for results computed from the images that later runs use again."""

    def describe(self) -> list[str]:
        """Return lines about the data for the log."""

    def held_out(self, at_most: int | None = None) -> HeldOut | None:
        """Return images to validate with, at most `at_most` of each domain; None if there are none."""

    def sample_batch(self, count: int) -> Batch:
        """Return the same `count` images of each domain at every call, for sample grids."""

    def last_batch_files(self) -> dict[str, list[str]]:
        """Return the names of the images of each domain in this process's last batch."""

    def end_epoch(self) -> None:
        """End the running epoch, which may have been left early: the next iteration begins a new one."""

    def state_dict(self) -> dict[str, Any]:
        """Return the state for a checkpoint: plain values and tensors.

        With `position` and `epoch_start`, the images of each domain seen now and at the start of the epoch, a run can
        also be resumed within an epoch with another batch size or number of devices.
        """

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue from a state; called after `setup` and before `train_dataloader`."""


def missing_members(data: object) -> list[str]:
    """Return the names of the members of `TrainingData` that an object lacks."""
    there = dir(data)
    return [name for name in vars(TrainingData) if not name.startswith("_") and name not in there]


def stored_state(checkpoint: Mapping[str, Any]) -> Any:
    """Return the data module's state in a checkpoint, or None; earlier versions stored it under the class's name."""
    return checkpoint.get(STATE_KEY, checkpoint.get("UnpairedData"))
