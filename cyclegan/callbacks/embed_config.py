"""The configuration inside every checkpoint."""

from typing import Any

import pytorch_lightning as pl


class EmbedConfig(pl.Callback):
    """Puts the resolved configuration of the run into every checkpoint, so that the file is enough to use it.

    Args:
        config: plain dictionaries, lists, strings and numbers.
    """

    def __init__(self, config: dict[str, Any]) -> None:
        self.config = config

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Adds the entry `config`."""
        checkpoint["config"] = self.config
