"""What is fetched: again as soon as a fetch is back, and cut into batches that say what they weigh."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.consumer.fetcher import Fetcher
from aiokafka.consumer.subscription_state import SubscriptionState
from aiokafka.structs import TopicPartition

from streams.fetching import InFlight, state_of
from streams.transport import BATCH_BYTES, RECORD_BYTES, portions
from streams.wire import _milliseconds, milliseconds

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


@pytest.mark.parametrize("told", [False, True], ids=["aiokafka 0.14 alone", "told when a fetch is back"])
def test_the_next_fetch_does_not_wait_for_a_timeout(told: bool) -> None:
    assert asyncio.run(asks_again(told=told)) is told


@pytest.mark.parametrize(
    "sizes",
    [[0] * 9_000, [100_000] * 7, [1, BATCH_BYTES, 1], [500]],
    ids=["empty", "large", "one too large", "one"],
)
def test_a_fetch_is_cut_into_batches_that_weigh_little_more_than_the_limit(sizes: list[int]) -> None:
    records: list[Any] = [SimpleNamespace(value=b"x" * size or None, key=None, headers=()) for size in sizes]
    cut = list(portions(records))
    assert [record for portion, _ in cut for record in portion] == records
    for portion, size in cut:
        assert size == sum(len(record.value or b"") + RECORD_BYTES for record in portion)
    for portion, size in cut[:-1]:
        assert size >= BATCH_BYTES > size - len(portion[-1].value or b"") - RECORD_BYTES


@pytest.mark.parametrize("where", ["key", "header", "name of a header"])
def test_what_is_lodged_in_keys_and_headers_takes_room_as_well(where: str) -> None:
    much = BATCH_BYTES // 2
    key = b"k" * much if where == "key" else None
    headers = {"header": [("h", b"x" * much), ("null", None)], "name of a header": [("h" * much, None)]}.get(where, [])
    records: list[Any] = [SimpleNamespace(value=None, key=key, headers=headers) for _ in range(5)]
    cut = list(portions(records))
    assert [len(portion) for portion, _ in cut] == [2, 2, 1]
    assert all(size > much * len(portion) for portion, size in cut)


def test_what_was_read_of_times_is_kept_and_what_is_too_long_for_one_is_not() -> None:
    before = _milliseconds.cache_info().currsize
    for number in range(50):
        assert milliseconds(b"%06d" % number + b"x" * 1_000_000) is None
    assert _milliseconds.cache_info().currsize == before, "fifty megabytes of headers are kept"
    assert milliseconds(b"2026-03-02T11:59:00.000+09:00") == 1772420340000


def test_a_partition_that_is_taken_away_while_it_is_asked_about_is_one_of_which_nothing_is_known() -> None:
    """`/readyz` and `/metrics` are answered in another thread than that in which partitions are assigned."""

    async def asked(subscriptions: SubscriptionState) -> Any:
        return state_of(SimpleNamespace(_subscription=subscriptions), HARBOUR)

    async def scenario() -> None:
        subscriptions = SubscriptionState()
        assert await asked(subscriptions) is None
        subscriptions.subscribe({"manifests"})
        assert await asked(subscriptions) is None
        subscriptions.assign_from_subscribed({HARBOUR})
        assert (await asked(subscriptions)).highwater is None
        subscriptions.assign_from_subscribed(set())
        assert await asked(subscriptions) is None

    asyncio.run(scenario())
