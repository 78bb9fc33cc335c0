from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import Dataset

from cyclegan.data.loader import Batch, PositionLoader, PositionSampler, Sample

# Python 3.12 warns of fork in a process with threads, which every process that imported torch has.
fork_warning = pytest.mark.filterwarnings("ignore:This process.*is multi-threaded:DeprecationWarning")


class Positions(Dataset[Sample]):
    """A dataset whose samples are their positions."""

    def __getitem__(self, position: int) -> Sample:
        return Sample({"A": torch.tensor([position])}, {"A": f"{position}.png"}, [], {})


def loader(epoch_length: int = 10, batch_size: int = 2, **kwargs: Any) -> PositionLoader:
    return PositionLoader(Positions(), PositionSampler(epoch_length, batch_size), **kwargs)


def positions(batch: Batch) -> list[int]:
    return batch["A"].flatten().tolist()


def epoch(batches: PositionLoader) -> list[int]:
    return [position for batch in batches for position in positions(batch)]


def test_epochs_follow_each_other_without_a_gap() -> None:
    batches = loader(epoch_length=5)
    assert len(batches) == 3
    assert [epoch(batches) for _ in range(2)] == [[0, 1, 2, 3, 4, 5], [6, 7, 8, 9, 10, 11]]


@settings(max_examples=10)
@given(st.integers(1, 30), st.integers(1, 6), st.integers(0, 50))
def test_a_new_loader_resumes_where_the_old_one_stopped(epoch_length: int, batch_size: int, stop: int) -> None:
    undisturbed = loader(epoch_length, batch_size)
    whole = [epoch(undisturbed) for _ in range(4)]
    epochs, rest = divmod(stop % (3 * len(undisturbed)), len(undisturbed))

    first = loader(epoch_length, batch_size)
    seen = [epoch(first) for _ in range(epochs)]
    iterator = iter(first)
    cut = [position for _ in range(rest) for position in positions(next(iterator))]
    second = loader(epoch_length, batch_size)
    second.load_state_dict(first.state_dict())
    seen += [cut + epoch(second)]
    seen += [epoch(second) for _ in range(4 - len(seen))]
    assert seen == whole


def test_the_state_is_plain_and_counts_the_batches_that_were_yielded() -> None:
    batches = loader(epoch_length=6)
    iterator = iter(batches)
    assert batches.state_dict() == {"position": 0, "epoch_start": 0}
    next(iterator)
    assert batches.state_dict() == {"position": 2, "epoch_start": 0}
    assert batches.images_seen == 2
    next(iterator), next(iterator)  # the last batch of the epoch opens the next one
    assert batches.state_dict() == {"position": 6, "epoch_start": 6}
    assert all(type(value) is int for value in batches.state_dict().values())


def test_creating_an_iterator_does_not_advance() -> None:
    batches = loader(epoch_length=4)
    batches.load_state_dict({"position": 6, "epoch_start": 4})
    iter(batches)
    iter(batches)
    assert epoch(batches) == [6, 7]
    assert epoch(batches) == [8, 9, 10, 11]


def test_an_epoch_left_early_is_followed_by_a_whole_one() -> None:
    """As under limit_train_batches, which breaks off every epoch."""
    batches = loader(epoch_length=6)
    next(iter(batches))
    assert epoch(batches) == [2, 3, 4, 5, 6, 7]
    batches.load_state_dict({"position": 10, "epoch_start": 8})
    next(iter(batches))
    assert epoch(batches) == [12, 13, 14, 15, 16, 17]


@settings(max_examples=10)
@given(st.integers(1, 30), st.integers(1, 6), st.integers(0, 10), st.booleans())
def test_an_epoch_that_was_ended_early_is_not_finished_by_a_resumed_run(
    epoch_length: int, batch_size: int, stop: int, resumed_before: bool
) -> None:
    """As under limit_train_batches, where the state is saved when the epoch ends, before all its images were seen."""
    batches = loader(epoch_length, batch_size)
    if resumed_before:
        batches.load_state_dict({"position": 100, "epoch_start": 100})
    begin = batches.images_seen
    iterator = iter(batches)
    seen = [position for _, batch in zip(range(stop), iterator, strict=False) for position in positions(batch)]
    batches.end_epoch()
    assert batches.state_dict() == {"position": begin + len(seen), "epoch_start": begin + len(seen)}
    resumed = loader(epoch_length, batch_size)
    resumed.load_state_dict(batches.state_dict())
    whole = list(range(begin + len(seen), begin + len(seen) + len(batches) * batch_size))
    assert epoch(resumed) == whole
    assert epoch(batches) == whole, "as in the undisturbed run"


@fork_warning
@pytest.mark.parametrize("num_workers", [0, 2])
def test_last_files_are_those_of_the_last_batch(num_workers: int) -> None:
    """Its own device's, not what its workers prepare ahead."""
    sampler = PositionSampler(epoch_length=12, batch_size=2, rank=1, world_size=2)
    batches = PositionLoader(Positions(), sampler, num_workers=num_workers)
    assert batches.last_files == {}
    expected = iter([[2, 3], [6, 7], [10, 11]])
    for batch in batches:
        assert positions(batch) == next(expected)
        assert batches.last_files == {"A": [f"{position}.png" for position in positions(batch)]}


@fork_warning
@pytest.mark.parametrize("persistent", [False, True])
def test_batches_prepared_ahead_are_not_counted(persistent: bool) -> None:
    batches = loader(epoch_length=8, num_workers=2, persistent_workers=persistent)
    iterator = iter(batches)
    assert positions(next(iterator)) == [0, 1]
    assert batches.state_dict() == {"position": 2, "epoch_start": 0}
    iterator.close()  # type: ignore[attr-defined] # by now the workers have prepared the whole epoch
    assert epoch(batches) == [2, 3, 4, 5, 6, 7, 8, 9]
    assert epoch(batches) == [10, 11, 12, 13, 14, 15, 16, 17]


# ---------------------------------------------------------------------------------------------- the sampler


@settings(max_examples=50)
@given(st.data())
def test_any_stop_resumes_with_any_devices_and_batch_size(data: st.DataObject) -> None:
    """The devices together see consecutive positions, in full batches; an epoch ends with the batch that fills it."""
    epoch_length = data.draw(st.integers(1, 40))
    sizes = st.tuples(st.integers(1, 5), st.integers(1, 3))
    seen: list[int] = []
    position = epoch_start = 0
    for batch_size, world_size in data.draw(st.lists(sizes, min_size=1, max_size=4)):
        ranks = [PositionSampler(epoch_length, batch_size, rank, world_size) for rank in range(world_size)]
        for sampler in ranks:
            assert len(sampler) == -(-epoch_length // (batch_size * world_size))
            sampler.position, sampler.epoch_start = position, epoch_start
        batches = list(zip(*ranks, strict=True))
        left = epoch_start + epoch_length - position
        assert len(batches) == -(-left // (batch_size * world_size))
        done = data.draw(st.integers(0, len(batches)))
        for shares in batches[:done]:
            assert all(len(share) == batch_size for share in shares)
            seen += [p for share in shares for p in share]
            for sampler in ranks:
                sampler.advance()
        assert len({(sampler.position, sampler.epoch_start) for sampler in ranks}) == 1
        position, epoch_start = ranks[0].position, ranks[0].epoch_start
        assert (epoch_start == position) == (done == len(batches) or (left == epoch_length and done == 0))
    assert seen == list(range(len(seen)))
