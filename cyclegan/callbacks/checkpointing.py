"""When checkpoints are written."""

from pathlib import Path

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Checkpoint


class Checkpointing(Checkpoint):
    """Writes `last.ckpt` at the end of every epoch, and keeps `epoch=NNNN.ckpt` every few.

    NNNN counts the epochs that the weights have seen.

    Args:
        run_dir: the files go to `run_dir/checkpoints`.
        every_n_epochs: how often one is kept; the last epoch's is always kept.
    """

    def __init__(self, run_dir: str, every_n_epochs: int = 10) -> None:
        if every_n_epochs < 1:
            raise ValueError(f"every_n_epochs is {every_n_epochs}; a checkpoint is kept every 1 or more epochs")
        self.folder = Path(run_dir) / "checkpoints"
        self.every_n_epochs = every_n_epochs

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Saves; Lightning calls this after every other callback's end of epoch."""
        epoch = trainer.current_epoch + 1
        if epoch % self.every_n_epochs == 0 or epoch == trainer.max_epochs:
            trainer.save_checkpoint(self.folder / f"epoch={epoch:04d}.ckpt")
        trainer.save_checkpoint(self.folder / "last.ckpt")
