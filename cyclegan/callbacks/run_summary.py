"""What a run is about to do, in a few lines before it does it."""

import logging
from pathlib import Path

import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities.rank_zero import rank_zero_only

from cyclegan.callbacks.position import data_of

log = logging.getLogger(__name__)


class StartupReport(pl.Callback):
    """Device, precision, effective batch, images and parameters, as found and not as configured."""

    def __init__(self, run_dir: str) -> None:
        self.run_dir = Path(run_dir)

    @rank_zero_only
    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Writes the lines."""
        data = data_of(trainer)
        accumulated = trainer.accumulate_grad_batches
        effective = data.batch_size * trainer.world_size * accumulated
        log.info("run       %s", self.run_dir)
        log.info("device    %s, precision %s", device_name(trainer), trainer.precision)
        log.info("batch     %d = %d a device × %d device%s × %d accumulated", effective, data.batch_size,
                 trainer.world_size, "" if trainer.world_size == 1 else "s", accumulated)  # fmt: skip
        for line in data.describe():
            log.info("%s", line)
        sizes = {name: sum(p.numel() for p in child.parameters()) for name, child in pl_module.named_children()}
        log.info("networks  %s", ", ".join(f"{name} {millions(n)}" for name, n in sizes.items() if n))


def device_name(trainer: pl.Trainer) -> str:
    """The kind of device in words, with their number when there are several."""
    root = trainer.strategy.root_device
    name = torch.cuda.get_device_name(root) if root.type == "cuda" else root.type
    if root.type == "cpu":
        name = f"cpu ({torch.get_num_threads()} threads)"
    return name if trainer.world_size == 1 else f"{trainer.world_size} × {name}"


def millions(parameters: int) -> str:
    """11378179 as 11.38 M."""
    return f"{parameters / 1e6:.2f} M"
