"""Caches for the tests, and what they must not leave behind."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cyclegan.data.cache import Cache, Plan, in_ram, on_disk, ram

Opener = Callable[[Plan], Cache]


@pytest.fixture(autouse=True)
def shared(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """In the place of /dev/shm, where another run of these tests may be; nothing is left there."""
    folder = tmp_path_factory.mktemp("shm")
    monkeypatch.setattr(ram, "SHARED", folder)
    yield folder
    assert list(folder.iterdir()) == []


@pytest.fixture(params=["ram", "disk"])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Opener:
    """Opens a cache of either kind."""
    if request.param == "ram":
        return lambda plan: in_ram({"A": plan})["A"]
    return lambda plan: on_disk({"A": plan}, tmp_path)["A"]
