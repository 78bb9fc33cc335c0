"""Works as a Crew does, but in the test's own process, which starts at once."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Self


class Alone:
    def __init__(self, workers: int) -> None:
        pass

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def map(self, work: Callable[[Any], Any], items: Iterable[Any], died: object) -> Iterator[Any]:
        return map(work, items)
