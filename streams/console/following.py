"""Plain followers: whole topics from a point in time on, without a group, folded record by record.

The console keeps nothing on disk: what it shows is a fold of the logs, and is folded again at every start.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from time import monotonic
from typing import TYPE_CHECKING

import structlog
from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError
from aiokafka.structs import TopicPartition

from streams.defects import places
from streams.fetching import silent_s
from streams.partitioning import partition_of
from streams.rebuild import LogReader, disconnect
from streams.wire import Record

if TYPE_CHECKING:
    from streams.settings import Settings

log = structlog.get_logger("borderflow.console")

Take = Callable[[Record], None]
_TURN_S = 0.02
_WAIT_MS = 50


class Following:
    """Follows topics until stopped. `folded` is called after every batch, so that who waits for a record may look."""

    def __init__(
        self,
        settings: Settings,
        takes: Mapping[str, Take],
        from_ms: int,
        *,
        failed: Callable[[BaseException], None],
        folded: Callable[[], None] = lambda: None,
    ) -> None:
        """`from_ms`: older records are left out where the brokers can tell; 0 for all."""
        self._settings = settings
        self._takes = dict(takes)
        self._from_ms = from_ms
        self._failed = failed
        self._folded = folded
        self._consumer: AIOKafkaConsumer | None = None
        self._task: asyncio.Task[None] | None = None
        self._goals: dict[TopicPartition, int] = {}
        self.caught_up = False
        """Whether everything that was there at the start is folded."""
        self.positions: dict[tuple[str, int], int] = {}

    @property
    def silent_s(self) -> float:
        """For how long no broker has answered for the partition of which that is longest so."""
        consumer = self._consumer
        if consumer is None or self._task is None:
            return 0.0
        return max((silent_s(consumer, at) or 0.0 for at in consumer.assignment()), default=0.0)

    def silent_for_s(self, topic: str, key: str) -> float:
        """For how long no broker has answered for the partition that a record with this key goes to."""
        consumer = self._consumer
        if consumer is None or self._task is None:
            return 0.0
        partitions = sum(followed == topic for followed, _ in self.positions)
        return silent_s(consumer, TopicPartition(topic, partition_of(key, partitions))) or 0.0

    async def start(self, heard: Callable[[], None] = lambda: None) -> None:
        """Connect and begin; `heard` is called after every answer of the brokers.

        Raises `UnknownTopicError` or the client's `KafkaError`.
        """
        begin: dict[TopicPartition, int] = {}
        async with LogReader(self._settings) as reader:
            heard()
            for topic in self._takes:
                for partition in range(await reader.partitions(topic)):
                    end = await reader.end(topic, partition)
                    at = TopicPartition(topic, partition)
                    since = await reader.since(topic, partition, self._from_ms) if self._from_ms else 0
                    begin[at] = end if since is None else since
                    self._goals[at] = end
                    heard()
        self._consumer = AIOKafkaConsumer(
            **self._settings.consumer_options(),
            client_id=f"{self._settings.group}-console",
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            fetch_max_wait_ms=_WAIT_MS,
            max_partition_fetch_bytes=self._settings.fetch_bytes,
            request_timeout_ms=int(self._settings.request_timeout_s * 1000),
        )
        await self._consumer.start()
        heard()
        self._consumer.assign(list(begin))
        for at, offset in begin.items():
            if offset:  # else it reads from the beginning by itself
                self._consumer.seek(at, offset)
            self.positions[at.topic, at.partition] = offset
        self._task = asyncio.create_task(self._follow(self._consumer), name="console-following")

    async def stop(self) -> None:
        """Stop; safe to call twice."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            await disconnect(consumer)

    async def _follow(self, consumer: AIOKafkaConsumer) -> None:
        try:
            while True:
                got = await consumer.getmany(timeout_ms=200, max_records=2000)
                turn = monotonic()
                for at, records in got.items():
                    take = self._takes[at.topic]
                    for record in records:
                        take(record)
                        if monotonic() - turn > _TURN_S:
                            await asyncio.sleep(0)
                            turn = monotonic()
                    self.positions[at.topic, at.partition] = records[-1].offset + 1
                if got:
                    self._folded()
                if self._goals:
                    await self._check_goals(consumer)
        except asyncio.CancelledError:
            raise
        except Exception as error:
            said = repr(error) if isinstance(error, KafkaError) else type(error).__name__  # it may be about a person
            log.critical("following stopped", topics=sorted(self._takes), error=said, at=places(error))
            self._failed(error)

    async def _check_goals(self, consumer: AIOKafkaConsumer) -> None:
        for at, goal in list(self._goals.items()):
            position = await consumer.position(at)
            if position >= goal and at not in consumer._fetcher._records:
                del self._goals[at]
        if not self._goals:
            self.caught_up = True
            self._folded()
