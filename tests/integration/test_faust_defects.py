"""Defects of faust-streaming 0.15.3 that borderflow is designed around: each stays fixed here.

That an exception acks its event (issues 315, 527) and that undecodable values crash the agent are in
test_streaming_core.py; offsets of skipped gaps counted as acked in tests/unit/test_deliveries.py.
"""

from __future__ import annotations

import asyncio
import dataclasses
import signal
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from aiokafka.consumer.subscription_state import TopicPartitionState
from aiokafka.errors import CommitFailedError
from faust.types import TP

from agents.step import Arrival, Outcome
from streams.app import BorderApp, build_app
from streams.settings import Settings
from streams.transport import RECORD_BYTES, BatchConsumer
from tests.integration.harbour import PATIENCE_S, committed, lodge, read_all, tallies, worker
from tests.integration.test_streaming_core import TOPICS, as_pairs, until, wait_for
from tests.integration.toy import CountCrossings, Crossed, Tally, toy_app, toy_topology

pytestmark = pytest.mark.broker

Create = Callable[[dict[str, int]], None]
RECORD = 64 + RECORD_BYTES
"""What a crossing counts for, at most."""


class Slow(CountCrossings):
    """A toy step that takes a while for each chunk, and notes when it was given one."""

    def __init__(self, prefix: str, seconds: float) -> None:
        super().__init__(prefix)
        self.seconds = seconds
        self.began: list[float] = []
        self.ended: list[float] = []
        self.seen = 0

    def decide(self, state: Tally, arrivals: Sequence[Arrival[Crossed]]) -> Outcome:
        self.began.append(time.monotonic())
        time.sleep(self.seconds)
        self.seen += len(arrivals)
        self.ended.append(time.monotonic())
        return super().decide(state, arrivals)


def running(app: BorderApp, scenario: Callable[[], Awaitable[None]]) -> None:
    """Run a scenario while an app runs in this process."""

    async def both() -> None:
        await app.start()
        try:
            await scenario()
        finally:
            await app.stop()

    asyncio.run(both())


def test_a_partition_with_room_again_is_read_at_once_and_not_after_a_second(
    broker_settings: Settings, create_topics: Create
) -> None:
    create_topics(TOPICS)
    settings = dataclasses.replace(broker_settings, batch_records=100, buffered_bytes=2 * 100 * RECORD)
    step = Slow(settings.group, 0.02)
    app = build_app(settings, dataclasses.replace(toy_topology(settings.group), steps=(step,)))
    asyncio.run(lodge(settings, 1500, 4))

    async def scenario() -> None:
        await until(lambda: step.seen >= 6000)

    running(app, scenario)
    pauses = [begin - end for begin, end in zip(step.began[1:], step.ended, strict=False)]
    assert len(pauses) >= 59
    assert sorted(pauses)[int(len(pauses) * 0.9)] < 0.5  # 0.02 s, on a busy machine 0.1 s
    assert sum(pause > 0.9 for pause in pauses) < 3  # a machine may stand still for a moment


def test_no_more_waits_in_memory_than_the_setting_allows(broker_settings: Settings, create_topics: Create) -> None:
    create_topics(TOPICS)
    settings = dataclasses.replace(broker_settings, batch_records=50, buffered_bytes=3 * 50 * RECORD)
    step = Slow(settings.group, 0.01)
    app = build_app(settings, dataclasses.replace(toy_topology(settings.group), steps=(step,)))
    asyncio.run(lodge(settings, 1000, 4))
    most = 0

    async def scenario() -> None:
        nonlocal most
        deliveries = app.consumer._deliveries  # type: ignore[attr-defined]  # what the test is about
        while step.seen < 4000:
            most = max(most, deliveries.in_hand(step.inputs[0]))
            await asyncio.sleep(0.001)

    running(app, scenario)
    # One poll may bring a batch of each of the four partitions on top of what is just under the limit.
    assert 2 * 50 * RECORD * 0.8 <= most < (3 + 4) * 50 * RECORD


def test_a_commit_after_the_consumer_has_ended_is_answered(broker_settings: Settings, create_topics: Create) -> None:
    create_topics(TOPICS)
    app = toy_app(broker_settings)

    async def scenario() -> None:
        thread = app.consumer._thread  # type: ignore[attr-defined]  # what the test is about
        await thread.crash(RuntimeError("a crash ends the thread beside the worker that wants to commit"))
        await until(thread._thread.is_stopped.is_set)
        commit = thread.commit({TP(f"{broker_settings.group}-crossings", 0): 1})
        assert await asyncio.wait_for(commit, PATIENCE_S) is False

    running(app, scenario)


def test_a_commit_that_did_not_happen_is_not_counted_as_done(
    broker_settings: Settings, create_topics: Create, monkeypatch: pytest.MonkeyPatch
) -> None:
    create_topics(TOPICS)
    topic = f"{broker_settings.group}-crossings"
    asyncio.run(lodge(broker_settings, 200, 4))
    app = toy_app(broker_settings)
    failures = 0

    async def scenario() -> None:
        consumer: Any = app.consumer
        commit = consumer._thread._consumer.commit

        async def failing(offsets: Any) -> None:
            nonlocal failures
            if failures < 2:
                failures += 1
                raise CommitFailedError
            await commit(offsets)

        consumer._thread._consumer.commit = failing
        await until(lambda: failures == 2)
        assert app.failure is None
        assert not app.should_stop, "a lost race with a rebalance is no reason to stop"
        await until(lambda: len(consumer.last_commit) == 4)

    running(app, scenario)
    assert committed(broker_settings, topic) == dict.fromkeys(range(4), 200)


def test_a_worker_that_joins_in_good_order_causes_no_redelivery(
    broker_settings: Settings, create_topics: Create, worker_environment: dict[str, str], tmp_path: Path
) -> None:
    create_topics(TOPICS)
    count = 12_000
    group = broker_settings.group

    def done() -> int:
        return sum(committed(broker_settings, f"{group}-crossings").values())

    asyncio.run(lodge(broker_settings, count // 2, 4, step=500))
    slowly = {**worker_environment, "BORDERFLOW_BATCH_RECORDS": "20"}
    with worker(slowly, tmp_path / "a") as first, worker(slowly, tmp_path / "b"):
        wait_for(lambda: done() > 0)
        with worker(slowly, tmp_path / "c"):
            asyncio.run(lodge(broker_settings, count - count // 2, 4, start=count // 2, step=500))
            time.sleep(4)
            first.send_signal(signal.SIGTERM)
            assert first.wait(PATIENCE_S) == 0
            records = asyncio.run(read_all(broker_settings, f"{group}-tallies", 4, 4 * count))
    found = tallies(records)
    assert set(found) == {(p, n) for p in range(4) for n in range(count)}
    as_pairs(found)
    assert len(records) == 4 * count, "a record was decided twice although nobody was killed"


def test_a_frozen_worker_that_comes_back_does_no_harm(
    broker_settings: Settings, create_topics: Create, worker_environment: dict[str, str], tmp_path: Path
) -> None:
    create_topics(TOPICS)
    count, group = 3000, broker_settings.group

    def done() -> int:
        return sum(committed(broker_settings, f"{group}-crossings").values())

    asyncio.run(lodge(broker_settings, 100, 4))
    slowly = {**worker_environment, "BORDERFLOW_BATCH_RECORDS": "20"}
    with worker(slowly, tmp_path / "a") as first, worker(slowly, tmp_path / "b") as second:
        wait_for(lambda: done() > 0)
        first.send_signal(signal.SIGSTOP)
        asyncio.run(lodge(broker_settings, count - 100, 4, start=100))
        time.sleep(broker_settings.session_timeout_s + 2)
        first.send_signal(signal.SIGCONT)
        records = asyncio.run(read_all(broker_settings, f"{group}-tallies", 4, 4 * count))
        wait_for(lambda: done() == 4 * count)
        assert second.poll() is None
    assert set(tallies(records)) == {(p, n) for p in range(4) for n in range(count)}
    as_pairs(tallies(records))


def test_faust_serves_no_web_pages_of_its_own(broker_settings: Settings) -> None:
    app = toy_app(broker_settings)
    assert not app.conf.web_enabled
    assert broker_settings.web_host == "127.0.0.1"
    assert not app.conf.topic_allow_declare
    assert app.conf.topic_disable_leader


def test_a_partition_of_which_brokers_deleted_the_rest_has_nothing_that_waits(
    broker_settings: Settings, create_topics: Create
) -> None:
    """CommitsStalled would page, and a restart tell of the same records again, until the next one is lodged."""
    create_topics(TOPICS)
    topic = f"{broker_settings.group}-crossings"
    app = toy_app(broker_settings)
    asyncio.run(lodge(broker_settings, 10, 4))

    async def scenario() -> None:
        consumer = app.consumer
        assert isinstance(consumer, BatchConsumer)
        at, quiet = TP(topic, 0), TP(topic, 1)
        await until(lambda: len(consumer.last_commit) == 4 and consumer.readings()[at].committed == 10)
        consumer._behind[at] = 400
        for place, epoch in ((500, consumer.epoch - 1), (9, consumer.epoch)):
            consumer.skip(quiet, place, epoch)
        consumer.skip(at, 500, consumer.epoch)
        assert not consumer._behind, "nothing is left to be fetched before lodgements are"
        await until(lambda: consumer.readings()[at].committed == 500)
        assert consumer.readings()[at].read == 500
        assert consumer.readings()[quiet].committed == 10

    running(app, scenario)
    assert committed(broker_settings, topic) == {0: 500, 1: 10, 2: 10, 3: 10}


def test_brokers_that_never_answered_since_the_assignment_are_silent_too(
    broker_settings: Settings, create_topics: Create
) -> None:
    """Else a worker whose brokers fall silent just then is ready, and nobody is told, for as long as they are."""
    create_topics(TOPICS)
    app = toy_app(broker_settings)

    async def scenario() -> None:
        consumer = app.consumer
        assert isinstance(consumer, BatchConsumer)
        await until(lambda: app.borderflow_assigned and not app.rebalancing and len(consumer.last_commit) == 4)
        assignment = consumer._thread._ensure_consumer()._subscription.subscription.assignment
        for at in assignment.tps:
            assignment._tp_state[at] = TopicPartitionState(assignment)  # as it is before the first answer
            consumer.last_commit[TP(*at)] = time.monotonic() - 40
        silence = app.silent_s()
        assert silence is not None
        assert silence >= 40
        assert any("no broker has answered" in reason for reason in app.unready())

    running(app, scenario)


def test_a_batch_of_an_earlier_assignment_moves_no_offset(broker_settings: Settings, create_topics: Create) -> None:
    create_topics(TOPICS)
    topic = f"{broker_settings.group}-crossings"
    app = toy_app(broker_settings)

    async def scenario() -> None:
        consumer = app.consumer
        assert isinstance(consumer, BatchConsumer)
        await until(lambda: app.borderflow_assigned and not app.rebalancing)
        record: Any = type("Row", (), {"offset": 41, "timestamp": 0})()
        message = consumer._as_message(TP(topic, 0), [record], 0)
        consumer._new_epoch()
        assert not consumer.may_decide(message.value)  # type: ignore[arg-type]  # the value is a batch
        assert consumer.ack(message)
        assert consumer._new_offset(TP(topic, 0)) is None

    running(app, scenario)


def test_a_worker_that_has_nothing_to_poll_stays_in_the_group_and_takes_over(
    broker_settings: Settings, create_topics: Create, worker_environment: dict[str, str], tmp_path: Path
) -> None:
    """aiokafka leaves the group for a consumer that polls nothing for a while, and joins again only after a poll."""
    create_topics({"crossings": 1, "tallies": 1, "crossings-dlq": 1})
    group = broker_settings.group
    impatient = {**worker_environment, "BORDERFLOW_REBALANCE_TIMEOUT_S": "2"}

    def upto() -> int | None:
        return committed(broker_settings, f"{group}-crossings").get(0)

    asyncio.run(lodge(broker_settings, 10, 1))
    with worker(impatient, tmp_path / "a") as first:
        wait_for(lambda: upto() == 10)
        with worker(impatient, tmp_path / "b") as second:
            time.sleep(3 * broker_settings.session_timeout_s)  # joins, and is given none of one partition
            asyncio.run(lodge(broker_settings, 10, 1, start=10))
            wait_for(lambda: upto() == 20)
            first.send_signal(signal.SIGTERM)
            assert first.wait(PATIENCE_S) == 0
            asyncio.run(lodge(broker_settings, 10, 1, start=20))
            wait_for(lambda: upto() == 30, within_s=60)
            assert second.poll() is None


def test_a_worker_whose_brokers_were_slow_in_a_rebalance_joins_again(
    broker_settings: Settings, create_topics: Create, worker_environment: dict[str, str], tmp_path: Path
) -> None:
    """The group waits for the batch in hand. What takes longer than `rebalance_timeout_s` must end no membership."""
    create_topics(TOPICS)
    asyncio.run(lodge(broker_settings, 10, 4))
    with worker(worker_environment, tmp_path / "a"):  # it has a place in every partition
        wait_for(lambda: sum(committed(broker_settings, f"{broker_settings.group}-crossings").values()) == 40)
    settings = dataclasses.replace(broker_settings, rebalance_timeout_s=2.0)
    app = toy_app(settings)

    async def scenario() -> None:
        await until(lambda: app.borderflow_assigned and not app.rebalancing)
        publisher: Any = app.hosts["count"]._publisher
        publish, answered = publisher.publish, asyncio.Event()

        async def slowly(*records: Any) -> Any:
            await answered.wait()
            return await publish(*records)

        publisher.publish = slowly
        await lodge(settings, 10, 4, start=10)
        with worker(worker_environment, tmp_path / "b"):
            await until(lambda: app.rebalancing)
            await asyncio.sleep(2 * settings.rebalance_timeout_s)
            answered.set()
            await until(lambda: not app.rebalancing, within_s=60)
            assert app.consumer.assignment()

    running(app, scenario)
