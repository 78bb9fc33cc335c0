"""Sample grids: the same few test images, translated as training proceeds."""

import logging
from pathlib import Path

import pytorch_lightning as pl
import torch
from pytorch_lightning.loggers import TensorBoardLogger
from pytorch_lightning.utilities.rank_zero import rank_zero_only

from cyclegan.callbacks._position import data_of, discard_later
from cyclegan.callbacks.ema import translating
from cyclegan.errors import UserError
from cyclegan.images import write
from cyclegan.images.tensors import grid, to_uint8, to_view
from cyclegan.methods.translator import Batch, Translator

log = logging.getLogger(__name__)


class ImageGrid(pl.Callback):
    """Writes `samples/epochNNNN.jpg` and shows the same image in wandb and TensorBoard.

    A row for each test image, a column for each of the method's visuals. If the trainer has an `Ema`, the averaged
    weights are shown.

    Args:
        run_dir: the files go to `run_dir/samples`.
        every_n_epochs: how often, 1 or more; the untrained networks of a new run are shown first.
        count: number of test images of each domain, 1 or more.
    """

    def __init__(self, run_dir: str, every_n_epochs: int = 1, count: int = 4) -> None:
        if every_n_epochs < 1 or count < 1:
            raise UserError(f"every_n_epochs is {every_n_epochs} and count is {count}; both are 1 or more")
        self.folder = Path(run_dir) / "samples"
        self.every_n_epochs = every_n_epochs
        self.count = count
        self._batch: Batch | None = None

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.is_global_zero:
            discard_later(self.folder, trainer)
        if data_of(trainer).images_seen == 0:
            self.draw(trainer, pl_module, 0)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        epoch = trainer.current_epoch + 1
        if epoch % self.every_n_epochs == 0 or epoch == trainer.max_epochs:
            self.draw(trainer, pl_module, epoch)

    @rank_zero_only
    def draw(self, trainer: pl.Trainer, pl_module: pl.LightningModule, epoch: int) -> None:
        """Translate the images, write the grid and pass it to the loggers."""
        assert isinstance(pl_module, Translator)
        data = data_of(trainer)
        if self._batch is None:
            self._batch = data.sample_batch(self.count)
        batch = trainer.precision_plugin.convert_input(
            {domain: images.to(pl_module.device) for domain, images in self._batch.items()}
        )
        with torch.no_grad(), translating(trainer, pl_module), trainer.precision_plugin.forward_context():
            visuals = pl_module.visuals(batch)

        sheet = grid([column.float().cpu() for column in visuals.values()])
        file = self.folder / f"epoch{epoch:04d}.jpg"
        try:
            write(to_view(sheet), file)
        except OSError as error:
            log.warning("samples   %s was not written, training continues: %s", file, error)
            return
        for logger in trainer.loggers:
            if hasattr(logger, "log_image"):  # by path: wandb would show a float tensor in [0, 1] as black
                logger.log_image("samples", [str(file)], step=data.images_seen, caption=[" | ".join(visuals)])
            elif isinstance(logger, TensorBoardLogger):
                image = to_uint8(sheet).numpy()
                logger.experiment.add_image("samples", image, data.images_seen, dataformats="CHW")
