"""What may be committed: never past a batch that is not done."""

from __future__ import annotations

from faust.types import TP
from hypothesis import given
from hypothesis import strategies as st

from streams.deliveries import Deliveries

HARBOUR, AIRPORT = TP("manifests", 0), TP("manifests", 1)


@given(st.lists(st.integers(1, 50), min_size=1, max_size=20), st.data())
def test_an_offset_is_committed_only_over_batches_that_are_all_done(sizes: list[int], data: st.DataObject) -> None:
    deliveries = Deliveries()
    ends: list[int] = []
    for size in sizes:
        ends.append((ends[-1] if ends else 0) + size)
        deliveries.deliver(HARBOUR, ends[-1], size)
    done: set[int] = set()
    waiting = dict(zip(ends, sizes, strict=True))
    for end in data.draw(st.permutations(ends)):
        deliveries.finish(HARBOUR, end)
        done.add(end)
        del waiting[end]
        unbroken = [one for index, one in enumerate(ends) if set(ends[: index + 1]) <= done]
        assert deliveries.committable.get(HARBOUR) == (unbroken[-1] if unbroken else None)
        assert deliveries.in_hand("manifests") == sum(waiting.values())


def test_each_batch_knows_where_the_one_before_it_ended() -> None:
    deliveries = Deliveries()
    assert deliveries.deliver(HARBOUR, 500, 9) is None
    assert deliveries.deliver(AIRPORT, 40, 9) is None
    assert deliveries.deliver(HARBOUR, 730, 9) == 500
    assert deliveries.read(HARBOUR) == 730


def test_a_late_ack_from_before_a_rebalance_moves_nothing() -> None:
    deliveries = Deliveries()
    deliveries.deliver(HARBOUR, 1000, 7)
    deliveries.clear()
    deliveries.deliver(HARBOUR, 500, 9)
    deliveries.finish(HARBOUR, 1000)
    assert deliveries.committable == {}
    assert deliveries.in_hand("manifests") == 9


def test_the_same_ack_twice_counts_once() -> None:
    deliveries = Deliveries()
    for end in (10, 20):
        deliveries.deliver(HARBOUR, end, 9)
    for _ in range(2):  # the later one, which waits for the other
        deliveries.finish(HARBOUR, 20)
    assert deliveries.in_hand("manifests") == 9
    for _ in range(2):
        deliveries.finish(HARBOUR, 10)
    assert deliveries.in_hand("manifests") == 0
    assert deliveries.committable == {HARBOUR: 20}


def test_what_brokers_deleted_is_committed_once_all_before_it_is_done() -> None:
    deliveries = Deliveries()
    deliveries.skip(AIRPORT, 5000)
    assert deliveries.committable == {AIRPORT: 5000}, "of a log whose beginning is gone"
    assert deliveries.read(AIRPORT) is None
    deliveries.deliver(HARBOUR, 10, 9)
    deliveries.skip(HARBOUR, 300)
    assert HARBOUR not in deliveries.committable
    deliveries.finish(HARBOUR, 10)
    assert deliveries.committable == {AIRPORT: 5000, HARBOUR: 300}
    assert deliveries.deliver(HARBOUR, 301, 9) == 10, "the next batch follows the one before"
    assert deliveries.in_hand("manifests") == 9
