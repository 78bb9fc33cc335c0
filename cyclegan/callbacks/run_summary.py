"""A summary of a run, logged before it begins."""

import logging
from pathlib import Path

import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities.rank_zero import rank_zero_only
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from cyclegan.callbacks._position import data_of
from cyclegan.callbacks.ema import Ema
from cyclegan.callbacks.memory import estimate
from cyclegan.methods.translator import Translator

log = logging.getLogger(__name__)

GB = 2**30
"""Bytes of a GB, as in the names of graphics cards."""

RESERVE = 0.1
"""Share of a GPU's memory that an estimate should leave free, for what it does not count."""


class RunSummary(pl.Callback):
    """Logs the devices, precision, effective batch size, images and parameters as found, not as configured.

    On a GPU it also logs how much memory training will take, and what to change if the GPU has less.
    """

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
        available = gpu_memory(trainer.strategy.root_device)
        if available and data.crop_size is not None:
            assert isinstance(pl_module, Translator)
            _log_memory(trainer, pl_module, data.crop_size, data.batch_size, available)


def _log_memory(trainer: pl.Trainer, translator: Translator, crop: int, batch: int, available: int) -> None:
    averaged = any(isinstance(callback, Ema) for callback in trainer.callbacks)  # type: ignore[attr-defined]
    device, autocast = trainer.strategy.root_device, trainer.precision_plugin.forward_context
    try:
        memory = estimate(translator, crop, batch, device, autocast, averaged)
    except Exception as error:  # of a step that needs the values of tensors; it may train all the same
        log.info("memory    not estimated: %s", str(error).partition("\n")[0] or type(error).__name__)
        return
    parts = f"{memory.step / GB:.1f} a step of {batch} × {crop}², {memory.state / GB:.1f} weights and optimizer"
    line = f"about {memory.total / GB:.1f} GB of {available / GB:.1f} GB: {parts}, {memory.pools / GB:.1f} image pools"
    if memory.total <= (1 - RESERVE) * available:
        log.info("memory    %s", line)
    else:
        log.warning(
            "memory    %s. That may be too much: lower data.batch_size or data.crop_size, or set "
            "model.generator.activation_checkpointing=true or trainer.precision=bf16-mixed",
            line,
        )


def gpu_memory(device: torch.device) -> int | None:
    """Return the bytes of memory of a CUDA device; None for another one."""
    return torch.cuda.get_device_properties(device).total_memory if device.type == "cuda" else None


def device_name(trainer: pl.Trainer) -> str:
    """Return the name of the device, with the number of devices if there are several."""
    root = trainer.strategy.root_device
    name = torch.cuda.get_device_name(root) if root.type == "cuda" else root.type
    if root.type == "cpu":
        name = f"cpu ({torch.get_num_threads()} threads)"
    return name if trainer.world_size == 1 else f"{trainer.world_size} × {name}"
