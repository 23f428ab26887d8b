"""What the worker's consumer adds to aiokafka's fetcher, which asks the brokers for every partition it holds.

Three things. The fetcher is told when a fetch is back, and a partition whose records this worker produces all by itself
rests, because fetching it only brings what was handed over already (docs/adr/0018-rounds-and-handing-over.md). A record
that cannot be parsed is one that cannot be read, not the end of the worker, for every consumer of this process.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from math import inf
from time import monotonic

from aiokafka import AIOKafkaConsumer
from aiokafka.consumer import fetcher
from aiokafka.consumer.fetcher import Fetcher, PartitionRecords
from aiokafka.structs import TopicPartition
from mode.utils.futures import notify

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


class ParsedRecords(PartitionRecords):  # type: ignore[misc]  # aiokafka ships no types
    """aiokafka's parser, for which what it cannot parse is the end of a fetch and of the worker.

    A header's name that is not UTF-8 is a lodger's doing, and brokers do not look at it. In its place comes an
    `UnreadableRecord`, and the fetch ends. What follows it in its batch cannot be parsed either: each offset of that
    takes a fetch of its own. All other errors are raised.
    """

    next_fetch_offset: int

    def _unpack_records(self) -> Iterator[FetchedRecord]:
        try:
            yield from super()._unpack_records()
        except UnicodeDecodeError:
            offset = self.next_fetch_offset
            self.next_fetch_offset = offset + 1
            yield unreadable(self._tp, offset)


fetcher.PartitionRecords = ParsedRecords


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


def skip(consumer: AIOKafkaConsumer, at: TopicPartition, offset: int) -> None:
    """Read on from this offset, unless the consumer is past it."""
    state = consumer._subscription.subscription.assignment.state_value(at)
    if state.has_valid_position and state.position < offset:
        consumer.seek(at, offset)
