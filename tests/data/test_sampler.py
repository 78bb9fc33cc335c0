from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cyclegan.data.file_list import Files
from cyclegan.data.sampler import Order, PositionSampler, augmentation_rng

seeds = st.integers(0, 2**32 - 1)
counts = st.integers(1, 40)


def order(count: int, seed: int = 0, domain: str = "A") -> Order:
    return Order(seed, domain, Files("trainA", [f"{i}.png" for i in range(count)]))


@given(seeds, counts, st.integers(0, 5))
def test_every_file_is_used_equally_often(seed: int, count: int, cycles: int) -> None:
    indices = order(count, seed)
    used = Counter(indices[t] for t in range(cycles * count))
    assert used == dict.fromkeys(range(count) if cycles else (), cycles)


@given(seeds, counts, st.lists(st.integers(0, 10**9), min_size=1, max_size=5))
def test_the_choice_depends_on_the_key_alone(seed: int, count: int, positions: list[int]) -> None:
    """Whatever was asked before: every worker asks for other positions."""
    used = order(count, seed)
    assert [used[t] for t in positions] == [order(count, seed)[t] for t in positions]
    assert [used[t] for t in reversed(positions)] == [order(count, seed)[t] for t in reversed(positions)]
    one, other = augmentation_rng(seed, "A", positions[0]), augmentation_rng(seed, "A", positions[0])
    assert one.random(4).tolist() == other.random(4).tolist()


def test_the_order_is_that_of_earlier_versions() -> None:
    """So a run goes on with the images that come next: numbers seen before there were sources of other kinds."""
    assert [order(7, seed=3)[t] for t in range(14)] == [4, 2, 1, 3, 6, 5, 0, 6, 1, 2, 5, 4, 3, 0]


def test_cycles_domains_and_seeds_have_orders_of_their_own() -> None:
    orders = {
        tuple(order(50, seed, domain)[cycle * 50 + i] for i in range(50))
        for seed in (0, 1)
        for domain in "AB"
        for cycle in (0, 1)
    }
    assert len(orders) == 8


def test_two_permutations_are_kept_and_no_more() -> None:
    indices = order(5)
    for position in range(40):
        indices[position]
    assert sorted(indices._permutations) == [6, 7]


def test_no_two_streams_of_random_numbers_are_one() -> None:
    # Keys are padded with zeros inside numpy, so that [0, A] and [0, A, 0] would be one stream.
    streams = {
        augmentation_rng(seed, domain, position).random()
        for seed in (0, 1)
        for domain in "AB"
        for position in range(50)
    }
    assert len(streams) == 200


@given(
    epoch_length=st.integers(1, 60),
    batch_size=st.integers(1, 7),
    world_size=st.integers(1, 4),
    steps=st.integers(0, 60),
)
def test_devices_together_see_consecutive_positions(
    epoch_length: int, batch_size: int, world_size: int, steps: int
) -> None:
    """However the work is shared out, batch s of the run is positions s·B·W to (s+1)·B·W − 1."""
    ranks = [PositionSampler(epoch_length, batch_size, rank, world_size) for rank in range(world_size)]
    seen: list[int] = []
    while len(seen) < steps * batch_size * world_size:
        epochs = [list(sampler) for sampler in ranks]
        assert {len(epoch) for epoch in epochs} == {len(ranks[0])}
        for shares in zip(*epochs, strict=True):
            assert all(len(share) == batch_size for share in shares)
            seen += [position for share in shares for position in share]
        for sampler in ranks:
            for _ in range(len(sampler)):
                sampler.advance()
            assert sampler.position == sampler.epoch_start == len(seen)
    assert seen == list(range(len(seen)))


@given(st.data())
def test_any_stop_goes_on_with_any_devices_and_batch_size(data: st.DataObject) -> None:
    epoch_length = data.draw(st.integers(1, 40))
    sizes = st.tuples(st.integers(1, 5), st.integers(1, 3))
    seen: list[int] = []
    position = epoch_start = 0
    for batch_size, world_size in data.draw(st.lists(sizes, min_size=1, max_size=4)):
        ranks = [PositionSampler(epoch_length, batch_size, rank, world_size) for rank in range(world_size)]
        for sampler in ranks:
            sampler.position, sampler.epoch_start = position, epoch_start
        batches = list(zip(*ranks, strict=True))
        for shares in batches[: data.draw(st.integers(0, len(batches)))]:
            seen += [p for share in shares for p in share]
            for sampler in ranks:
                sampler.advance()
        position, epoch_start = ranks[0].position, ranks[0].epoch_start
        assert epoch_start <= position < epoch_start + epoch_length
    assert seen == list(range(len(seen)))


@given(
    epoch_length=st.integers(1, 60),
    epoch=st.integers(0, 3),
    before=st.tuples(st.integers(1, 7), st.integers(1, 4)),
    after=st.tuples(st.integers(1, 7), st.integers(1, 4)),
    data=st.data(),
)
def test_other_devices_finish_an_epoch_with_each_of_its_positions_once(
    epoch_length: int, epoch: int, before: tuple[int, int], after: tuple[int, int], data: st.DataObject
) -> None:
    """What is left, rounded up to the new full batches, and then a whole epoch with as many batches as ever."""
    stopped = PositionSampler(epoch_length, before[0], 0, before[1])
    for _ in range(epoch * len(stopped) + data.draw(st.integers(0, len(stopped) - 1))):
        stopped.advance()
    begin, end = stopped.position, stopped.epoch_start + epoch_length

    ranks = [PositionSampler(epoch_length, after[0], rank, after[1]) for rank in range(after[1])]
    for sampler in ranks:
        sampler.position, sampler.epoch_start = stopped.position, stopped.epoch_start
    for wanted in (end, None):
        seen: list[int] = []
        for shares in zip(*[list(sampler) for sampler in ranks], strict=True):
            assert [sampler.advance() for sampler in ranks] == list(shares)
            seen += [position for share in shares for position in share]
        wanted = wanted or begin + epoch_length
        assert seen == list(range(begin, begin + len(seen)))
        assert wanted <= begin + len(seen) < wanted + ranks[0].global_batch_size
        begin += len(seen)
        assert {(sampler.position, sampler.epoch_start) for sampler in ranks} == {(begin, begin)}


def test_an_epoch_has_full_batches_only_and_the_next_one_goes_on() -> None:
    sampler = PositionSampler(epoch_length=5, batch_size=2)
    assert len(sampler) == 3
    assert list(sampler) == [[0, 1], [2, 3], [4, 5]]
    for _ in range(3):
        sampler.advance()
    assert list(sampler) == [[6, 7], [8, 9], [10, 11]]


def test_refuses_empty_epochs_and_batches() -> None:
    with pytest.raises(ValueError, match="batch_size 0 must be at least 1"):
        PositionSampler(epoch_length=5, batch_size=0)
