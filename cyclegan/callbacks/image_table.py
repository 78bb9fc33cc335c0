"""A table of held-out images, their translations and ground truth, for wandb."""

from pathlib import PurePath

import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities.rank_zero import rank_zero_only
from torch import Tensor

from cyclegan.callbacks._position import data_of
from cyclegan.callbacks.ema import translating
from cyclegan.callbacks.validation import Validated
from cyclegan.data.held_out import HeldOut
from cyclegan.errors import UserError
from cyclegan.images import Pixels
from cyclegan.images.tensors import to_view
from cyclegan.methods.translator import Translator

COLUMNS = ["direction", "image", "input", "translation", "reconstruction", "ground truth"]


class ImageTable(pl.Callback):
    """Logs a table of the same few held-out images after every validation, for loggers that have tables.

    A row for each image and direction: its name, the image, its translation, the translation back, and the paired
    ground truth. A cell is empty if the method does not translate back, or if no ground truth is known. If the trainer
    has an `Ema`, the averaged weights are shown.

    Args:
        count: number of images of each domain, 1 or more, evenly spaced over their names.
    """

    def __init__(self, count: int = 4) -> None:
        if count < 1:
            raise UserError(f"callbacks.image_table.count is {count}; it is 1 or more")
        self.count = count
        self._held_out: HeldOut | None = None

    @rank_zero_only
    def on_validated(self, trainer: pl.Trainer, pl_module: pl.LightningModule, validated: Validated) -> None:
        """Translate the images and log the table."""
        assert isinstance(pl_module, Translator)
        loggers = [logger for logger in trainer.loggers if hasattr(logger, "log_image_table")]
        self._held_out = self._held_out or (data_of(trainer).held_out(self.count) if loggers else None)
        if self._held_out is None:
            return
        with torch.no_grad(), translating(trainer, pl_module), trainer.precision_plugin.forward_context():
            rows = [
                [f"{source}→{target}", PurePath(self._held_out.path(source, index)).name, *map(_view, images)]
                for source, target in pl_module.directions
                for index in self._held_out.indices[source]
                if (images := self._translated(trainer, pl_module, source, target, index))
            ]
        for logger in loggers:
            logger.log_image_table("translations", COLUMNS, rows, step=validated.images)

    def _translated(
        self, trainer: pl.Trainer, translator: Translator, source: str, target: str, index: int
    ) -> list[Tensor | None]:
        """Return an image (C, H, W), its translation, reconstruction and ground truth; nothing if it is unreadable."""
        assert self._held_out is not None
        image = self._held_out.image(source, index)
        if image is None:
            return []
        batch = trainer.precision_plugin.convert_input(image[None].to(translator.device))
        fake = translator.translate(batch, source, target)
        has_back = (target, source) in translator.directions
        back = translator.translate(fake, target, source)[0] if has_back else None
        place = self._held_out.ground_truth.get((source, target), {}).get(index)
        return [image, fake[0], back, None if place is None else self._held_out.image(target, place)]


def _view(image: Tensor | None) -> Pixels | None:
    return None if image is None else to_view(image)
