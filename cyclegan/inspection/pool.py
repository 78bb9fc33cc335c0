"""Processes that work on many files: in order, and without ending because one file ends a process."""

import multiprocessing
import os
import signal
import sys
import traceback
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import islice
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from types import TracebackType
from typing import Any, Self, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

TOGETHER = 16
"""Files that a process is given at a time: enough for what the way there and back costs."""

LEAVE = 5.0
"""Seconds that a process has to clear away what it has begun to write."""

_READY = "ready"


class Crew:
    """Processes of the same program, each started anew, so that they hold nothing but what their work imports.

    Ctrl-C reaches the main process only, which ends the others.

    Args:
        workers: how many processes; they are started when there is work.
    """

    def __init__(self, workers: int) -> None:
        self._workers = workers
        self._members: list[_Member] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for member in self._members:
            member.process.terminate()
        for member in self._members:
            member.end()
        self._members = []

    def map(
        self, work: Callable[[Item], Result], items: Iterable[Item], died: Callable[[Item, str], Result]
    ) -> Iterator[Result]:
        """The results of all items, in their order.

        Args:
            work: a function of a module (or a partial of one), called in one of the processes.
            items: small things, such as names of files; they are taken as work goes on.
            died: the result of an item that ended its process even when it was alone, given how that ended.

        Raises:
            Exception: what `work` raised.
            RuntimeError: a process ends before it begins to work.
        """
        tasks: Iterator[_Task] = _tasks(items)
        again: deque[_Task] = deque()
        finished: dict[int, Any] = {}
        position = 0
        while True:
            self._hand_out(work, tasks, again)
            busy = [member for member in self._members if member.task is not None]
            if not busy:
                return
            for connection in wait([member.connection for member in busy]):
                member = next(member for member in busy if member.connection is connection)
                start, taken = member.task or (0, [])
                answer = member.answer()
                if answer is None:
                    how = member.end()
                    self._members.remove(member)
                    if not member.ready:
                        raise RuntimeError(f"a process that was to read images {how} before it could begin")
                    if len(taken) == 1:
                        finished[start] = died(taken[0], how)
                    else:  # which of them it was shows when each is alone
                        again.extend((start + number, [item]) for number, item in enumerate(taken))
                elif answer != _READY:
                    member.task = None
                    if isinstance(answer, BaseException):
                        raise answer
                    finished.update(enumerate(answer, start))
            while position in finished:
                yield finished.pop(position)
                position += 1

    def _hand_out(self, work: Callable[[Any], Any], tasks: Iterator["_Task"], again: deque["_Task"]) -> None:
        idle = [member for member in self._members if member.task is None]
        while idle or len(self._members) < self._workers:
            task = again.popleft() if again else next(tasks, None)
            if task is None:
                return
            if not idle:
                idle.append(_Member())
                self._members.append(idle[0])
            idle.pop().give(work, task)


_Task = tuple[int, list[Any]]  # position of its first item, items


def _tasks(items: Iterable[Any]) -> Iterator[_Task]:
    remaining = iter(items)
    start = 0
    while taken := list(islice(remaining, TOGETHER)):
        yield start, taken
        start += len(taken)


class _Member:
    """One process, seen from the main one."""

    def __init__(self) -> None:
        context = multiprocessing.get_context("spawn")  # a fork would hold torch, and its threads' locks
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs,), daemon=True)
        with _interrupt_held_back():
            self.process.start()
        theirs.close()  # so that the process's end is the connection's end
        self.task: _Task | None = None
        self.ready = False

    def give(self, work: Callable[[Any], Any], task: _Task) -> None:
        self.task = task
        with suppress(OSError):  # it is dead, which shows when its answer is awaited
            self.connection.send((work, task[1]))

    def answer(self) -> Any:
        """A list of results, an error, or _READY; None if the process ended."""
        try:
            answer = self.connection.recv()
        except (EOFError, OSError):
            return None
        self.ready = True
        return answer

    def end(self) -> str:
        """Waits until the process has ended; says how."""
        self.process.join(LEAVE)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()
        self.connection.close()
        code = self.process.exitcode or 0
        if code >= 0:
            return f"ended with exit code {code}"
        known = {number.value: number.name for number in signal.Signals}
        return f"was killed by {known.get(-code, f'signal {-code}')}"


@contextmanager
def _interrupt_held_back() -> Iterator[None]:
    """A process that is started meanwhile never hears of Ctrl-C; here, it comes at the end of this."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    resource_tracker.ensure_running()  # or it would be started amidst this, and let the signal through
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _serve(connection: "Connection[Any, Any]") -> None:
    """What a process does until the main one closes its end, or ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(1))  # so that what is half done is cleared away
    try:
        connection.send(_READY)
        while True:
            work, items = connection.recv()
            connection.send(_results(work, items))
    except (EOFError, OSError):
        return


def _results(work: Callable[[Any], Any], items: Sequence[Any]) -> Any:
    try:
        return [work(item) for item in items]
    except Exception as error:
        error.add_note(f"raised in process {os.getpid()}:\n{traceback.format_exc()}")
        return error


def processors() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
