"""What is fetched: again as soon as a fetch is back, and cut into batches that say what they weigh."""

from __future__ import annotations

import asyncio
from time import time
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.consumer.fetcher import Fetcher
from aiokafka.consumer.subscription_state import SubscriptionState
from aiokafka.structs import TopicPartition

from streams.fetching import InFlight, Silence
from streams.transport import BATCH_BYTES, RECORD_BYTES, portions

HARBOUR = TopicPartition("manifests", 0)


class Broker:
    """A client of one broker whose answers come when the test says so."""

    _metadata_max_age_ms = 30_000
    cluster = SimpleNamespace(leader_for_partition=lambda tp: 1)

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.asked: asyncio.Queue[asyncio.Future[Any]] = asyncio.Queue()

    async def send(self, node: int, request: Any) -> Any:
        """A fetch."""
        answer = self._loop.create_future()
        await self.asked.put(answer)
        return await answer


async def asks_again(*, told: bool) -> bool:
    """Whether a fetch follows one that came back in the same turn in which a poll woke the fetcher."""
    broker, subscriptions = Broker(), SubscriptionState()
    subscriptions.assign_from_user([HARBOUR])
    subscriptions.seek(HARBOUR, 0)
    fetcher = Fetcher(broker, subscriptions, fetcher_timeout=60.0)
    if told:
        fetcher._in_flight = InFlight(fetcher)
    try:
        answer = await asyncio.wait_for(broker.asked.get(), 60)
        await asyncio.sleep(0)
        fetcher._notify(fetcher._wait_consume_future)
        answer.set_result(SimpleNamespace(topics=[], API_VERSION=4))
        await asyncio.wait_for(broker.asked.get(), 60.0 if told else 0.5)
    except TimeoutError:
        return False
    finally:
        await fetcher.close()
    return True


def test_brokers_that_are_away_when_a_partition_is_taken_over_are_silent_from_then_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """They never give a first answer: a partition without a leader would be told of by nobody after a rebalance."""

    async def silences() -> list[float | None]:
        clock = [100.0]
        monkeypatch.setattr("streams.fetching.monotonic", lambda: clock[0])
        consumer: Any = SimpleNamespace(_subscription=SubscriptionState())
        silence, found = Silence(), list[float | None]()
        for move in ("take on", "wait", "take on", "rest", "answer"):
            if move == "take on":
                consumer._subscription = SubscriptionState()
                consumer._subscription.assign_from_user([HARBOUR])
            state = consumer._subscription.subscription.assignment.state_value(HARBOUR)
            if move == "rest":
                consumer._subscription.pause(HARBOUR)
            if move == "answer":
                consumer._subscription.resume(HARBOUR)
                state.timestamp = int(time() * 1000)
            found.append(silence.of(consumer, HARBOUR))
            clock[0] += 75
        return found

    taken_on, waited, taken_over, rested, answered = asyncio.run(silences())
    assert (taken_on, waited, taken_over, rested) == (0.0, 75.0, 0.0, None)
    assert answered == pytest.approx(0.0, abs=5)


@pytest.mark.parametrize("told", [False, True], ids=["aiokafka 0.14 alone", "told when a fetch is back"])
def test_the_next_fetch_does_not_wait_for_a_timeout(told: bool) -> None:
    assert asyncio.run(asks_again(told=told)) is told


@pytest.mark.parametrize(
    "sizes",
    [[0] * 9_000, [100_000] * 7, [1, BATCH_BYTES, 1], [500]],
    ids=["empty", "large", "one too large", "one"],
)
def test_a_fetch_is_cut_into_batches_that_weigh_little_more_than_the_limit(sizes: list[int]) -> None:
    records: list[Any] = [SimpleNamespace(value=b"x" * size or None) for size in sizes]
    cut = list(portions(records))
    assert [record for portion, _ in cut for record in portion] == records
    for portion, size in cut:
        assert size == sum(len(record.value or b"") + RECORD_BYTES for record in portion)
    for portion, size in cut[:-1]:
        assert size >= BATCH_BYTES > size - len(portion[-1].value or b"") - RECORD_BYTES
