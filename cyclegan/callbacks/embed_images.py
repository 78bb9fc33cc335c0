"""How images are stored, inside every checkpoint."""

import dataclasses
from typing import Any

import pytorch_lightning as pl

from cyclegan.callbacks.position import data_of


class EmbedImages(pl.Callback):
    """Puts each domain's pixel format into every checkpoint: translations are stored as the training images are."""

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Adds the entry `images`."""
        formats = data_of(trainer).pixel_formats
        checkpoint["pixel_formats"] = {domain: dataclasses.asdict(each) for domain, each in formats.items()}
