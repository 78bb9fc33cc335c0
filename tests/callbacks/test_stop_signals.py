"""Recording of signals that ask a run to stop."""

import os
import signal
import threading
from collections.abc import Iterator

import pytest

from cyclegan.callbacks.stop_signals import StopSignals
from tests.faults import in_a_child

HANDLERS = {number: signal.getsignal(number) for number in StopSignals.SIGNALS}


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    yield
    for number, handler in HANDLERS.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2, signal.SIGINT, signal.SIGHUP])
def test_a_signal_is_recorded(number: signal.Signals, capfd: pytest.CaptureFixture[str]) -> None:
    signals = StopSignals(notifies=True)
    signals.listen()
    os.kill(os.getpid(), number)
    assert signals.received == number
    os.kill(os.getpid(), signal.SIGTERM)
    os.kill(os.getpid(), signal.SIGTERM)
    assert signals.received == number, "the first signal is kept"
    assert ("Ctrl-C once more" in capfd.readouterr().err) == (number == signal.SIGINT)


def test_a_hangup_that_is_ignored_under_nohup_stays_ignored() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signals = StopSignals(notifies=False)
    signals.listen()
    os.kill(os.getpid(), signal.SIGHUP)
    assert signals.received is None


@pytest.mark.parametrize(
    ("sent", "ended"),
    [
        ([signal.SIGINT], 0),
        ([signal.SIGINT, signal.SIGINT], -signal.SIGINT),
        ([signal.SIGTERM, signal.SIGINT, signal.SIGINT], -signal.SIGINT),
    ],
)
def test_the_second_ctrl_c_ends_the_process_at_once(sent: list[signal.Signals], ended: int) -> None:
    def work() -> None:
        StopSignals(notifies=False).listen()
        for number in sent:
            os.kill(os.getpid(), number)

    assert in_a_child(work) == ended


def test_listening_in_another_thread_installs_no_handlers() -> None:
    thread = threading.Thread(target=StopSignals(notifies=True).listen)
    thread.start()
    thread.join()
    assert {number: signal.getsignal(number) for number in StopSignals.SIGNALS} == HANDLERS
