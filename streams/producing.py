"""Producing in batches: records are appended to one batch per topic and partition, and delivery is awaited.

One call is one batch per partition wherever that fits `max_batch_bytes`, so what follows from one input batch arrives
whole or not at all in each partition. What does not fit is split in order, each part delivered before the next.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, MessageSizeTooLargeError, UnknownTopicOrPartitionError

from streams.partitioning import partitions_of
from streams.recordbatch import RecordBatchBuilder
from streams.wire import Outgoing, Placed, Produced

if TYPE_CHECKING:
    from streams.settings import Settings


_Batch = tuple[RecordBatchBuilder, Sequence[Outgoing | Produced]]


class RecordTooLargeError(ValueError):
    """One record is larger than the brokers take; names the topic and the size, never the content."""

    def __init__(self, topic: str, size: int) -> None:
        super().__init__(f"a record of {size} bytes for topic {topic!r} is larger than the brokers take")
        self.topic = topic
        self.size = size


class UndeliveredError(KafkaError):  # type: ignore[misc]  # aiokafka ships no types
    """The brokers did not acknowledge records of one partition; says which, and what the client was told."""

    def __init__(self, topic: str, partition: int, error: KafkaError) -> None:
        super().__init__(
            f"records for topic {topic!r} partition {partition} were not acknowledged: {type(error).__name__} "
            "(`borderflow doctor` says whether the topic is as it should be)"
        )


class UnknownTopicError(LookupError):
    """The brokers do not have this topic."""

    def __init__(self, topic: str) -> None:
        super().__init__(
            f"topic {topic!r} does not exist (create it with `borderflow topics create`), or this user may not see it"
        )
        self.topic = topic


def new_producer(settings: Settings) -> AIOKafkaProducer:
    """An aiokafka producer for batches: all in-sync replicas acknowledge; not started."""
    return AIOKafkaProducer(
        **settings.client_options(),
        client_id=f"{settings.group}-producer",
        acks="all",
        enable_idempotence=settings.idempotence,
        max_batch_size=settings.max_batch_bytes,
        max_request_size=settings.max_batch_bytes + 65_536,
        request_timeout_ms=int(settings.request_timeout_s * 1000),
        linger_ms=0,
    )


class Publisher:
    """Publishes records in batches of at most `batch_bytes` with a started producer."""

    def __init__(self, producer: AIOKafkaProducer, batch_bytes: int = 1_000_000) -> None:
        self._producer = producer
        self._most = batch_bytes

    async def publish(self, topic: str, records: Iterable[Outgoing | Produced]) -> list[Placed]:
        """Deliver records to one topic, in order within each partition; returns where they are.

        Returns when every record is acknowledged by all in-sync replicas. Raises `RecordTooLargeError`,
        `UnknownTopicError` or `UndeliveredError` (a `KafkaError`); then some partitions may have got their part.
        """
        batches = {
            partition: self._batches(mine)
            for partition, mine in _by_partition(topic, list(records), await self._partitions(topic)).items()
        }
        if len(batches) == 1:
            return await self._deliver(topic, *batches.popitem())
        placed = await asyncio.gather(*(self._deliver(topic, *one) for one in batches.items()))
        return [one for several in placed for one in several]

    def _batches(self, records: Sequence[Outgoing | Produced]) -> list[_Batch]:
        """The records of one partition in as few batches as take them; the first record of a batch always fits."""
        batches, begun = list[_Batch](), 0
        while begun < len(records):
            builder = RecordBatchBuilder(self._most)
            end = builder.fill(records, begun)
            batches.append((builder, records[begun:end]))
            begun = end
        return batches

    async def _deliver(self, topic: str, partition: int, batches: list[_Batch]) -> list[Placed]:
        placed = []
        batches.reverse()
        while batches:  # each lets its bytes go when it is delivered
            builder, records = batches.pop()
            builder.close()
            size = builder.size()
            try:
                delivered = await self._producer.send_batch(builder, topic, partition=partition)
                placed.append(Placed(partition, (await delivered).offset, records))
            except MessageSizeTooLargeError:
                raise RecordTooLargeError(topic, size) from None
            except KafkaError as error:
                raise UndeliveredError(topic, partition, error) from error
        return placed

    async def _partitions(self, topic: str) -> int:
        try:
            known = await self._producer.partitions_for(topic)
        except UnknownTopicOrPartitionError:
            raise UnknownTopicError(topic) from None
        if not known:
            raise UnknownTopicError(topic)
        return len(known)


def _by_partition(
    topic: str, records: Sequence[Outgoing | Produced], partitions: int
) -> Mapping[int, list[Outgoing | Produced]]:
    """Records by the partition that they say or their key does, in order."""
    by_key = iter(partitions_of([record.key for record in records if record.partition is None], partitions))
    sorted_out = defaultdict[int, list[Outgoing | Produced]](list)
    for record in records:
        partition = record.partition
        sorted_out[next(by_key) if partition is None else partition].append(record)
    for partition in sorted_out:
        if not 0 <= partition < partitions:
            raise ValueError(f"topic {topic!r} has {partitions} partitions: no partition {partition}")
    return sorted_out
