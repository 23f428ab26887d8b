"""What a worker produces for a step of its own is handed over at once; the log decides what was delivered."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import pytest
from faust.types import TP

from agents.step import Arrival, Memory, Outcome, Output
from schemas.marks import Upstream
from streams import metrics
from streams.app import BorderApp, build_app
from streams.settings import Settings
from streams.transport import BatchConsumer
from streams.wire import Outgoing, Placed, Produced, Stamp, rfc3339
from tests.integration.harbour import PATIENCE_S, lodge, publisher, read_all
from tests.integration.toy import Tallied, decoder, toy_topology

pytestmark = pytest.mark.broker

Create = Callable[[dict[str, int]], None]
COUNT, FOREIGN, PARTITIONS = 400, 60, 3
TOPICS = {"crossings": PARTITIONS, "tallies": PARTITIONS, "ledger": 1, "crossings-dlq": 1, "tallies-dlq": 1}


class Ledger:
    """The second step: keeps what it was given, and passes it on."""

    name = "ledger"
    memory: tuple[Memory, ...] = ()

    def __init__(self, prefix: str) -> None:
        self.inputs, self.produces = (f"{prefix}-tallies",), (f"{prefix}-ledger",)
        self.seen: dict[int, list[Arrival[Tallied]]] = defaultdict(list)

    def begin(self, partition: int, first_offset: int) -> None:
        return None

    def remember(self, state: None, arrivals: Sequence[Arrival[Tallied]]) -> None:
        raise AssertionError("it has no memory")

    def decide(self, state: None, arrivals: Sequence[Arrival[Tallied]]) -> Outcome:
        outcome = Outcome()
        for one in arrivals:
            self.seen[one.partition].append(one)
            ce_id = f"{one.partition}-{one.offset}"
            outcome.outputs.append(Output(self.produces[0], one.event.plate, one.event, ce_id, one.timestamp_ms))
        return outcome

    def entries(self, state: None) -> int:
        return 0


def handed(topic: str) -> float:
    """Records handed over so far."""
    return metrics.REGISTRY.get_sample_value("borderflow_handed_over_records_total", {"topic": topic}) or 0.0


def two_steps(settings: Settings, ledger: Ledger) -> BorderApp:
    """A worker that counts crossings and hands what it counted to the ledger."""
    toy, tallies = toy_topology(settings.group), f"{settings.group}-tallies"
    steps, decoders = (*toy.steps, ledger), {**toy.decoders, tallies: decoder(Tallied)}
    return build_app(settings, dataclasses.replace(toy, steps=steps, decoders=decoders))


async def produce_beside(settings: Settings, count: int) -> None:
    """Another worker's tallies come between this one's."""
    async with publisher(settings) as to:
        for number in range(count):
            mark = Upstream(topic="elsewhere", partition=0, offset=number)
            value = msgspec.json.encode(Tallied("ELSEWHERE", number, 1, mark))
            rows = [Outgoing(b"e", value, int(time.time() * 1000), [("ce_id", b"e")], at) for at in range(PARTITIONS)]
            await to.publish(f"{settings.group}-tallies", rows)
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("foreign", [0, FOREIGN], ids=["alone", "beside another producer"])
def test_every_record_of_the_log_is_decided_once_in_its_order(
    foreign: int, broker_settings: Settings, create_topics: Create
) -> None:
    create_topics(TOPICS)
    group = broker_settings.group
    tallies, total = f"{group}-tallies", PARTITIONS * (COUNT + foreign)
    ledger = Ledger(group)

    async def scenario() -> list[Any]:
        app = two_steps(broker_settings, ledger)
        await app.start()
        try:
            beside = asyncio.create_task(produce_beside(broker_settings, foreign))
            for start in range(0, COUNT, 20):
                await lodge(broker_settings, 20, PARTITIONS, start=start)
            await beside
            for _ in range(int(PATIENCE_S / 0.1)):
                if sum(map(len, ledger.seen.values())) >= total:
                    break
                await asyncio.sleep(0.1)
            await asyncio.sleep(0.5)
        finally:
            await app.stop()
        return await read_all(broker_settings, tallies, PARTITIONS, total)

    before = handed(tallies)
    records = asyncio.run(scenario())
    assert len(records) == total
    for partition in range(PARTITIONS):
        seen = ledger.seen[partition]
        assert [one.offset for one in seen] == list(range(len(seen)))
        decode = decoder(Tallied)
        logged = {one.offset: decode(one.value) for one in records if one.partition == partition}
        assert {one.offset: one.event for one in seen} == logged, "what is handed over is what the log holds"
    taken = handed(tallies) - before
    assert taken > (0 if foreign else 0.5 * total)
    assert taken <= PARTITIONS * COUNT, "what others produced comes out of the log"


def test_a_partition_that_is_handed_over_rests_and_what_others_add_to_it_is_decided(
    broker_settings: Settings, create_topics: Create
) -> None:
    create_topics(TOPICS)
    ledger, rested = Ledger(broker_settings.group), set[int]()

    async def scenario() -> None:
        app = two_steps(broker_settings, ledger)
        await app.start()
        try:
            resting = app.consumer._thread._rests._resting  # type: ignore[attr-defined]  # what the test is about
            for start in range(0, 10 * COUNT, 20):
                await lodge(broker_settings, 20, PARTITIONS, start=start)
                rested.update(at.partition for at in resting)
                if len(rested) == PARTITIONS:
                    break
            await produce_beside(broker_settings, 1)
            for _ in range(int(PATIENCE_S / 0.1)):
                if sum(one.event.plate == "ELSEWHERE" for some in ledger.seen.values() for one in some) == PARTITIONS:
                    break
                await asyncio.sleep(0.1)
        finally:
            await app.stop()

    asyncio.run(scenario())
    assert rested == set(range(PARTITIONS))
    for partition in range(PARTITIONS):
        seen = ledger.seen[partition]
        assert sum(one.event.plate == "ELSEWHERE" for one in seen) == 1
        assert [one.offset for one in seen] == list(range(len(seen)))


def test_a_rebalance_while_records_are_handed_over_skips_none_of_them(
    broker_settings: Settings, create_topics: Create
) -> None:
    """Handing over waits for a queue of Faust's that is full; places that were read are then of another assignment."""
    create_topics(TOPICS)
    app = two_steps(broker_settings, Ledger(broker_settings.group))
    tallies = f"{broker_settings.group}-tallies"
    at, skipped = TP(tallies, 0), list[Any]()

    async def scenario() -> None:
        await app.start()
        try:
            consumer = app.consumer
            assert isinstance(consumer, BatchConsumer)
            while not app.borderflow_assigned or app.rebalancing:  # noqa: ASYNC110 - it has no event for it
                await asyncio.sleep(0.01)

            async def meanwhile(message: Any) -> None:
                consumer._new_epoch()

            consumer.callback = meanwhile
            consumer._thread.skip = lambda *given: skipped.append(given)  # type: ignore[method-assign]
            mark = Upstream(topic="crossings", partition=0, offset=0)
            stamp = Stamp("toy.Tallied.v1", b"/test", rfc3339(0))
            made = Produced(Tallied("P1", 1, 1, mark), tallies, 0, -1, 1000, 1000, b"k", b"{}", "id", stamp)
            await consumer.hand_over(tallies, [Placed(0, 0, [made])])
            assert consumer._read_offset.get(at) is None
        finally:
            await app.stop()

    asyncio.run(scenario())
    assert not skipped, "the consumer would read on behind what nobody has decided"
