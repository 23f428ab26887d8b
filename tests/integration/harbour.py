"""What the integration tests share: lodging toy crossings, reading topics back, running workers."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.structs import TopicPartition
from kafka.admin import KafkaAdminClient

from streams.producing import Publisher, new_producer
from streams.settings import Settings
from streams.wire import Outgoing, Record
from tests.integration.toy import Crossed, Tallied

ROOT = Path(__file__).parents[2]
PATIENCE_S = 150.0
"""How long a test waits for what comes in seconds on an idle machine. CI's has two cores for four runs of tests."""


def crossing(number: int, plates: int = 20) -> Crossed:
    """The toy crossing with this number, of one of so many lorries."""
    return Crossed(f"P{number * 7919 % plates}", number)


def record_of(event: msgspec.Struct | bytes | None, partition: int, key: bytes = b"k") -> Outgoing:
    """An event, or raw bytes, to be lodged in a partition now."""
    value = msgspec.json.encode(event) if isinstance(event, msgspec.Struct) else event
    return Outgoing(key, value, int(time.time() * 1000), [("seal", b"intact")], partition)


@contextlib.asynccontextmanager
async def publisher(settings: Settings) -> AsyncIterator[Publisher]:
    """A publisher with a producer of its own."""
    producer: AIOKafkaProducer = new_producer(settings)
    await producer.start()
    try:
        yield Publisher(producer)
    finally:
        await producer.stop()


async def lodge(settings: Settings, count: int, partitions: int, start: int = 0, step: int = 100) -> None:
    """Lodge crossings `start` to `start + count` in each partition, in batches of `step`."""
    topic = f"{settings.group}-crossings"
    async with publisher(settings) as to:
        for first in range(start, start + count, step):
            numbers = range(first, min(first + step, start + count))
            await to.publish(topic, [record_of(crossing(n), p) for p in range(partitions) for n in numbers])


async def read_all(
    settings: Settings, topic: str, partitions: int, want: int = 0, within_s: float = PATIENCE_S
) -> list[Record]:
    """All records of a topic, in order within partitions: to the ends that brokers have told, and until nothing more
    comes for a second and `want` are there."""
    consumer = AIOKafkaConsumer(
        **settings.client_options(), group_id=None, auto_offset_reset="earliest", fetch_max_wait_ms=20
    )
    await consumer.start()
    try:
        tps = [TopicPartition(topic, p) for p in range(partitions)]
        consumer.assign(tps)
        await consumer.seek_to_beginning(*tps)
        found: list[Record] = []
        deadline, quiet = time.monotonic() + within_s, 0
        while time.monotonic() < deadline and not (quiet >= 4 and len(found) >= want):
            got = await consumer.getmany(timeout_ms=250)
            quiet = 0 if got or not await _at_the_ends(consumer, tps) else quiet + 1
            for records in got.values():
                found += records
        return found
    finally:
        await consumer.stop()


async def _at_the_ends(consumer: AIOKafkaConsumer, tps: list[TopicPartition]) -> bool:
    """Whether a broker has answered about each partition, and all that it told of has been read."""
    for tp in tps:
        end = consumer.highwater(tp)
        if end is None or await consumer.position(tp) < end:
            return False
    return True


def tallies(records: Sequence[Record]) -> dict[tuple[int, int], list[Tallied]]:
    """Tallied events by the (partition, offset) of the crossing that they follow from; several when redelivered."""
    found: dict[tuple[int, int], list[Tallied]] = {}
    for record in records:
        event = msgspec.json.decode(record.value or b"", type=Tallied)
        found.setdefault((event.upstream.partition, event.upstream.offset), []).append(event)
    return found


def expected(count: int, partitions: int) -> dict[tuple[int, int], tuple[str, int]]:
    """What an undisturbed worker tallies of `lodge(count, partitions)`."""
    result: dict[tuple[int, int], tuple[str, int]] = {}
    for partition in range(partitions):
        seen: dict[str, int] = {}
        for number in range(count):
            plate = crossing(number).plate
            seen[plate] = seen.get(plate, 0) + 1
            result[partition, number] = (plate, seen[plate])
    return result


def committed(settings: Settings, topic: str) -> dict[int, int]:
    """The group's committed offset by partition."""
    admin = KafkaAdminClient(**settings.client_options())
    try:
        found: dict[Any, Any] = admin.list_group_offsets([settings.group])[settings.group]
        return {at.partition: int(value.offset) for at, value in found.items() if at.topic == topic}
    finally:
        admin.close()


@contextlib.contextmanager
def worker(environment: dict[str, str], log: Path, **more: str) -> Iterator[subprocess.Popen[bytes]]:
    """A toy worker as a process of its own; killed at the end if it still runs."""
    with open(log, "ab") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.integration.toy"],
            cwd=ROOT,
            env={**os.environ, **environment, **more},
            stdout=out,
            stderr=out,
        )
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()
            process.wait()


if __name__ == "__main__":  # lodges slowly, from a process of its own
    asyncio.run(lodge(Settings.from_environment(), int(sys.argv[1]), 4, step=50))
