"""Reading logs outside of the consumer group: a partition's state is rebuilt from them, and broadcast logs followed.

How far to read is the delicate part. Kafka's ListOffsets is exact. The embedded broker answers "latest" with the base
offset of the last batch + 1 and "by time" with the beginning, whatever is asked. So an end is reached when the
position is at or past what ListOffsets says AND everything fetched has been read (a fetch returns whole batches), and
an answer by time is believed only when the record at that offset has the timestamp that came with it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, Self

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaConnectionError, KafkaError
from aiokafka.structs import TopicPartition

import streams.fetching  # noqa: F401 - with it a record that cannot be parsed is one that cannot be read
from streams.producing import UnknownTopicError
from streams.wire import Record

if TYPE_CHECKING:
    from types import TracebackType

    from streams.settings import Settings

CHUNK = 1000
"""The most records that are folded before the event loop gets a turn."""

_READ_WAIT_MS = 10


class LogReader:
    """Reads one partition at a time with a plain consumer: no group, no commits, nothing fetched between reads."""

    def __init__(self, settings: Settings, *, fetch_wait_ms: int = _READ_WAIT_MS) -> None:
        self._settings = settings
        self._fetch_wait_ms = fetch_wait_ms
        self._consumer: AIOKafkaConsumer | None = None

    async def start(self) -> Self:
        """Connect. Raises the client's `KafkaError`."""
        self._consumer = AIOKafkaConsumer(
            **self._settings.consumer_options(),
            client_id=f"{self._settings.group}-reader",
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            fetch_max_wait_ms=self._fetch_wait_ms,
            max_partition_fetch_bytes=self._settings.fetch_bytes,
            request_timeout_ms=int(self._settings.request_timeout_s * 1000),
        )
        try:
            await self._consumer.start()
        except BaseException:
            await self.stop()
            raise
        await asyncio.sleep(0)  # its tasks begin: one that is cancelled before it began takes `stop` with it
        return self

    async def stop(self) -> None:
        """Disconnect; safe to call twice."""
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            await disconnect(consumer)

    async def __aenter__(self) -> Self:
        return await self.start()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def partitions(self, topic: str) -> int:
        """How many partitions a topic has. Raises `UnknownTopicError`, or `KafkaConnectionError` when nobody says."""
        client = self._connected()._client
        found = client.cluster.partitions_for_topic(topic)
        if not found:
            told = await client.set_topics({*client.cluster.topics(), topic})
            found = client.cluster.partitions_for_topic(topic)
            if not found and not told:
                raise KafkaConnectionError(f"no broker says which partitions {topic} has")
        if not found:
            raise UnknownTopicError(topic)
        return len(found)

    async def look_again(self) -> None:
        """Ask the brokers anew which partitions there are. Raises the client's `KafkaError`."""
        await self._connected()._client.force_metadata_update()

    async def begin(self, topic: str, partition: int) -> int:
        """The offset of the first record that a partition still has."""
        await self.partitions(topic)
        at = TopicPartition(topic, partition)
        return int((await self._connected().beginning_offsets([at]))[at])

    async def end(self, topic: str, partition: int) -> int:
        """An offset that the end of a partition is at or after: see the top of this module."""
        await self.partitions(topic)
        at = TopicPartition(topic, partition)
        return int((await self._connected().end_offsets([at]))[at])

    async def since(self, topic: str, partition: int, from_ms: int) -> int | None:
        """The offset of the first record at or after a time (ms since the epoch), of all earlier ones at the worst.

        None when the brokers know that there is no such record.
        """
        await self.partitions(topic)
        consumer, at = self._connected(), TopicPartition(topic, partition)
        try:
            answer = (await consumer.offsets_for_times({at: max(0, from_ms)}))[at]
        except KafkaError:
            return 0
        if answer is None:
            return None
        if answer.timestamp < from_ms:
            return 0
        async for records in self.read(topic, partition, answer.offset, answer.offset + 1):
            if records[0].offset == answer.offset and records[0].timestamp == answer.timestamp:
                return int(answer.offset)
            break
        return 0

    async def read(
        self, topic: str, partition: int, start: int, upto: int | None = None
    ) -> AsyncGenerator[list[Record], None]:
        """Records from offset `start` on, in chunks: those below `upto`, or to the end as it stands now.

        With `upto` None the read may run a little past that end, never short of it. A log that ends before `upto` is
        read to its end.
        """
        await self.partitions(topic)
        end = await self.end(topic, partition)
        if start >= (end if upto is None else upto):
            return
        consumer, at = self._connected(), TopicPartition(topic, partition)
        consumer.assign([at])
        consumer.seek(at, start)
        try:
            while True:
                got = (await consumer.getmany(at, timeout_ms=200, max_records=CHUNK)).get(at, [])
                if upto is not None:  # a log that was made anew is fetched from its beginning
                    got = [record for record in got if start <= record.offset < upto]
                if got:
                    yield got
                position = await consumer.position(at)
                if upto is not None and position >= upto:
                    return
                answered = consumer.highwater(at) is not None
                if position >= end and answered and at not in consumer._fetcher._records:
                    return
        finally:
            consumer.unsubscribe()

    def _connected(self) -> AIOKafkaConsumer:
        if self._consumer is None:
            raise RuntimeError("the reader is not started")
        return self._consumer


async def disconnect(consumer: AIOKafkaConsumer) -> None:
    """Stop a consumer without a group once it has let go of its fetches.

    One that is closed while it cancels them (aiokafka 0.14) takes its own end for theirs and waits for an assignment
    for ever, or raises `CancelledError`.
    """
    consumer.unsubscribe()
    fetcher = consumer._fetcher
    if fetcher is not None:  # else it never started
        while fetcher._pending_tasks and not fetcher._fetch_task.done():  # noqa: ASYNC110 - aiokafka has no event for it
            await asyncio.sleep(0.01)
    await consumer.stop()
