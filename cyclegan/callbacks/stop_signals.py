"""The ends of a run before its last epoch: asked for by a signal, or forced by a disk that takes no checkpoint."""

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

NOTICE = b"\nstopping after this batch; Ctrl-C once more leaves at once, without saving\n"


class StopRequestedError(Exception):
    """Training ended between two batches because it was asked to.

    Args:
        reason: what asked.
        images_seen: where the run stands.
        newest: the checkpoint to go on from, which holds this state.
        finished: whether the run set itself this end, such as a time limit, and nobody needs to start it again.
    """

    def __init__(self, reason: str, images_seen: int, newest: Path, finished: bool) -> None:
        super().__init__(f"stopped by {reason} at {images_seen:,} images")
        self.newest = newest
        self.finished = finished


class SavingError(UserError, OSError):
    """A checkpoint could not be written: several times in a row, or at a run's end."""


class StopSignals:
    """Notes a signal and does nothing else: what follows from it happens between two batches.

    Args:
        speaks: whether this process tells the user that Ctrl-C was heard.
    """

    SIGNALS = tuple(
        getattr(signal, name) for name in ("SIGTERM", "SIGINT", "SIGUSR1", "SIGHUP") if hasattr(signal, name)
    )

    def __init__(self, speaks: bool) -> None:
        self.received: signal.Signals | None = None
        self._speaks = speaks
        self._interrupts = 0

    def listen(self) -> None:
        """Replaces the handlers, also Lightning's, which save in the handler; Lightning puts back what was before it.

        Only the main thread can; in another one, as in a notebook's, signals keep their meaning. A SIGHUP that is
        ignored, as under nohup, stays so.
        """
        if threading.current_thread() is threading.main_thread():
            for number in self.SIGNALS:
                if number.name != "SIGHUP" or signal.getsignal(number) != signal.SIG_IGN:
                    signal.signal(number, self._note)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.received = self.received or signal.Signals(number)
        if number != signal.SIGINT:
            return
        self._interrupts += 1
        if self._interrupts > 1:
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            os.kill(os.getpid(), signal.SIGINT)
        elif self._speaks:
            os.write(2, NOTICE)  # print may be in the middle of something
