"""Logs in memory behind the real hosting: what a worker does for an item, without sockets, threads and a broker.

Records are built by the worker's batch builder and kept as the bytes that would travel. Lodgements are parsed by
aiokafka's parser; what a step produces for another one is handed over, as in a border of one worker.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any

from aiokafka.consumer.fetcher import PartitionRecords
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.structs import RecordMetadata, TopicPartition

from streams.recordbatch import RecordBatchBuilder
from streams.transport import RecordBatch, portions
from streams.wire import Placed, Record, fetched

HANDED_OVER = ("screened", "filtered")


class MemoryLogs:
    """Topics of `partitions` partitions each (those in `single` have one). Stands for producer, reader and owner."""

    def __init__(self, partitions: int, single: frozenset[str] = frozenset()) -> None:
        self._partitions = partitions
        self._single = single
        self._ends: dict[tuple[str, int], int] = defaultdict(int)
        self._waiting: dict[tuple[str, int], list[bytes]] = defaultdict(list)
        self._read: dict[tuple[str, int], int] = {}
        self._handed: list[RecordBatch] = []

    # -- a producer

    async def partitions_for(self, topic: str) -> set[int]:
        """As aiokafka's producer."""
        return set(range(1 if topic in self._single else self._partitions))

    async def send_batch(
        self, batch: RecordBatchBuilder, topic: str, *, partition: int
    ) -> asyncio.Future[RecordMetadata]:
        """Keep the bytes of a batch, with the offset that a broker would have given it."""
        at = (topic, partition)
        raw = bytearray(batch._build())
        raw[:8] = self._ends[at].to_bytes(8, "big")
        begin = self._ends[at]
        self._ends[at] += batch.record_count()
        self._waiting[at].append(bytes(raw))
        delivered: asyncio.Future[RecordMetadata] = asyncio.get_running_loop().create_future()
        delivered.set_result(RecordMetadata(topic, partition, TopicPartition(*at), begin, 0, 0, 0))
        return delivered

    # -- a consumer

    def take(self, topics: tuple[str, ...], most: int) -> list[RecordBatch]:
        """What waits in these topics, a batch of at most `most` records for each partition's turn."""
        batches = [batch for batch in self._handed if batch.topic in topics]
        self._handed = [batch for batch in self._handed if batch.topic not in topics]
        for at in [at for at in self._waiting if at[0] in topics]:
            records = self._parse(at, self._waiting.pop(at))
            for start in range(0, len(records), most):
                batches += self._batches(at, records[start : start + most])
        return batches

    def drop(self, topics: tuple[str, ...]) -> int:
        """Forget what waits in topics that nobody reads here; how many records those were."""
        return sum(self._count(self._waiting.pop(at)) for at in [at for at in self._waiting if at[0] in topics])

    def _count(self, raw: list[bytes]) -> int:
        return sum(int.from_bytes(batch[57:61], "big") for batch in raw)

    def _parse(self, at: tuple[str, int], raw: list[bytes]) -> list[Record]:
        parser = PartitionRecords(
            TopicPartition(*at), MemoryRecords(b"".join(raw)), [], self._read.get(at, 0), None, None, True, 0
        )
        parser._consumer_record = fetched
        return list(parser)

    # -- a reader and an owner

    async def since(self, topic: str, partition: int, from_ms: int) -> int | None:
        """There is no history."""
        return None

    async def end(self, topic: str, partition: int) -> int:
        """The end of a log."""
        return self._ends[topic, partition]

    async def read(
        self, topic: str, partition: int, start: int, upto: int | None = None
    ) -> AsyncIterator[list[Record]]:
        """Nothing: there is no history."""
        return
        yield []

    def may_decide(self, batch: RecordBatch) -> bool:
        """Always."""
        return True

    def may_produce(self, batch: RecordBatch) -> bool:
        """Always."""
        return True

    def let_go(self, message: Any) -> None:
        """Never happens."""

    async def hand_over(self, topic: str, placed: Sequence[Placed]) -> None:
        """Deliver what one step produced for another one."""
        if topic in HANDED_OVER:
            for one in placed:
                at = (topic, one.partition)
                self._waiting.pop(at, None)  # of two batches of one partition the first took both
                self._handed += self._batches(at, one.handed())

    def _batches(self, at: tuple[str, int], records: list[Record]) -> Iterator[RecordBatch]:
        for part, size in portions(records):
            yield RecordBatch(*at, part, self._read.get(at), 0, size)
            self._read[at] = part[-1].offset + 1
