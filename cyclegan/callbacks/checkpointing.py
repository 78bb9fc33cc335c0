"""When checkpoints are written, which are kept, and how a run ends that is asked to stop."""

import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Checkpoint

from cyclegan.callbacks.best import BEST, Best, MetricWatch, settle
from cyclegan.callbacks.position import data_of
from cyclegan.callbacks.stop_signals import SavingError, StopRequestedError, StopSignals
from cyclegan.callbacks.validation import validation_of
from cyclegan.checkpoint.reading import rolling
from cyclegan.checkpoint.writing import same_file
from cyclegan.errors import CheckpointError, UserError
from cyclegan.files import damage

log = logging.getLogger(__name__)

NOTHING, SAVE, STOP = 0, 1, 2
RETRY_SECONDS = 10.0


class Checkpointing(Checkpoint):
    """Writes checkpoints between two batches, and leaves there when the run is asked to stop.

    Each is a file `imagesNNNNNNNNN.ckpt`, named by the images that the weights have seen; `last.ckpt` is
    another name of the newest, `best.ckpt` of that with the best metric, and those of every few epochs stay as
    `epochNNNN.ckpt`.

    Lightning calls a Checkpoint's hooks after those of all other callbacks: what they do in a batch, a row of
    metrics.csv or an average, is done when the checkpoint is written.

    A checkpoint remembers the best up to then. A run that is taken back to it compares with that best: `best.ckpt`
    becomes it again where it still exists, and else stays what it is until the run finds a better one.

    Args:
        run_dir: the files go to `run_dir/checkpoints`.
        every_n_epochs: saved at the end of every so many epochs; None: only the last one and those that stay.
        every_n_images: and whenever so many more images of each domain were seen.
        every_n_minutes: and whenever the last one is so old.
        keep_every_n_epochs: of these epochs, and of the last, the checkpoint stays.
        keep_last: how many of the others stay; the rest is removed once newer ones are whole.
        give_up_after: so many failures to write in a row end the run.
        retry_minutes: how long the state with which a run ends is tried to be written; None: once.
        best: a metric of the validation, such as `kid` or `psnr_ab`, without the `val/` of metrics.csv: whenever it
            is better than ever, a checkpoint is written, and becomes `best.ckpt`. None: there is none.
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
        retry_minutes: float | None = 10.0,
        best: str | None = "kid",
    ) -> None:
        counts = {
            "every_n_epochs": every_n_epochs,
            "every_n_images": every_n_images,
            "every_n_minutes": every_n_minutes,
            "keep_every_n_epochs": keep_every_n_epochs,
            "keep_last": keep_last,
            "give_up_after": give_up_after,
            "retry_minutes": retry_minutes,
        }
        for name, value in counts.items():
            if value is not None and value <= 0:
                raise UserError(f"callbacks.checkpointing.{name} is {value}; it is more than 0, or null for never")
        self.folder = Path(run_dir) / "checkpoints"
        self.every_n_epochs = every_n_epochs
        self.every_n_images = every_n_images
        self.every_n_minutes = every_n_minutes
        self.keep_every_n_epochs = keep_every_n_epochs
        self.keep_last = keep_last
        self.give_up_after = give_up_after
        self.retry_minutes = retry_minutes
        self.newest: Path | None = None
        """The last checkpoint that this process wrote or began from."""
        self._watch = MetricWatch(best, "callbacks.checkpointing.best") if best else None
        self._signals = StopSignals(speaks=False)
        self._failures = 0
        self._steps = 0
        self._saved = (0, 0.0)

    # ------------------------------------------------------------------------------------ when

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Starts counting, and listening to signals; puts a resumed run's `best.ckpt` right."""
        self._steps = trainer.global_step
        self._saved = (data_of(trainer).images_seen, time.monotonic())
        self.newest = Path(trainer.ckpt_path) if trainer.ckpt_path else None
        self._signals = StopSignals(speaks=trainer.is_global_zero)
        self._signals.listen()
        if self._watch:
            self._watch.warn_if_missing(trainer)  # before training, not after the first epochs of it
            validation = validation_of(trainer)
            if trainer.is_global_zero and not (validation and validation.is_measuring):
                log.info("best      there will be no %s, as no validation measures %s", BEST, self._watch.metric)
        if self.newest and self._watch and self._watch.best and trainer.is_global_zero:
            settle(self._watch.best, self.folder, self.newest, data_of(trainer).images_seen, self.state_key)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Saves or leaves, if it is time for either."""
        stepped, self._steps = trainer.global_step != self._steps, trainer.global_step
        # Gradients that are still being accumulated are in no checkpoint, and an epoch's end is yet to be celebrated.
        if not stepped or trainer.is_last_batch:
            return
        decision = self._agreed(trainer, self._decide(trainer))
        if decision == SAVE:
            self.save(trainer)
        elif decision == STOP:
            self.save_last(trainer)
            self._leave(trainer)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Saves, if this epoch's end is to be kept, is the best so far, or the run ends here."""
        data_of(trainer).end_epoch()
        epoch = trainer.current_epoch + 1
        is_last = epoch == trainer.max_epochs or trainer.global_step == trainer.max_steps or trainer.should_stop
        stays = is_last or (self.keep_every_n_epochs is not None and epoch % self.keep_every_n_epochs == 0)
        names = [f"epoch{epoch:04d}.ckpt"] if stays else []
        regular = self.every_n_epochs is not None and epoch % self.every_n_epochs == 0
        decision = self._agreed(trainer, self._decide(trainer))
        best = self._new_best(trainer)
        save = self.save_last if is_last or decision == STOP else self.save
        if best:
            self._save_best(trainer, save, best, *names)
        elif stays or regular or decision != NOTHING:
            save(trainer, *names)
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

    def _new_best(self, trainer: pl.Trainer) -> Best | None:
        """The metric of this epoch's validation, if it is better than ever: on all devices, as metrics are the same."""
        if self._watch is None:
            return None
        value = self._watch.measured(trainer)
        return self._watch.here(trainer, value) if value is not None and self._watch.is_better(value) else None

    def _save_best(self, trainer: pl.Trainer, save: Callable[..., bool], best: Best, *names: str) -> None:
        """Saves the best so far, which says so itself. If that fails, a later one that is less good may be the best."""
        assert self._watch is not None
        before, self._watch.best = self._watch.best, best
        if not save(trainer, *names, BEST):
            self._watch.best = before
        elif trainer.is_global_zero:
            log.info("best      %s → %s", best, self.folder / BEST)

    def save(self, trainer: pl.Trainer, *names: str) -> bool:
        """Writes a checkpoint; an error of the file system is shown, and training goes on.

        Args:
            trainer: between two batches, on every device.
            names: more names, under which the file stays.

        Returns:
            whether it was written.

        Raises:
            SavingError: it has failed `give_up_after` times in a row.
            CheckpointError: the weights are not finite.
        """
        problem = self._attempt(trainer, *names)
        if problem is None:
            self._failures = 0
            return True
        self._failures += 1
        if self._failures >= self.give_up_after:
            raise SavingError(
                f"no checkpoint could be written {self._failures} times in a row, so the run stops: {problem}. "
                "Make room, or give another run_dir, then go on with resume=auto"
            )
        if trainer.is_global_zero:
            log.warning(
                "save      failed, training goes on: %s, and the next save is tried again (failure %d of %d)",
                *(problem, self._failures, self.give_up_after),
            )
        return False

    def save_last(self, trainer: pl.Trainer, *names: str) -> bool:
        """Writes the checkpoint with which a run ends; where that fails, tries again for `retry_minutes`.

        Returns:
            True, as a run does not end successfully without it.

        Raises:
            SavingError: it could not be written in that time.
            CheckpointError: the weights are not finite.
        """
        patience = 60 * (self.retry_minutes or 0)
        deadline = time.monotonic() + patience
        has_warned = False
        while (problem := self._attempt(trainer, *names)) is not None:
            if trainer.strategy.broadcast(time.monotonic() >= deadline):
                raise SavingError(
                    f"the run ends, but its last state could not be saved in {self.folder}: {problem}. Make room "
                    "there, then go on with resume=auto"
                )
            if trainer.is_global_zero and not has_warned:
                log.warning("save      failed, tried again for %g minutes: %s", self.retry_minutes, problem)
                has_warned = True
            time.sleep(min(RETRY_SECONDS, patience))
        return True

    def _attempt(self, trainer: pl.Trainer, *names: str) -> str | None:
        """Returns what went wrong, the same on all devices, and which checkpoint is the last good one."""
        images = data_of(trainer).images_seen
        path = self.folder / f"images{images:09d}.ckpt"
        self._saved = (images, time.monotonic())
        for logger in trainer.loggers:
            logger.save()  # their rows are on the disk before the checkpoint that counts on them
        problem, is_fatal = trainer.strategy.broadcast(self._write(trainer, path, *names))
        if problem is None:
            self.newest = path
            return None
        described = f"{problem}; " + (f"the last good one is {self.newest}" if self.newest else "there is none yet")
        if is_fatal:
            raise CheckpointError(described)
        return described

    def _write(self, trainer: pl.Trainer, path: Path, *names: str) -> tuple[str | None, bool]:
        """Returns what went wrong, if anything did, and whether trying again is no use. The first device writes."""
        try:
            trainer.save_checkpoint(path)
        except (OSError, CheckpointError) as error:
            trainer.strategy.barrier("a save that failed")  # where the others wait at the end of save_checkpoint
            return str(error), isinstance(error, CheckpointError)
        if trainer.is_global_zero:
            try:
                for name in ("last.ckpt", *names):
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
        assert self.newest is not None  # a run is left after save_last alone
        raise StopRequestedError(reason, data_of(trainer).images_seen, self.newest, finished)

    # ------------------------------------------------------------------------------------ what is remembered

    def state_dict(self) -> dict[str, Any]:
        """The best metric so far, and where it was."""
        return self._watch.state_dict() if self._watch else {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Goes on comparing, unless another metric is now looked at."""
        if self._watch:
            self._watch.load_state_dict(state_dict)
