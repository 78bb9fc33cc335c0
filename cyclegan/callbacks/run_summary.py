"""A summary of a run, logged before it begins."""

import logging
from pathlib import Path

import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities.rank_zero import rank_zero_only
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from cyclegan.callbacks._position import data_of

log = logging.getLogger(__name__)


class RunSummary(pl.Callback):
    """Logs the devices, precision, effective batch size, images and parameters as found, not as configured."""

    def __init__(self, run_dir: str) -> None:
        self.run_dir = Path(run_dir)

    @rank_zero_only
    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        data = data_of(trainer)
        accumulated, devices = trainer.accumulate_grad_batches, trainer.world_size
        effective, plural = data.batch_size * devices * accumulated, "" if devices == 1 else "s"
        nodes = "" if trainer.num_nodes == 1 else f" on {trainer.num_nodes} nodes"
        log.info("run       %s", self.run_dir)
        log.info("device    %s, precision %s", device_name(trainer), trainer.precision)
        log.info(
            "batch     %d = %d per device × %d device%s%s × %d accumulated",
            *(effective, data.batch_size, devices, plural, nodes, accumulated),
        )
        norms = [module for module in pl_module.modules() if isinstance(module, _BatchNorm)]
        if norms and devices > 1:
            is_synced = isinstance(norms[0], nn.SyncBatchNorm)
            log.info("norm      batch norm over the images of %s", "all devices" if is_synced else "each device")
        for line in data.describe():
            log.info("%s", line)
        sizes = {name: sum(p.numel() for p in child.parameters()) for name, child in pl_module.named_children()}
        log.info("networks  %s", ", ".join(f"{name} {size / 1e6:.2f} M" for name, size in sizes.items() if size))


def device_name(trainer: pl.Trainer) -> str:
    """Return the name of the device, with the number of devices if there are several."""
    root = trainer.strategy.root_device
    name = torch.cuda.get_device_name(root) if root.type == "cuda" else root.type
    if root.type == "cpu":
        name = f"cpu ({torch.get_num_threads()} threads)"
    return name if trainer.world_size == 1 else f"{trainer.world_size} × {name}"
