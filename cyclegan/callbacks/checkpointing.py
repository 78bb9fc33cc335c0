"""Checkpoints: when they are written, which are kept, and how a run is stopped from outside."""

import logging
import time
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Checkpoint

from cyclegan.callbacks._agreement import Agreement
from cyclegan.callbacks._best import Best, MetricWatch
from cyclegan.callbacks._position import data_of
from cyclegan.callbacks.stop_signals import SavingError, StopRequestedError, StopSignals, end_by
from cyclegan.callbacks.validation import Validated
from cyclegan.checkpoint.reading import rolling
from cyclegan.checkpoint.writing import same_file
from cyclegan.errors import CheckpointError, UserError
from cyclegan.files import damage

log = logging.getLogger(__name__)

BEST = "best.ckpt"
NOTHING, SAVE, STOP = 0, 1, 2
RETRY_SECONDS = 10.0


class Checkpointing(Checkpoint):
    """Writes checkpoints between two batches, and stops the run there on a signal or when `trainer.should_stop` is set.

    Several devices agree about every two seconds on signals and clocks, and not after every batch, which would wait for
    all of them. All set `should_stop` after the same batch, as Lightning needs it.

    Each checkpoint is a file `imagesNNNNNNNNN.ckpt`, named by the images of each domain that its weights have seen.
    `last.ckpt` is another name of the newest, `best.ckpt` of the one with the best metric, and those of every few
    epochs are kept as `epochNNNN.ckpt`. A run that resumes keeps its `best.ckpt` until a better one is found.

    Lightning calls the hooks of a `Checkpoint` after those of all other callbacks: their work of a batch, such as a
    row of metrics.csv or an update of an average, is done when the checkpoint is written.

    Args:
        run_dir: the files go to `run_dir/checkpoints`.
        every_n_epochs: save at the end of every n-th epoch; None: only of the last and of those that are kept.
        every_n_images: also save after this many images of each domain since the last save.
        every_n_minutes: also save when the last save is this old.
        keep_every_n_epochs: keep the checkpoint of every n-th epoch, and of the last.
        keep_last: number of other checkpoints to keep; older ones are removed once newer ones are intact.
        give_up_after: failures to write in a row that end the run.
        retry_minutes: how long to retry the last save of a run; None: once.
        best: a metric of the validation, such as `kid` or `psnr_ab`. Whenever it improves, a checkpoint is written and
            becomes `best.ckpt`. None: no `best.ckpt`.

    Raises:
        UserError: an argument is out of range, or the metric has no better side.
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
        self.every_n_epochs = every_n_epochs
        self.every_n_images = every_n_images
        self.every_n_minutes = every_n_minutes
        self.keep_every_n_epochs = keep_every_n_epochs
        self.keep_last = keep_last
        self.give_up_after = give_up_after
        self.retry_minutes = retry_minutes
        for name, value in vars(self).items():
            if value is not None and value <= 0:
                raise UserError(f"callbacks.checkpointing.{name} is {value}; it is more than 0, or null")
        self.folder = Path(run_dir) / "checkpoints"
        self._watch = MetricWatch(best, "callbacks.checkpointing.best") if best else None
        self._is_best = False
        self._best_before: Best | None = None
        self._newest: Path | None = None
        self._signals = StopSignals(notifies=False)
        self._agreement = Agreement()
        self._failures = 0
        self._steps = 0
        self._saved = (0, 0.0)

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        # Until the first batch; Lightning's own would end the run after it, without saving and with exit code 0.
        trainer._signal_connector._sigterm_notifier_fn = end_by  # type: ignore[method-assign, assignment]
        # Lightning would ask the first device before every batch whether it had a SIGTERM, and wait for the GPU.
        trainer.fit_loop.epoch_loop._broadcast_sigterm_tensor = lambda: None  # type: ignore[method-assign]

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        images = data_of(trainer).images_seen
        self._steps = trainer.global_step
        self._saved = (images, time.monotonic())
        self._newest = Path(trainer.ckpt_path) if trainer.ckpt_path else None
        self._signals = StopSignals(notifies=trainer.is_global_zero)
        self._signals.listen()
        if self._watch and not self._watch.has_validated and images == 0 and trainer.is_global_zero:
            log.warning("best      there will be no %s: no validation measures %s", BEST, self._watch.metric)
        # The folder may be another one than the checkpoint's; then the first validation is the best.
        if self._watch and not trainer.strategy.broadcast((self.folder / BEST).exists()):
            self._watch.best = None

    def on_validated(self, trainer: pl.Trainer, pl_module: pl.LightningModule, validated: Validated) -> None:
        """Compare the metric; the checkpoint follows at the end of the epoch."""
        if self._watch:
            self._best_before = self._watch.best
            self._is_best = bool(self._watch.update(validated))

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Save or stop if either is due.

        Not between accumulated batches, whose gradients no checkpoint holds. The last batch of an epoch is left to
        `on_train_epoch_end`.
        """
        stepped, self._steps = trainer.global_step != self._steps, trainer.global_step
        if not stepped or trainer.is_last_batch:
            return
        decision = max(self._agreement.soon(trainer, self._wanted()), self._due(trainer))
        if decision == SAVE:
            self.save(trainer)
        elif decision == STOP:
            self.save_last(trainer)
            self._leave(trainer)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Save if the epoch's checkpoint is kept, is due or is the best so far, or if the run ends here."""
        data_of(trainer).end_epoch()
        epoch = trainer.current_epoch + 1
        is_last = epoch == trainer.max_epochs or trainer.global_step == trainer.max_steps or trainer.should_stop
        is_kept = is_last or (self.keep_every_n_epochs is not None and epoch % self.keep_every_n_epochs == 0)
        is_due = self.every_n_epochs is not None and epoch % self.every_n_epochs == 0
        decision = max(self._agreement.now(trainer, self._wanted()), self._due(trainer))
        names = [f"epoch{epoch:04d}.ckpt"] if is_kept else []
        save = self.save_last if is_last or decision == STOP else self.save
        if self._watch and self._is_best:
            self._is_best = False
            if not save(trainer, *names, BEST):
                self._watch.best = self._best_before  # a later one that is less good may be the best that is stored
            elif trainer.is_global_zero:
                log.info("best      %s → %s", self._watch.best, self.folder / BEST)
        elif is_kept or is_due or decision != NOTHING:
            save(trainer, *names)
        if decision == STOP and not is_last:
            self._leave(trainer)

    def _wanted(self) -> int:
        """Return what this device wants: clocks differ, and a signal may reach only one."""
        old = self.every_n_minutes and time.monotonic() - self._saved[1] >= 60 * self.every_n_minutes
        return STOP if self._signals.received else SAVE if old else NOTHING

    def _due(self, trainer: pl.Trainer) -> int:
        """Return what is due on all devices alike."""
        enough = self.every_n_images and data_of(trainer).images_seen - self._saved[0] >= self.every_n_images
        return STOP if trainer.should_stop else SAVE if enough else NOTHING

    def save(self, trainer: pl.Trainer, *names: str) -> bool:
        """Write a checkpoint, with further names, and return whether that succeeded; a failure is logged.

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
                "Free some space, or set another run_dir, then continue with resume=auto"
            )
        if trainer.is_global_zero:
            log.warning(
                "save      failed, training continues: %s (failure %d of %d)",
                *(problem, self._failures, self.give_up_after),
            )
        return False

    def save_last(self, trainer: pl.Trainer, *names: str) -> bool:
        """Write the last checkpoint of a run, and retry for `retry_minutes` if that fails; return True.

        Raises:
            SavingError: it could not be written in that time.
            CheckpointError: the weights are not finite.
        """
        seconds = 60 * (self.retry_minutes or 0)
        deadline = time.monotonic() + seconds
        has_warned = False
        while (problem := self._attempt(trainer, *names)) is not None:
            if trainer.strategy.broadcast(time.monotonic() >= deadline):
                raise SavingError(
                    f"the run ends, but its last state could not be saved in {self.folder}: {problem}. Free some space "
                    "there, then continue with resume=auto"
                )
            if trainer.is_global_zero and not has_warned:
                log.warning("save      failed, retrying for %g minutes: %s", self.retry_minutes, problem)
                has_warned = True
            time.sleep(min(RETRY_SECONDS, seconds))
        return True

    def _attempt(self, trainer: pl.Trainer, *names: str) -> str | None:
        """Return what went wrong, the same on all devices, with the last good checkpoint; None after a success."""
        images = data_of(trainer).images_seen
        path = self.folder / f"images{images:09d}.ckpt"
        self._saved = (images, time.monotonic())
        for logger in trainer.loggers:
            logger.save()  # their rows are on the disk before the checkpoint
        error = trainer.strategy.broadcast(self._write(trainer, path, *names))
        if error is None:
            self._newest = path
            return None
        text = f"{error}; " + (f"the last good one is {self._newest}" if self._newest else "there is none yet")
        if isinstance(error, CheckpointError):
            raise CheckpointError(text)  # weights that are not finite: a retry is useless
        return text

    def _write(self, trainer: pl.Trainer, path: Path, *names: str) -> Exception | None:
        """Write a checkpoint, which the first device does, and return what went wrong on this device."""
        try:
            trainer.save_checkpoint(path)
        except (OSError, CheckpointError) as error:
            trainer.strategy.barrier("a save that failed")  # where the others wait at the end of save_checkpoint
            return error
        if trainer.is_global_zero:
            try:
                for name in ("last.ckpt", *names):
                    same_file(path, self.folder / name)
                self._prune(path)
            except OSError as error:
                return error
        return None

    def _prune(self, newest: Path) -> None:
        """Remove older checkpoints, and those of a later part of the run that is now repeated."""
        ours = [path for path in rolling(self.folder) if path.name <= newest.name]
        kept = set(ours[: self.keep_last])
        surplus = [path for path in rolling(self.folder) if path not in kept]
        if surplus and damage(newest) is None:
            for path in surplus:
                path.unlink(missing_ok=True)

    def _leave(self, trainer: pl.Trainer) -> None:
        signal = self._signals.received
        is_finished = trainer.should_stop and signal is None
        for logger in trainer.loggers:
            logger.finalize("success" if is_finished else "preempted")
        reason = signal.name if signal else "trainer.max_time or a callback" if is_finished else "another process"
        trainer.strategy.barrier("stop")
        assert self._newest is not None  # save_last has written it
        raise StopRequestedError(reason, data_of(trainer).images_seen, self._newest, is_finished)

    def state_dict(self) -> dict[str, Any]:
        return self._watch.state_dict() if self._watch else {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the best so far, unless another metric is compared now."""
        if self._watch:
            self._watch.load_state_dict(state_dict)
