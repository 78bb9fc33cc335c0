"""All devices agree on what to do, at the same batches and not at each of them."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from cyclegan.callbacks import _agreement
from cyclegan.callbacks._agreement import Agreement

SAVE, STOP = 1, 2


class TwoDevices:
    """A trainer and a strategy whose other device wants and measures what it is told."""

    def __init__(self, wanted: int, seconds: float) -> None:
        self.world_size = 2
        self.strategy = self
        self.root_device = torch.device("cpu")
        self.other = (wanted, seconds)
        self.asked_at: list[int] = []

    def reduce(self, mine: Tensor, reduce_op: str) -> Tensor:
        assert reduce_op == "max"
        return torch.maximum(mine, torch.tensor(self.other))


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Any:
    found = SimpleNamespace(now=100.0)
    monkeypatch.setattr(_agreement, "time", SimpleNamespace(monotonic=lambda: found.now))
    return found


def test_the_slowest_device_sets_the_number_of_batches_until_the_next_agreement(clock: Any) -> None:
    trainer: Any = TwoDevices(STOP, 0.25)
    agreement, found = Agreement(), []
    for _ in range(18):
        clock.now += 0.1
        found.append(agreement.soon(trainer, SAVE))
    assert [batch for batch, decision in enumerate(found) if decision] == [0, 8, 16], "2 s are 8 batches of 0.25 s"
    assert set(found) == {0, STOP}

    trainer.other = (0, 0.01)  # now this device is the slowest
    clock.now += 2 * 0.5 - 0.1  # two batches of 0.5 s
    assert agreement.soon(trainer, SAVE) == 0
    assert agreement.now(trainer, SAVE) == SAVE, "at the end of an epoch"
    found = []
    for _ in range(5):
        clock.now += 0.5
        found.append(agreement.soon(trainer, SAVE))
    assert found == [0, 0, 0, SAVE, 0]


def test_one_device_decides_after_every_batch() -> None:
    trainer: Any = SimpleNamespace(world_size=1)
    agreement = Agreement()
    assert [agreement.soon(trainer, wanted) for wanted in (0, SAVE, 0, STOP)] == [0, SAVE, 0, STOP]
    assert agreement.now(trainer, STOP) == STOP
