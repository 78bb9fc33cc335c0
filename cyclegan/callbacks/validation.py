"""Metrics of held-out images, again and again as training goes on."""

import csv
import hashlib
import io
import json
import logging
import time
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.utilities.rank_zero import rank_zero_only
from torch import nn

from cyclegan.callbacks.ema import averaged, averages
from cyclegan.callbacks.eval_mode import evaluating
from cyclegan.callbacks.position import data_of, discard_later
from cyclegan.data.held_out import HeldOut
from cyclegan.errors import UserError
from cyclegan.files import write_text
from cyclegan.methods.translator import Translator
from cyclegan.metrics.feature_network import AnyNetwork, FeatureNetwork, WeightsError
from cyclegan.metrics.perceptual import Lpips
from cyclegan.validation.evaluate import Evaluation, evaluate
from cyclegan.validation.feature_cache import References

log = logging.getLogger(__name__)

NETWORKS = {"features": ("fid", "kid", "precision", "recall"), "perceptual": ("lpips",)}
"""The metrics that each network is for."""

SAID = ("psnr", "ssim", "kid", "fid", "lpips", "cycle", "identity")

ON_TEST = (
    "no val images, so test images choose best.ckpt, whose metrics on them are then optimistic; "
    "data.val_share=0.05 sets training images aside instead"
)
"""What is said where models are selected by test images."""


class Validation(pl.Callback):
    """Measures before training and after every few epochs: in metrics.csv, wandb and others as `val/…`.

    Averaged weights are measured where the run keeps them. Training is the same with and without it, and what
    measures is in no checkpoint.

    Args:
        run_dir: what was measured of every image, and how, goes to `run_dir/validation`.
        every_n_epochs: how often; the last epoch is measured too.
        max_images: the largest number that is measured of each domain, evenly spaced over their names; None: all.
        batch_size: images that go through the networks together.
        features: the network of FID, KID, precision and recall; a plain module sees images as they are, in [-1, 1].
            None: these are not measured.
        perceptual: the network of LPIPS; None: that is not measured.

    Raises:
        UserError: an argument makes no sense.
    """

    metrics: dict[str, float]
    """Of the epoch that ends now; empty in epochs without a validation."""

    protocol: str = ""
    """Stands for how they were measured: metrics under two of these are not to be compared."""

    is_measuring: bool = True
    """Whether there is anything to measure."""

    given_up: tuple[str, ...] = ()
    """Metrics that are not measured, as the weights of a network cannot be had."""

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
        self.metrics = {}
        self._told: set[str] = set()
        self._held_out: HeldOut | None = None
        self._references: References | None = None

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Finds the images, and measures the start of a new run."""
        data = data_of(trainer)
        if trainer.is_global_zero:
            discard_later(self.folder, trainer)
        self._held_out = data.held_out(self.max_images)
        self.is_measuring = self._held_out is not None
        if self._held_out is None:
            if trainer.is_global_zero:
                log.warning(
                    "val       nothing is measured: there are no held-out images of every domain, neither val nor "
                    "test. data.val_share=0.05 sets some of the training images aside"
                )
            return
        if self._held_out.split == "test" and trainer.is_global_zero:
            log.info("val       %s", ON_TEST)
        self._find_weights(trainer)
        self._references = References(self.features, data.cache_dir / "features") if self.features else None
        if data.images_seen == 0:
            self.measure(trainer, pl_module, 0)

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Forgets the last metrics."""
        self.metrics = {}

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Measures every few epochs, and at the last."""
        epoch = trainer.current_epoch + 1
        if self._held_out and (epoch % self.every_n_epochs == 0 or epoch == trainer.max_epochs):
            self.measure(trainer, pl_module, epoch)

    def measure(self, trainer: pl.Trainer, pl_module: pl.LightningModule, epoch: int) -> None:
        """Measures, on all devices together, and hands the metrics to disk and to the loggers."""
        assert isinstance(pl_module, Translator)
        assert self._held_out is not None
        start = time.monotonic()
        with evaluating(pl_module), averaged(trainer, pl_module):
            found = evaluate(
                pl_module,
                self._held_out,
                self._references,
                self.perceptual,
                self.batch_size,
                trainer.precision_plugin.forward_context,
            )
        self.metrics, self.protocol = found.metrics, digest(found.protocol)
        seen = data_of(trainer).images_seen
        row = {"epoch": float(epoch)} | {f"val/{name}": value for name, value in found.metrics.items()}
        for logger in trainer.loggers:
            logger.log_metrics(row, step=seen)
        self._write(found, epoch, "their moving average" if averages(trainer) else "as trained")
        self._say(epoch, time.monotonic() - start)

    def _find_weights(self, trainer: pl.Trainer) -> None:
        """Loads the feature networks, on every device; training goes on without one whose weights cannot be had."""
        without: list[str] = []
        problems: list[str] = []
        for name, of in NETWORKS.items():
            network: FeatureNetwork | Lpips | None = getattr(self, name)
            problem = ""
            for is_first in (True, False):  # what the first process fetches, the others find
                if network is not None and trainer.is_global_zero is is_first:
                    try:
                        network.load()
                    except WeightsError as error:
                        problem = str(error)
                trainer.strategy.barrier()
            # A device that has them cannot measure without the others.
            if not trainer.strategy.reduce_boolean_decision(not problem, all=True):
                setattr(self, name, None)
                self.given_up += of
                without += of
                problems.append(problem or "another device lacks the weights")
        if without and trainer.is_global_zero:
            log.warning("val       without %s: %s", ", ".join(without), " And ".join(problems))

    def _explain(self, found: Evaluation) -> None:
        """Says once why metrics are missing that were asked for."""
        assert self._held_out is not None
        unreadable = [f"{count} of {d}" for d, count in found.protocol["images"]["unreadable"].items() if count]
        reasons = []
        if unreadable:
            names = ", ".join(unreadable)
            reasons.append(f"left out, as they cannot be read: {names}; `cyclegan-data check` says which they are")
        if self._references and "kid" not in found.metrics:
            reasons.append("no KID and FID: they need 2 images of each domain")
        if self._held_out.ground_truth and "psnr" not in found.metrics:
            reasons.append("ground truth is not compared: translations have another size; data.crop_size gives one")
        for reason in reasons:
            if reason not in self._told:
                log.warning("val       %s", reason)
        self._told.update(reasons)

    @rank_zero_only
    def _write(self, found: Evaluation, epoch: int, weights: str) -> None:
        self._explain(found)
        selection = {"selection": ON_TEST} if found.protocol["images"]["split"] == "test" else {}
        record = {**found.protocol, **selection, "weights": weights, "epoch": epoch}
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            write_text(self.folder / "protocol.json", json.dumps(record, indent=2, ensure_ascii=False) + "\n")
            write_text(self.folder / f"epoch{epoch:04d}.csv", table(found))
        except OSError as error:
            log.warning("val       %s was not written, training goes on: %s", self.folder, error)

    @rank_zero_only
    def _say(self, epoch: int, seconds: float) -> None:
        said = "  ".join(f"{name} {self.metrics[name]:.4g}" for name in SAID if name in self.metrics)
        when = f"epoch {epoch}" if epoch else "before training"
        log.info("val       %s: %s  (%.1f s)", when, said, seconds)


def table(found: Evaluation) -> str:
    """The metrics of every image as CSV."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, dict.fromkeys(name for row in found.images for name in row), lineterminator="\n")
    writer.writeheader()
    writer.writerows(found.images)
    return text.getvalue()


def digest(protocol: dict[str, Any]) -> str:
    """Stands for a protocol, but for the versions of what only reads images."""
    compared = {name: entry for name, entry in protocol.items() if name != "versions"}
    return hashlib.sha256(json.dumps(compared, sort_keys=True).encode()).hexdigest()[:16]


def metrics_of(trainer: pl.Trainer) -> dict[str, float]:
    """The metrics measured at the end of the epoch that ends now; empty where there was no validation."""
    found = validation_of(trainer)
    return found.metrics if found else {}


def validation_of(trainer: pl.Trainer) -> Validation | None:
    """What measures in this run."""
    return next((c for c in trainer.callbacks if isinstance(c, Validation)), None)  # type: ignore[attr-defined]


def given_up_by(trainer: pl.Trainer) -> tuple[str, ...]:
    """Metrics that this run does without, as the weights of a network cannot be had."""
    found = validation_of(trainer)
    return found.given_up if found else ()
