"""Validation: metrics of held-out images during training."""

import hashlib
import json
import logging
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import pytorch_lightning as pl
from pytorch_lightning.utilities.rank_zero import rank_zero_only
from torch import nn

from cyclegan.callbacks._position import data_of, discard_later
from cyclegan.callbacks.ema import translating
from cyclegan.data.held_out import HeldOut
from cyclegan.errors import UserError, WeightsError
from cyclegan.files import write_text
from cyclegan.methods.translator import Translator
from cyclegan.metrics.feature_network import AnyNetwork, FeatureNetwork
from cyclegan.metrics.perceptual import Lpips
from cyclegan.validation.catalogue import HEADLINES, METRICS
from cyclegan.validation.evaluate import Evaluation, as_csv, evaluate
from cyclegan.validation.feature_cache import References

log = logging.getLogger(__name__)

ON_TEST = (
    "no val images, so test images choose best.ckpt, whose metrics on them are then optimistic; "
    "data.val_share=0.05 sets training images aside instead"
)


@dataclass(frozen=True)
class Validated:
    """The result of a validation, the same on all devices."""

    epoch: int
    """Epochs that training has completed."""

    images: int
    """Images of each domain that training has seen."""

    metrics: dict[str, float]
    """By name without `val/`: `psnr`, `psnr_ab`."""

    protocol: str = ""
    """A digest of how the metrics were computed. Metrics under different protocols cannot be compared."""


@runtime_checkable
class ValidationListener(Protocol):
    """A callback that acts on every validation, including the one before training (epoch 0), on every device."""

    def on_validated(self, trainer: pl.Trainer, pl_module: pl.LightningModule, validated: Validated) -> None:
        """Act on the result of a validation."""
        ...


class Validation(pl.Callback):
    """Computes metrics of held-out images before training and after every few epochs.

    Loggers receive them as `val/…`, callbacks by `on_validated`. If the trainer has an `Ema`, the averaged weights are
    validated. Training is the same with and without this callback, and checkpoints hold nothing of it.

    Args:
        run_dir: metrics of every image and the protocol go to `run_dir/validation`.
        every_n_epochs: how often; the last epoch is validated too.
        max_images: number of images of each domain, evenly spaced over their names; None: all.
        batch_size: images in a forward pass.
        features: the network of FID, KID, precision and recall; a plain module receives images in [-1, 1].
            None: these metrics are left out.
        perceptual: the network of LPIPS; None: LPIPS is left out.

    Raises:
        UserError: an argument is out of range.
    """

    def __init__(
        self,
        run_dir: str,
        every_n_epochs: int = 5,
        max_images: int | None = 500,
        batch_size: int = 4,
        features: FeatureNetwork | nn.Module | None = None,
        perceptual: Lpips | None = None,
    ) -> None:
        for name, value, least in (
            ("every_n_epochs", every_n_epochs, 1),
            ("max_images", max_images, 2),
            ("batch_size", batch_size, 1),
        ):
            if value is not None and value < least:
                raise UserError(f"callbacks.validation.{name} is {value}; it is {least} or more")
        self.folder = Path(run_dir) / "validation"
        self.every_n_epochs = every_n_epochs
        self.max_images = max_images
        self.batch_size = batch_size
        self.features = AnyNetwork(features, size=None) if isinstance(features, nn.Module) else features
        self.perceptual = perceptual
        self._warned: set[str] = set()
        self._held_out: HeldOut | None = None
        self._references: References | None = None

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Find the images, load the feature networks, and validate the untrained networks of a new run."""
        data = data_of(trainer)
        if trainer.is_global_zero:
            discard_later(self.folder, trainer)
        self._held_out = data.held_out(self.max_images)
        if self._held_out is None:
            self._warn(
                "there are no held-out images of every domain, neither val nor test, so nothing is measured; "
                "data.val_share=0.05 sets some of the training images aside"
            )
            return
        if self._held_out.split == "test" and trainer.is_global_zero:
            log.info("val       %s", ON_TEST)
        self._load_networks(trainer)
        self._references = References(self.features, data.cache_dir / "features") if self.features else None
        if data.images_seen == 0:
            self.measure(trainer, pl_module, 0)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        epoch = trainer.current_epoch + 1
        if self._held_out and (epoch % self.every_n_epochs == 0 or epoch == trainer.max_epochs):
            self.measure(trainer, pl_module, epoch)

    def measure(self, trainer: pl.Trainer, pl_module: pl.LightningModule, epoch: int) -> None:
        """Compute the metrics on all devices together, log and write them, and call the listeners."""
        assert isinstance(pl_module, Translator)
        assert self._held_out is not None
        start = time.monotonic()
        with translating(trainer, pl_module) as is_averaged:
            found = evaluate(
                pl_module,
                self._held_out,
                self._references,
                self.perceptual,
                self.batch_size,
                trainer.precision_plugin.forward_context,
            )
        validated = Validated(epoch, data_of(trainer).images_seen, found.metrics, digest(found.protocol))
        row = {"epoch": float(epoch)} | {f"val/{name}": value for name, value in found.metrics.items()}
        for logger in trainer.loggers:
            logger.log_metrics(row, step=validated.images)
        if trainer.is_global_zero:
            self._warn_missing(found)
            self._write(found, epoch, "their moving average" if is_averaged else "as trained")
            shown = "  ".join(f"{name} {found.metrics[name]:.4g}" for name in HEADLINES if name in found.metrics)
            when = f"epoch {epoch}" if epoch else "before training"
            log.info("val       %s: %s  (%.1f s)", when, shown, time.monotonic() - start)
        call_listeners(trainer, pl_module, validated)

    def _load_networks(self, trainer: pl.Trainer) -> None:
        """Load the pretrained networks on every device; metrics whose weights are unavailable are left out."""
        for name in ("features", "perceptual"):
            network: FeatureNetwork | Lpips | None = getattr(self, name)
            problem = ""
            for is_first in (True, False):  # the first process downloads, the others find the file
                if network is not None and trainer.is_global_zero is is_first:
                    try:
                        network.load()
                    except WeightsError as error:
                        problem = str(error)
                trainer.strategy.barrier()
            # A device that has the weights cannot measure without the others.
            if not trainer.strategy.reduce_boolean_decision(not problem, all=True):
                setattr(self, name, None)
                without = ", ".join(metric.name for metric in METRICS.values() if metric.network == name)
                self._warn(f"without {without}: {problem or 'another device lacks the weights'}")

    def _warn_missing(self, found: Evaluation) -> None:
        assert self._held_out is not None
        unreadable = [f"{count} of {d}" for d, count in found.protocol["images"]["unreadable"].items() if count]
        if unreadable:
            self._warn(f"skipped unreadable images: {', '.join(unreadable)}; `cyclegan-data check` lists them")
        if self._references and "kid" not in found.metrics:
            self._warn("no KID and FID: they need 2 images of each domain")
        if self._held_out.ground_truth and "psnr" not in found.metrics:
            self._warn(
                "no PSNR and SSIM: translations and paired images differ in size; data.crop_size makes them equal"
            )

    @rank_zero_only
    def _warn(self, text: str) -> None:
        if text not in self._warned:
            log.warning("val       %s", text)
        self._warned.add(text)

    def _write(self, found: Evaluation, epoch: int, weights: str) -> None:
        selection = {"selection": ON_TEST} if found.protocol["images"]["split"] == "test" else {}
        record = {**found.protocol, **selection, "weights": weights, "epoch": epoch}
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            write_text(self.folder / "protocol.json", json.dumps(record, indent=2, ensure_ascii=False) + "\n")
            write_text(self.folder / f"epoch{epoch:04d}.csv", as_csv(found.images))
        except OSError as error:
            log.warning("val       %s was not written, training continues: %s", self.folder, error)


def call_listeners(trainer: pl.Trainer, pl_module: pl.LightningModule, validated: Validated) -> None:
    """Pass the result of a validation to the trainer's callbacks, in their order."""
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        if isinstance(callback, ValidationListener):
            callback.on_validated(trainer, pl_module, validated)


def digest(protocol: dict[str, Any]) -> str:
    """Return a digest of a protocol, without the versions of packages that only read images."""
    compared = {name: entry for name, entry in protocol.items() if name != "versions"}
    return hashlib.sha256(json.dumps(compared, sort_keys=True).encode()).hexdigest()[:16]
