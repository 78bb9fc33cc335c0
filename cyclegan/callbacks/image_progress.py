"""A place within an epoch, counted in images, for a trainer that counts batches."""

from typing import Any

import pytorch_lightning as pl

from cyclegan.callbacks.position import data_of


class ImageProgress(pl.Callback):
    """Lets a run that was saved within an epoch go on with another number of devices at the same image.

    Lightning saves how many batches of the epoch are done. With another number of devices a batch has another
    size, and the epoch would end too early or too late.
    """

    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Rewrites the number of batches done, before Lightning reads it, so that what is left of the epoch fits.

        With as many devices as before, this is the number that stands there.
        """
        data = data_of(trainer)
        images_per_batch = data.batch_size * trainer.world_size
        progress = checkpoint["loops"]["fit_loop"]["epoch_loop.batch_progress"]
        state = checkpoint[type(data).__qualname__]
        if progress["is_last_batch"]:  # the epoch is over
            return
        left = state["epoch_start"] + data.epoch_length - state["position"]
        done = -(-data.epoch_length // images_per_batch) - -(-left // images_per_batch)
        # As it is saved at the end of a batch, which Lightning completes only afterwards.
        progress["current"].update(ready=done, started=done, processed=done, completed=done - 1)
