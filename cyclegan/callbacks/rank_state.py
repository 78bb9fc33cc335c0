"""What every device has for itself, which Lightning saves of the first one only."""

import random
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from lightning_fabric.utilities.apply_func import move_data_to_device
from torch import distributed

from cyclegan.methods.translator import Translator

CPU = torch.device("cpu")


class RankState(pl.Callback):
    """Keeps each device's image pools and random numbers in every checkpoint, and gives each device its own back.

    Image order and augmentation need neither: they follow from the position. A run that goes on with more
    devices than it had deals out what there is again; the configuration's check says that this is not exact.
    """

    def __init__(self) -> None:
        self._resumed: list[dict[str, Any]] = []

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Adds the entry `ranks`: for each device, `pools` by name and `random`."""
        assert isinstance(pl_module, Translator)
        pools = {name: pool.state_dict() for name, pool in pl_module.pools().items()}
        checkpoint["ranks"] = gathered({"pools": pools, "random": random_state(pl_module.device)})

    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Keeps the states until training begins: the module is not on its device yet."""
        self._resumed = checkpoint.get("ranks", [])

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Takes this device's state back; in a new run, gives every device random numbers of its own."""
        assert isinstance(pl_module, Translator)
        pools, rank = pl_module.pools(), trainer.global_rank
        if self._resumed:
            mine = self._resumed[rank % len(self._resumed)]
            for name, pool in pools.items():
                pool.load_state_dict(mine["pools"][name], pl_module.device)
            restore_random_state(mine["random"], pl_module.device)
            self._resumed = []
        elif rank > 0:
            seed = torch.initial_seed() + rank
            torch.manual_seed(seed)
            np.random.seed(seed % 2**32)
            random.seed(seed)
            for number, pool in enumerate(pools.values()):
                pool.reseed(len(pools) * seed + number)


def random_state(device: torch.device) -> dict[str, Any]:
    """The state of every global generator, in tensors and plain values."""
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
    """Goes on from a state, as far as the device is of the same kind."""
    torch.set_rng_state(state["torch"])
    np.random.set_state(state["numpy"])
    version, internal, gauss = state["python"]
    random.setstate((version, tuple(internal), gauss))
    if "cuda" in state and device.type == "cuda":
        torch.cuda.set_rng_state(state["cuda"], device)


def gathered(state: dict[str, Any]) -> list[dict[str, Any]]:
    """Every device's state, for the first one, which writes checkpoints; the others get back their own."""
    if not (distributed.is_available() and distributed.is_initialized()):
        return [state]
    states: list[Any] | None = [None] * distributed.get_world_size() if distributed.get_rank() == 0 else None
    distributed.gather_object(move_data_to_device(state, CPU), states)
    return states or [state]
