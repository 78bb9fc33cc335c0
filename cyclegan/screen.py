"""What commands print to: a stream that costs no result."""

import errno
import os
import sys
from io import TextIOWrapper

READER_GONE = (errno.EPIPE, errno.EIO)


class Screen(TextIOWrapper):
    """A standard stream that replaces what its encoding lacks, and goes on in silence once its reader has gone.

    Readers go as `head` does when it has read enough, or as a terminal does that is closed.
    """

    replaced: TextIOWrapper

    def write(self, text: str, /) -> int:
        """Write a text; returns its length."""
        try:
            return super().write(text)
        except OSError as error:
            self._go_on(error)
            return len(text)

    def flush(self) -> None:
        """Hand over what was written."""
        try:
            super().flush()
        except OSError as error:
            self._go_on(error)

    def _go_on(self, error: OSError) -> None:
        if error.errno not in READER_GONE:
            raise error
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self.fileno())
        os.close(nowhere)


def open_screen() -> None:
    """Let standard output and standard error of this process be such streams. Every command begins with it."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if type(stream) is TextIOWrapper:  # neither none nor what a program has put in its place
            stream.flush()
            screen = Screen(
                stream.buffer, stream.encoding, "replace",
                line_buffering=stream.line_buffering, write_through=stream.write_through,
            )  # fmt: skip
            screen.replaced = stream  # whose end would close the buffer
            setattr(sys, name, screen)
