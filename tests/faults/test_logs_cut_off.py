"""Logs that lose records before a worker has read them, or carry some never committed, or too large to be buried."""

from __future__ import annotations

import asyncio
import contextlib
import re
import subprocess
import time
import urllib.request
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer
from kafka.errors import KafkaError
from kafka.structs import TopicPartition

from streams.settings import Settings
from tests.faults.conftest import settings_of, surroundings
from tests.integration.harbour import (
    PATIENCE_S,
    committed,
    crossing,
    publisher,
    read_all,
    record_of,
    tallies,
    worker,
)
from tests.ports import own_port
from tests.real_kafka.cluster import Cluster

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(400)]


@contextlib.contextmanager
def at_work(environment: dict[str, str], log: Path, upto: int) -> Iterator[subprocess.Popen[bytes]]:
    """A worker that has committed partition 0 of the crossings up to an offset."""
    settings = settings_of(environment)
    with worker(environment, log) as process:
        deadline = time.monotonic() + PATIENCE_S
        while reached(settings) != upto:
            assert process.poll() is None, log.read_text()[-2000:]
            assert time.monotonic() < deadline, log.read_text()[-2000:]
            time.sleep(0.3)
        yield process


def reached(settings: Settings) -> int | None:
    try:
        return committed(settings, f"{settings.group}-crossings").get(0)
    except KafkaError:  # the first consumer group of these brokers: its coordinator is being made
        return None


def work_until(environment: dict[str, str], log: Path, upto: int) -> None:
    """The same, and then it stops as it should."""
    with at_work(environment, log, upto) as process:
        process.terminate()
        assert process.wait(PATIENCE_S) == 0


async def lodge_at(settings: Settings, first: int, count: int) -> None:
    """Crossings in partition 0 alone."""
    async with publisher(settings) as to:
        lodged = [record_of(crossing(number), 0) for number in range(first, first + count)]
        await to.publish(f"{settings.group}-crossings", lodged)


def test_records_that_brokers_deleted_unread_are_told_of_and_the_rest_is_decided(
    kafka_node: Cluster, tmp_path: Path
) -> None:
    environment, log = surroundings(kafka_node), tmp_path / "worker.log"
    settings = settings_of(environment)
    topic = f"{settings.group}-crossings"
    asyncio.run(lodge_at(settings, 0, 100))
    work_until(environment, log, 100)
    asyncio.run(lodge_at(settings, 100, 60))
    with kafka_node.admin() as admin:
        admin.delete_records({TopicPartition(topic, 0): 130})
    port = own_port()
    with at_work({**environment, "BORDERFLOW_WEB_PORT": str(port)}, log, 160) as process:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=PATIENCE_S) as page:
            told = page.read().decode()
        process.terminate()
        assert process.wait(PATIENCE_S) == 0
    assert f'borderflow_skipped_records_total{{topic="{topic}"}} 30.0' in told
    assert "deleted offsets 100 to 129 before they were read" in log.read_text()
    done = asyncio.run(read_all(settings, f"{settings.group}-tallies", 4, 130))
    assert sorted(offset for _, offset in tallies(done)) == [*range(100), *range(130, 160)]


def test_a_topic_that_was_made_anew_stops_the_worker_which_says_so(kafka_node: Cluster, tmp_path: Path) -> None:
    environment, log = surroundings(kafka_node), tmp_path / "worker.log"
    settings = settings_of(environment)
    topic = f"{settings.group}-crossings"
    asyncio.run(lodge_at(settings, 0, 100))
    with at_work(environment, log, 100) as process:
        with kafka_node.admin() as admin:
            admin.delete_topics([topic])
            kafka_node.wait_for(lambda _: topic not in admin.list_topics(), "the topic is gone")
            admin.create_topics({topic: {"num_partitions": 4, "replication_factor": 1}})
        asyncio.run(lodge_at(settings, 0, 10))
        assert process.wait(PATIENCE_S) == 1
    said = log.read_text()
    assert re.search(r"crossings\[0\] ends at offset (0|10), and this group has read it up to 100", said), said[-2000:]
    assert len(asyncio.run(read_all(settings, f"{settings.group}-tallies", 4, 100))) == 100


def test_nothing_of_a_transaction_that_was_aborted_is_decided(kafka_node: Cluster, tmp_path: Path) -> None:
    environment = surroundings(kafka_node)
    settings = settings_of(environment)
    topic = f"{settings.group}-crossings"

    async def lodge_in_transactions() -> None:
        producer = AIOKafkaProducer(**settings.client_options(), transactional_id=uuid.uuid4().hex)
        await producer.start()
        try:
            for number in range(6):
                await producer.begin_transaction()
                record = record_of(crossing(number), 0)
                await producer.send_and_wait(topic, record.value, key=record.key, partition=0)
                await (producer.abort_transaction() if number % 2 else producer.commit_transaction())
        finally:
            await producer.stop()

    asyncio.run(lodge_in_transactions())
    asyncio.run(lodge_at(settings, 6, 1))
    work_until(environment, tmp_path / "worker.log", 13)
    done = asyncio.run(read_all(settings, f"{settings.group}-tallies", 4, 4))
    found = {events[0].number for events in tallies(done).values()}
    assert found == {0, 2, 4, 6}


def test_a_packed_record_larger_than_any_dead_letter_is_buried_without_its_value(
    kafka_node: Cluster, tmp_path: Path
) -> None:
    """Brokers count packed bytes, and refuse the letter that it would be: an idempotent producer must not try."""
    environment = surroundings(kafka_node)
    settings = settings_of(environment)
    topic = f"{settings.group}-crossings"

    async def lodge_packed() -> None:
        producer = AIOKafkaProducer(
            **settings.client_options(), compression_type="gzip", max_batch_size=4_000_000, max_request_size=4_000_000
        )
        await producer.start()
        try:
            batch = producer.create_batch()
            for value in (b"{", b"x" * 3_000_000, b"{"):
                assert batch.append(key=b"k", value=value, timestamp=None)
            await (await producer.send_batch(batch, topic, partition=0))
        finally:
            await producer.stop()

    asyncio.run(lodge_packed())
    asyncio.run(lodge_at(settings, 0, 1))
    work_until(environment, tmp_path / "worker.log", 4)
    letters = asyncio.run(read_all(settings, f"{topic}-dlq", 1, 3))
    assert [len(one.value or b"") for one in letters] == [1, 0, 1]
    assert len(asyncio.run(read_all(settings, f"{settings.group}-tallies", 4, 1))) == 1
