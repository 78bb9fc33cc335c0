"""Signals that stop a run, and the errors and exit codes of a run that ends early."""

import os
import signal
import threading
from pathlib import Path
from types import FrameType

from cyclegan.errors import UserError

EXIT_RESUME = 75
"""Exit code of a run that was stopped and saved: start it again with resume=auto (EX_TEMPFAIL of sysexits.h)."""

EXIT_NOT_SAVED = 74
"""Exit code of a run whose state could not be written (EX_IOERR of sysexits.h)."""

NOTICE = b"\nstopping between two batches; Ctrl-C once more leaves at once, without saving\n"


class StopRequestedError(Exception):
    """Training stopped between two batches, and its state was saved.

    Args:
        reason: name of the signal or limit.
        images_seen: position of the run.
        newest: the checkpoint with this state.
        is_finished: whether the run reached a limit of its own, such as `trainer.max_time`, and needs no restart.
    """

    def __init__(self, reason: str, images_seen: int, newest: Path, is_finished: bool) -> None:
        super().__init__(f"stopped by {reason} at {images_seen:,} images")
        self.newest = newest
        self.finished = is_finished


class SavingError(UserError, OSError):
    """A checkpoint could not be written: several times in a row, or at the end of a run."""


class StopSignals:
    """Stores the first signal that arrives; the run acts on it between two batches.

    Args:
        notifies: whether this process prints a line on the first Ctrl-C.
    """

    SIGNALS = tuple(
        getattr(signal, name) for name in ("SIGTERM", "SIGINT", "SIGUSR1", "SIGUSR2", "SIGHUP") if hasattr(signal, name)
    )

    def __init__(self, notifies: bool) -> None:
        self.received: signal.Signals | None = None
        self._notifies = notifies

    def listen(self) -> None:
        """Replace Lightning's handlers, which save within the handler; Lightning restores the original ones.

        Only in the main thread, where Python allows it. A SIGHUP that is ignored, as under nohup, stays ignored.
        """
        if threading.current_thread() is threading.main_thread():
            for number in self.SIGNALS:
                if number.name != "SIGHUP" or signal.getsignal(number) != signal.SIG_IGN:
                    signal.signal(number, self._record)

    def _record(self, number: int, frame: FrameType | None) -> None:
        self.received = self.received or signal.Signals(number)
        if number == signal.SIGINT:
            signal.signal(signal.SIGINT, signal.SIG_DFL)  # the second Ctrl-C ends the process at once
            if self._notifies:
                os.write(2, NOTICE)  # print is not safe in a signal handler


def end_by(number: int, frame: FrameType | None) -> None:
    """End the process by a signal, as if it had no handler."""
    signal.signal(number, signal.SIG_DFL)
    signal.raise_signal(number)
