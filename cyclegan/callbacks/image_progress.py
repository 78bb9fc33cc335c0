"""The place in the data: in every checkpoint under one key, and counted in images for a trainer that counts batches."""

from typing import Any

import pytorch_lightning as pl

from cyclegan.callbacks.position import data_of
from cyclegan.data.training_data import STATE_KEY, stored_state


class ImageProgress(pl.Callback):
    """Keeps the data module's state, and lets a run go on within an epoch with another number of devices.

    Lightning saves the state under the name of the data module's class, and how many batches of the epoch are done.
    With another number of devices a batch has another size, and the epoch would end too early or too late.
    """

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Moves the state to the entry `data`, which names no class; `position` stands there in any case."""
        data = data_of(trainer)
        checkpoint[STATE_KEY] = {"position": data.images_seen} | checkpoint.pop(type(data).__qualname__, {})

    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Restores the state, and rewrites the number of batches done so that what is left of the epoch fits.

        With as many devices as before, this is the number that stands there. Lightning reads it later.
        """
        data = data_of(trainer)
        state = stored_state(checkpoint)
        if type(data).__qualname__ not in checkpoint:  # or else Lightning has restored it: of an earlier version
            data.load_state_dict(state)
        progress = checkpoint["loops"]["fit_loop"]["epoch_loop.batch_progress"]
        if progress["is_last_batch"] or "epoch_start" not in state:  # the epoch is over, or nobody knows its start
            return
        images_per_batch = data.batch_size * trainer.world_size
        left = state["epoch_start"] + data.epoch_length - state["position"]
        done = -(-data.epoch_length // images_per_batch) - -(-left // images_per_batch)
        # As it is saved at the end of a batch, which Lightning completes only afterwards.
        progress["current"].update(ready=done, started=done, processed=done, completed=done - 1)
