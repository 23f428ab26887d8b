"""A shadow decides items in the workers' order, once it knows what was decided, and what was known then."""

from __future__ import annotations

from functools import cache

from msgspec import structs

from agents.step import Arrival
from schemas.codec import codec_for
from schemas.decisions import SelectionDecided
from schemas.documents import examples
from schemas.items import ItemFiltered
from streams.shadow.pairing import Pairing, batches


@cache
def _example(topic: str) -> object:
    return codec_for(topic).decode(next(iter(examples(topic, 1).values())))


def item(offset: int, *, partition: int = 0, at_ms: int = 0, criteria: int = 0) -> Arrival[ItemFiltered]:
    event = structs.replace(_example("filtered"), criteria_version=criteria)
    return Arrival(event, "filtered", partition, offset, at_ms, at_ms)


def decision(offset: int, version: int) -> SelectionDecided:
    made = _example("decisions")
    assert isinstance(made, SelectionDecided)
    return structs.replace(made, upstream=structs.replace(made.upstream, offset=offset), model_version=version)


def ready(pairing: Pairing) -> list[tuple[int, bool, int]]:
    return [(one.arrival.offset, one.decision is not None, one.version) for one in pairing.ready]


def test_an_item_waits_for_its_decision_and_a_decision_for_its_item() -> None:
    first = Pairing()
    first.add_item(item(7))
    assert (ready(first), len(first)) == ([], 1)
    first.add_decision(decision(7, 3))
    second = Pairing()
    second.add_decision(decision(7, 3))
    second.add_item(item(7))
    assert ready(first) == ready(second) == [(7, True, 3)]


def test_what_nobody_decided_is_ready_when_a_later_item_was() -> None:
    pairing = Pairing()
    for offset in (4, 5, 6, 7):
        pairing.add_item(item(offset))
    pairing.add_decision(decision(4, 2))
    pairing.add_decision(decision(6, 9))
    assert ready(pairing) == [(4, True, 2), (5, False, 2), (6, True, 9)]
    assert pairing.waiting("filtered") == 4
    assert pairing.waiting("decisions") == 3


def test_a_decision_on_an_item_from_before_is_left_out() -> None:
    pairing = Pairing()
    pairing.add_decision(decision(3, 1))
    pairing.add_item(item(5))
    pairing.add_decision(decision(5, 1))
    assert ready(pairing) == [(5, True, 1)]


def test_batches_come_by_model_version_then_time_and_never_before_the_models_are_known() -> None:
    pairs = {0: Pairing(), 1: Pairing()}
    decided = ((0, 1, 50, 4), (0, 2, 60, 5), (0, 3, 61, 5), (1, 1, 40, 5), (1, 2, 70, 6))
    for partition, offset, at_ms, version in decided:
        pairs[partition].add_item(item(offset, partition=partition, at_ms=at_ms))
        pairs[partition].add_decision(decision(offset, version))
    taken = [[one.arrival.timestamp_ms for one in batch] for batch in batches(pairs, lambda one: one.version <= 5)]
    assert taken == [[50], [40], [60, 61]]
    assert [len(one) for one in pairs.values()] == [0, 1]
    assert [[one.arrival.timestamp_ms for one in batch] for batch in batches(pairs, lambda one: True)] == [[70]]


def test_items_that_other_criteria_filtered_are_in_another_batch() -> None:
    pairs = {0: Pairing()}
    for offset, criteria in ((1, 2), (2, 2), (3, 3)):
        pairs[0].add_item(item(offset, criteria=criteria))
        pairs[0].add_decision(decision(offset, 1))
    assert [len(batch) for batch in batches(pairs, lambda one: True)] == [2, 1]
