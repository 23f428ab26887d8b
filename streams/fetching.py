"""What the worker's consumer adds to aiokafka's fetcher, which asks the brokers for every partition it holds.

The fetcher is told when a fetch is back, and a partition whose records this worker produces all by itself rests,
because fetching it only brings what was handed over already (docs/adr/0018-rounds-and-handing-over.md). For every
consumer of this process: what cannot be read, or unpacks to too much, is not the end of the worker, and what is closed
ends.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from math import inf
from time import monotonic, time
from typing import Any

from aiokafka import AIOKafkaConsumer
from aiokafka.consumer import consumer, fetcher
from aiokafka.consumer.fetcher import READ_COMMITTED, Fetcher, PartitionRecords
from aiokafka.errors import CorruptRecordException
from aiokafka.structs import TopicPartition
from mode.utils.futures import notify

import streams.reconnecting  # noqa: F401 - with it a client pauses before it tries a broker again that is away
from streams.unpacking import METER, MOST_BYTES, UnreadableBatchError, read_with_bounds, records_of
from streams.wire import FetchedRecord, unreadable

REST_S = 0.25
"""A partition rests for so long after the latest record that was handed over: what others produce waits that long."""


class InFlight(set[int]):
    """The brokers that a fetch is under way to; lets the fetcher know when one is back.

    aiokafka 0.14's fetcher, when a poll or a seek wakes it in the turn of its loop in which a fetch comes back, takes
    that fetch to be under way still, asks for nothing, and looks again after 200 ms.
    """

    def __init__(self, asking: Fetcher) -> None:
        super().__init__(asking._in_flight)
        self._asking = asking

    def discard(self, node: object, /) -> None:
        """A fetch is back: what to fetch next is worked out."""
        super().discard(node)
        notify(self._asking._wait_consume_future)


class CalmFetcher(Fetcher):  # type: ignore[misc]  # aiokafka ships no types
    """aiokafka's fetcher, which can be closed while a fetch that failed is about to be tried again.

    aiokafka 0.14 waits for such a fetch without minding that it was cancelled, and the consumer that is closed ends
    by that `CancelledError`, half closed: a worker that was told to stop while brokers were away never did.
    """

    async def _proc_fetch_request(self, assignment: Any, node_id: Any, request: Any) -> bool:
        try:
            return bool(await super()._proc_fetch_request(assignment, node_id, request))
        except asyncio.CancelledError:
            return False  # what it says when it is cancelled while it waits for an answer


class ParsedRecords(PartitionRecords):  # type: ignore[misc]  # aiokafka ships no types
    """aiokafka's parser, for which what it cannot read is the end of the worker.

    In the place of each record of a batch that cannot be read comes an `UnreadableRecord`. A fetch ends when it has
    unpacked `MOST_BYTES`, and what follows is fetched again. Of what is wrong with a batch only its checksum is raised:
    that is the disk's doing, or the network's.
    """

    next_fetch_offset: int

    def _unpack_records(self) -> Iterator[FetchedRecord]:
        unpacked = METER.bytes
        while self._records.has_next() and METER.bytes - unpacked < MOST_BYTES:
            batch = self._records.next_batch()
            if self._check_crcs and not batch.validate_crc():
                raise CorruptRecordException(f"Invalid CRC - {self._tp}")
            if not self._says_nothing(batch):
                try:
                    for record in records_of(batch, self._tp.topic):
                        if record.offset >= self.next_fetch_offset:
                            self.next_fetch_offset = record.offset + 1
                            yield self._consumer_record(self._tp, record)
                except UnreadableBatchError as error:
                    for offset in range(self.next_fetch_offset, batch.next_offset):
                        self.next_fetch_offset = offset + 1
                        yield unreadable(self._tp, offset, str(error))
            self.next_fetch_offset = batch.next_offset

    def _says_nothing(self, batch: Any) -> bool:
        """Whether a batch is a mark of the brokers, or of a transaction that was aborted: as aiokafka has it."""
        if self._isolation_level == READ_COMMITTED and batch.producer_id is not None:
            self._consume_aborted_up_to(batch.base_offset)
            if batch.is_control_batch and self._contains_abort_marker(batch):
                self._aborted_producers.discard(batch.producer_id)
            if batch.is_transactional and batch.producer_id in self._aborted_producers:
                return True
        return bool(batch.is_control_batch)


fetcher.PartitionRecords = ParsedRecords
consumer.Fetcher = CalmFetcher
read_with_bounds(
    "aiokafka.record.default_records", "aiokafka.record.legacy_records",
    "aiokafka.record._crecords.default_records", "aiokafka.record._crecords.legacy_records",
)  # fmt: skip


class Rests:
    """Partitions that are left out of fetches, until when, and the offset to read on from.

    None rests where the group has other members, who produce for this one's partitions all the time.
    """

    def __init__(self) -> None:
        self._resting: dict[TopicPartition, tuple[float, int]] = {}
        self._alone: bool | None = None  # None: to be worked out for this assignment

    def begin(self, consumer: AIOKafkaConsumer, at: TopicPartition, offset: int) -> bool:
        """Let a partition rest, or rest on; False when none may."""
        if self._alone is None:
            self._alone = _holds_all(consumer)
        if not self._alone:
            return False
        if at not in self._resting:
            consumer.pause(at)
        self._resting[at] = (monotonic() + REST_S, offset)
        return True

    def end(self, consumer: AIOKafkaConsumer, partitions: Iterable[TopicPartition]) -> None:
        """Have these partitions fetched again."""
        for at in partitions:
            _, offset = self._resting.pop(at, (0.0, None))
            if offset is not None and at in consumer.assignment():
                skip(consumer, at, offset)
                consumer.resume(at)

    def end_due(self, consumer: AIOKafkaConsumer) -> float:
        """End the rests that are over; seconds until the next one is."""
        now = monotonic()
        self.end(consumer, [at for at, (until, _) in self._resting.items() if until <= now])
        return min((until - now for until, _ in self._resting.values()), default=inf)

    def forget(self, consumer: AIOKafkaConsumer) -> None:
        """The partitions have been assigned anew: where each is read from is not for rests to say."""
        consumer.resume(*(at for at in self._resting if at in consumer.assignment()))
        self._resting.clear()
        self._alone = None


def _holds_all(consumer: AIOKafkaConsumer) -> bool:
    """Whether a consumer has been assigned every partition of every topic that it subscribes to."""
    held = consumer.assignment()
    for topic in consumer.subscription():
        partitions = consumer.partitions_for_topic(topic)
        if not partitions or any(TopicPartition(topic, number) not in held for number in partitions):
            return False
    return True


def state_of(consumer: AIOKafkaConsumer, at: TopicPartition) -> Any:
    """What aiokafka knows of a partition; None when the consumer does not hold it, or not any more.

    It may be asked from another thread than that which is assigned partitions.
    """
    subscription = consumer._subscription.subscription
    assignment = None if subscription is None else subscription.assignment
    return None if assignment is None else assignment.state_value(at)


def skip(consumer: AIOKafkaConsumer, at: TopicPartition, offset: int) -> None:
    """Read on from this offset, unless the consumer is past it."""
    state = state_of(consumer, at)
    if state.has_valid_position and state.position < offset:
        consumer.seek(at, offset)


def silent_s(consumer: AIOKafkaConsumer, at: TopicPartition) -> float | None:
    """For how long no broker has answered a fetch of the partition; None before the first answer and while it rests."""
    state = state_of(consumer, at)
    if state is None or state.paused or state.timestamp is None:
        return None
    answered_ms: int = state.timestamp
    return max(0.0, time() - answered_ms / 1000)
