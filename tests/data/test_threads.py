from threading import Barrier

from cyclegan.data.threads import in_threads


def test_results_come_in_the_order_of_the_items() -> None:
    assert list(in_threads(lambda number: number * number, range(10_000))) == [n * n for n in range(10_000)]
    assert list(in_threads(str, [])) == []


def test_several_items_are_in_work_at_once() -> None:
    """One after the other, the first would wait at the barrier for a second that never comes."""
    both = Barrier(2)
    assert len(list(in_threads(lambda _: both.wait(timeout=30), range(64)))) == 64
