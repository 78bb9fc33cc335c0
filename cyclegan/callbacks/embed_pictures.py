"""How pictures are stored, inside every checkpoint."""

import dataclasses
from typing import Any

import pytorch_lightning as pl

from cyclegan.callbacks.position import data_of


class EmbedPictures(pl.Callback):
    """Puts each domain's pixel format into every checkpoint: translations are stored as the training pictures are."""

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Adds the entry `pictures`."""
        formats = data_of(trainer).pixel_formats
        checkpoint["pictures"] = {domain: dataclasses.asdict(each) for domain, each in formats.items()}
