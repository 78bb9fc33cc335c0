"""Compilation of a method's networks with torch.compile."""

import logging
import time
from collections.abc import Callable
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from cyclegan.callbacks._position import data_of
from cyclegan.errors import UserError, is_out_of_memory
from cyclegan.methods.translator import Translator

log = logging.getLogger(__name__)


class Compilation(pl.Callback):
    """Compiles the networks that the method names, for training only, if its `compile_networks` asks for it.

    Validation, samples and other commands run the networks as they are, so that images of other sizes compile nothing
    and metrics do not depend on this. Names of weights and checkpoints do not change.
    """

    def __init__(self) -> None:
        self._start = 0.0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        assert isinstance(pl_module, Translator)
        wanted = pl_module.compile_networks
        pays = pl_module.device.type == "cuda" and data_of(trainer).crop_size is not None
        if wanted is False or (wanted == "auto" and not pays):
            return
        self._start = time.monotonic()
        mode = wanted if isinstance(wanted, str) and wanted != "auto" else None
        for network in pl_module.compiled():
            compile_for_training(network, mode)

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Let CUDA graphs reuse their memory, but not before the optimiser's step: images and gradients are in it."""
        assert isinstance(pl_module, Translator)
        is_first = batch_idx % trainer.accumulate_grad_batches == 0
        if pl_module.compile_networks == "reduce-overhead" and is_first:
            torch.compiler.cudagraph_mark_step_begin()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Log once how long the first batch took, which compiles."""
        if self._start and trainer.is_global_zero:
            log.info("compile   %.0f s, in the first batch", time.monotonic() - self._start)
        self._start = 0.0


def compile_for_training(network: nn.Module, mode: str | None = None) -> None:
    """Compile a network's forward pass in training mode, once for each shape; if that fails, log why and run as it is.

    The network itself, its weights and their names stay the same.
    """
    eager = network.forward
    fast: Callable[..., Tensor] | None = torch.compile(eager, dynamic=False, mode=mode)

    def forward(images: Tensor) -> Tensor:
        nonlocal fast
        if fast is None or not network.training:
            return eager(images)  # type: ignore[no-any-return]
        try:
            return fast(images)
        except Exception as error:
            if isinstance(error, UserError) or is_out_of_memory(error):
                raise
            fast = None
            reason = str(error).strip().partition("\n")[0]
            log.warning("compile   %s runs without: %s", type(network).__name__, reason or type(error).__name__)
            return eager(images)  # type: ignore[no-any-return]

    network.forward = forward
