"""When checkpoints are written, which are kept, and how a run ends that is asked to stop."""

import logging
import time
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Checkpoint

from cyclegan.callbacks.position import data_of
from cyclegan.callbacks.stop_signals import StopRequestedError, StopSignals
from cyclegan.checkpoint import CheckpointError, rolling
from cyclegan.integrity import damage
from cyclegan.saving import same_file

log = logging.getLogger(__name__)

NOTHING, SAVE, STOP = 0, 1, 2


class SavingError(OSError):
    """Checkpoints could not be written several times in a row."""


class Checkpointing(Checkpoint):
    """Writes checkpoints between two batches, and leaves there when the run is asked to stop.

    Each is a file `images=NNNNNNNNN.ckpt`, named by the images that the weights have seen; `last.ckpt` is
    another name of the newest, and those of every few epochs stay as `epoch=NNNN.ckpt`.

    Lightning calls a Checkpoint's hooks after those of all other callbacks: what they do in a batch, a row of
    metrics.csv or an average, is done when the checkpoint is written.

    Args:
        run_dir: the files go to `run_dir/checkpoints`.
        every_n_epochs: saved at the end of every so many epochs; None: only the last one and those that stay.
        every_n_images: and whenever so many more images of each domain were seen.
        every_n_minutes: and whenever the last one is so old.
        keep_every_n_epochs: of these epochs, and of the last, the checkpoint stays.
        keep_last: how many of the others stay; the rest is removed once newer ones are whole.
        give_up_after: so many failures to write in a row end the run.
    """

    def __init__(
        self,
        run_dir: str,
        every_n_epochs: int | None = 1,
        every_n_images: int | None = None,
        every_n_minutes: float | None = 10.0,
        keep_every_n_epochs: int | None = 10,
        keep_last: int = 2,
        give_up_after: int = 5,
    ) -> None:
        counts = {
            "every_n_epochs": every_n_epochs,
            "every_n_images": every_n_images,
            "every_n_minutes": every_n_minutes,
            "keep_every_n_epochs": keep_every_n_epochs,
            "keep_last": keep_last,
            "give_up_after": give_up_after,
        }
        for name, value in counts.items():
            if value is not None and value <= 0:
                raise ValueError(f"callbacks.checkpointing.{name} is {value}; it is more than 0, or null for never")
        self.folder = Path(run_dir) / "checkpoints"
        self.every_n_epochs = every_n_epochs
        self.every_n_images = every_n_images
        self.every_n_minutes = every_n_minutes
        self.keep_every_n_epochs = keep_every_n_epochs
        self.keep_last = keep_last
        self.give_up_after = give_up_after
        self.newest: Path | None = None
        """The last checkpoint that this process wrote or began from."""
        self._signals = StopSignals(speaks=False)
        self._failures = 0
        self._steps = 0
        self._saved = (0, 0.0)

    # ------------------------------------------------------------------------------------ when

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Starts counting, and listening to signals."""
        self._steps = trainer.global_step
        self._saved = (data_of(trainer).images_seen, time.monotonic())
        self.newest = Path(trainer.ckpt_path) if trainer.ckpt_path else None
        self._signals = StopSignals(speaks=trainer.is_global_zero)
        self._signals.listen()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Saves or leaves, if it is time for either."""
        stepped, self._steps = trainer.global_step != self._steps, trainer.global_step
        # Gradients that are still being accumulated are in no checkpoint, and an epoch's end is yet to be celebrated.
        if not stepped or trainer.is_last_batch:
            return
        decision = self._agreed(trainer, self._decide(trainer))
        if decision != NOTHING:
            self.save(trainer)
        if decision == STOP:
            self._leave(trainer)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Saves, if this epoch's end is to be kept or the run ends here."""
        data_of(trainer).end_epoch()
        epoch = trainer.current_epoch + 1
        is_last = epoch == trainer.max_epochs or trainer.should_stop
        stays = is_last or (self.keep_every_n_epochs is not None and epoch % self.keep_every_n_epochs == 0)
        regular = self.every_n_epochs is not None and epoch % self.every_n_epochs == 0
        decision = self._agreed(trainer, self._decide(trainer))
        if stays or regular or decision != NOTHING:
            self.save(trainer, f"epoch={epoch:04d}.ckpt" if stays else None)
        if decision == STOP and not is_last:
            self._leave(trainer)

    def _decide(self, trainer: pl.Trainer) -> int:
        if self._signals.received or trainer.should_stop:
            return STOP
        images, clock = self._saved
        enough = self.every_n_images and data_of(trainer).images_seen - images >= self.every_n_images
        old = self.every_n_minutes and time.monotonic() - clock >= 60 * self.every_n_minutes
        return SAVE if enough or old else NOTHING

    @staticmethod
    def _agreed(trainer: pl.Trainer, decision: int) -> int:
        """The most that any device wants: their clocks differ, and a signal may reach one of them only."""
        if trainer.world_size == 1:
            return decision
        wanted = torch.tensor(decision, device=trainer.strategy.root_device)
        return int(trainer.strategy.reduce(wanted, reduce_op="max"))

    # ------------------------------------------------------------------------------------ how

    def save(self, trainer: pl.Trainer, stays_as: str | None = None) -> None:
        """Writes a checkpoint; an error of the file system is shown, and training goes on.

        Args:
            trainer: between two batches, on every device.
            stays_as: a second name, under which the file stays.

        Raises:
            SavingError: it has failed `give_up_after` times in a row.
            CheckpointError: the weights are not finite.
        """
        images = data_of(trainer).images_seen
        path = self.folder / f"images={images:09d}.ckpt"
        self._saved = (images, time.monotonic())
        for logger in trainer.loggers:
            logger.save()  # their rows are on the disk before the checkpoint that counts on them
        problem, is_fatal = trainer.strategy.broadcast(self._write(trainer, path, stays_as))
        if problem is None:
            self._failures, self.newest = 0, path
            return
        self._failures += 1
        good = f"the last good one is {self.newest}" if self.newest else "there is none yet"
        if is_fatal:
            raise CheckpointError(f"{problem}; {good}")
        if self._failures >= self.give_up_after:
            raise SavingError(
                f"no checkpoint could be written {self._failures} times in a row, so the run stops: {problem}; {good}. "
                "Make room, or give another run_dir, then go on with resume=auto"
            )
        if trainer.is_global_zero:
            log.warning(
                "save      failed, training goes on: %s; %s, and the next save is tried again (failure %d of %d)",
                *(problem, good, self._failures, self.give_up_after),
            )

    def _write(self, trainer: pl.Trainer, path: Path, stays_as: str | None) -> tuple[str | None, bool]:
        """Returns what went wrong, if anything did, and whether trying again is no use. The first device writes."""
        try:
            trainer.save_checkpoint(path)
        except (OSError, CheckpointError) as error:
            trainer.strategy.barrier("a save that failed")  # where the others wait at the end of save_checkpoint
            return str(error), isinstance(error, CheckpointError)
        if trainer.is_global_zero:
            try:
                for name in ("last.ckpt", stays_as):
                    if name:
                        same_file(path, self.folder / name)
                self._prune(path)
            except OSError as error:
                return str(error), False
        return None, False

    def _prune(self, newest: Path) -> None:
        """Removes what is older than the newest few, and what a later part of the run left that is now repeated."""
        ours = [path for path in rolling(self.folder) if path.name <= newest.name]
        kept = set(ours[: self.keep_last])
        surplus = [path for path in rolling(self.folder) if path not in kept]
        if surplus and damage(newest) is None:
            for path in surplus:
                path.unlink(missing_ok=True)

    def _leave(self, trainer: pl.Trainer) -> None:
        """Ends the run between two batches.

        Raises:
            StopRequestedError: always.
        """
        for logger in trainer.loggers:
            logger.finalize("preempted")
        signal = self._signals.received
        finished = trainer.should_stop and signal is None
        reason = signal.name if signal else "trainer.max_time or a callback" if finished else "another process"
        trainer.strategy.barrier("stop")
        raise StopRequestedError(reason, data_of(trainer).images_seen, self.newest, finished)
