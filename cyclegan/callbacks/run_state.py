"""Entries of a checkpoint besides Lightning's: configuration, pixel formats, position, state of each device."""

import dataclasses
import random
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from lightning_fabric.utilities.apply_func import move_data_to_device
from torch import distributed

from cyclegan.callbacks._position import data_of
from cyclegan.data.training_data import STATE_KEY, stored_state
from cyclegan.methods.translator import Translator


class RunState(pl.Callback):
    """Adds entries to every checkpoint that Lightning lacks, and resumes from them.

    - `config`: the resolved configuration of the run.
    - `pixel_formats`: how each domain's images are stored, so that translations are stored alike.
    - `data`: the data module's state, under a key that names no class; it holds at least `position`.
    - `ranks`: the image pools and random number generators of each device. Image order and augmentation need neither,
      as they follow from the position.
    - `losses`: the last value of each loss on each device, which rows of metrics show until the loss is computed again:
      the losses of a player that rests, or a penalty that is not computed in every step.

    Args:
        config: plain dictionaries, lists, strings and numbers.
    """

    def __init__(self, config: dict[str, Any]) -> None:
        self.config = config
        self._ranks: list[dict[str, Any]] = []
        self._losses: list[dict[str, torch.Tensor]] = []

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        assert isinstance(pl_module, Translator)
        data = data_of(trainer)
        pools = {name: pool.state_dict() for name, pool in pl_module.pools().items()}
        checkpoint["config"] = self.config
        checkpoint["pixel_formats"] = {name: dataclasses.asdict(each) for name, each in data.pixel_formats.items()}
        checkpoint[STATE_KEY] = {"position": data.images_seen} | checkpoint.pop(type(data).__qualname__, {})
        losses = {name: value for name, value in trainer.callback_metrics.items() if name.startswith("train/")}
        ranks = _gather({"pools": pools, "random": random_state(pl_module.device), "losses": losses})
        checkpoint["losses"] = [rank.pop("losses") for rank in ranks]
        checkpoint["ranks"] = ranks

    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Restore the position, and adapt the number of batches done to the number of devices.

        With another number of devices a batch has another size, and the epoch would end too early or too late.
        Lightning reads the number after this hook.
        """
        self._ranks = checkpoint.get("ranks", [])  # restored once the module is on its device
        self._losses = checkpoint.get("losses", [])
        data = data_of(trainer)
        state = stored_state(checkpoint)
        if type(data).__qualname__ not in checkpoint:  # else, in older checkpoints, Lightning has restored it
            data.load_state_dict(state)
        progress = checkpoint["loops"]["fit_loop"]["epoch_loop.batch_progress"]
        if progress["is_last_batch"] or "epoch_start" not in state:  # the epoch is over, or its start is unknown
            return
        images_per_batch = data.batch_size * trainer.world_size
        left = state["epoch_start"] + data.epoch_length - state["position"]
        done = -(-data.epoch_length // images_per_batch) - -(-left // images_per_batch)
        # As saved at the end of a batch, which Lightning counts as completed only afterwards.
        progress["current"].update(ready=done, started=done, processed=done, completed=done - 1)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Restore this device's pools, generators and losses; in a new run, seed each device differently.

        A run that resumes on more devices reuses the stored states in turn, which is not bit-exact.
        """
        assert isinstance(pl_module, Translator)
        pools, rank = pl_module.pools(), trainer.global_rank
        if self._losses:
            losses = self._losses[rank % len(self._losses)]
            trainer.callback_metrics.update(move_data_to_device(losses, pl_module.device))
            self._losses = []
        if self._ranks:
            mine = self._ranks[rank % len(self._ranks)]
            for name, pool in pools.items():
                pool.load_state_dict(mine["pools"][name], pl_module.device)
            restore_random_state(mine["random"], pl_module.device)
            self._ranks = []
        elif rank > 0:
            seed = torch.initial_seed() + rank
            torch.manual_seed(seed)
            np.random.seed(seed % 2**32)
            random.seed(seed)
            for number, pool in enumerate(pools.values()):
                pool.reseed(len(pools) * seed + number)


def random_state(device: torch.device) -> dict[str, Any]:
    """Return the state of torch's, numpy's and Python's global generators, in tensors and plain values."""
    kind, keys, place, has_gauss, gauss = np.random.get_state(legacy=True)
    state: dict[str, Any] = {
        "torch": torch.get_rng_state(),
        "numpy": (str(kind), [int(key) for key in keys], int(place), int(has_gauss), float(gauss)),
        "python": random.getstate(),
    }
    if device.type == "cuda":
        state["cuda"] = torch.cuda.get_rng_state(device)
    return state


def restore_random_state(state: dict[str, Any], device: torch.device) -> None:
    """Restore the generators from `random_state`; CUDA's only if the device is one."""
    torch.set_rng_state(state["torch"])
    np.random.set_state(state["numpy"])
    version, internal, gauss = state["python"]
    random.setstate((version, tuple(internal), gauss))
    if "cuda" in state and device.type == "cuda":
        torch.cuda.set_rng_state(state["cuda"], device)


def _gather(state: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the states of all devices on the first one, which writes checkpoints; elsewhere only the own one."""
    if not (distributed.is_available() and distributed.is_initialized()):
        return [state]
    states: list[Any] | None = [None] * distributed.get_world_size() if distributed.get_rank() == 0 else None
    distributed.gather_object(move_data_to_device(state, torch.device("cpu")), states)
    return states or [state]
