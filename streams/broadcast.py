"""Followers: every worker folds one-partition topics from their beginning into books of its own.

Labelled examples, criteria and risk information are broadcast this way. All copies are equal because all fold the same
log in the same order; how far a book has folded is an offset in that log.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from time import monotonic
from typing import TYPE_CHECKING, Any, Protocol

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import OffsetOutOfRangeError
from aiokafka.structs import TopicPartition

from schemas.codec import UNDECODABLE_REASONS, Undecodable
from streams import metrics
from streams.defects import DefectError
from streams.fetching import silent_s
from streams.rebuild import LogReader, disconnect
from streams.wire import Decode, Record, decoded, sent_ms

if TYPE_CHECKING:
    from streams.settings import Settings

log = logging.getLogger("borderflow.broadcast")

MODEL_LOG = "labelled-examples"
"""The broadcast topic whose offset is the model version."""

FOLLOW_WAIT_MS = 200
"""How long a broker may hold a fetch without news; Kafka answers as soon as there are any."""

_TURN_S = 0.02


class LogChangedError(RuntimeError):
    """A broadcast log has other offsets than those that were folded: it was made anew, or brokers lost some of it."""

    def __init__(self, topic: str, first: int, end: int, read: int) -> None:
        super().__init__(
            f"{topic} has offsets from {first} up to {end}, and this worker has folded it up to {read}: the topic was "
            "made anew, or its brokers have lost records, and what it knows is not what others fold "
            "(docs/operations.md, 'A worker stops because a log ends early')"
        )


class Book(Protocol):
    """Knowledge folded from one broadcast log."""

    def fold(self, offset: int, key: str, event: Any | None, sent_ms: int, /) -> None:
        """Fold the record at `offset`, sent at `sent_ms`; `event` None withdraws what `key` named (a tombstone)."""


@dataclass(frozen=True, slots=True)
class Follow:
    """A broadcast topic, how to decode it, and the book it is folded into."""

    topic: str
    decode: Decode
    book: Book


class Followers:
    """Folds several broadcast topics with one plain consumer, until stopped.

    `failed` is called with the error when following cannot go on: the worker must stop, because decisions on
    knowledge that has silently stopped would be wrong.
    """

    def __init__(self, settings: Settings, follows: list[Follow], failed: Callable[[BaseException], None]) -> None:
        self._settings = settings
        self._follows = {TopicPartition(one.topic, 0): one for one in follows}
        self._failed = failed
        self._goals: dict[TopicPartition, int] = {}
        self._consumer: AIOKafkaConsumer | None = None
        self._task: asyncio.Task[None] | None = None
        self._caught_up = asyncio.Event()

    async def start(self) -> None:
        """Connect and begin to follow. Raises `UnknownTopicError`."""
        if not self._follows:
            self._caught_up.set()
            return
        async with LogReader(self._settings) as reader:
            for at in self._follows:
                self._goals[at] = await reader.end(at.topic, 0)
        self._consumer = AIOKafkaConsumer(
            **self._settings.consumer_options(),
            client_id=f"{self._settings.group}-follower",
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="none",  # `LogChangedError`
            fetch_max_wait_ms=FOLLOW_WAIT_MS,
            max_partition_fetch_bytes=self._settings.fetch_bytes,
        )
        await self._consumer.start()
        self._consumer.assign(list(self._follows))
        await self._consumer.seek_to_beginning(*self._follows)
        self._task = asyncio.create_task(self._follow(self._consumer), name="followers")

    async def stop(self) -> None:
        """Stop following; safe to call twice."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            await disconnect(consumer)

    async def caught_up(self) -> None:
        """Return once every book holds its log up to the end as that stood at the start."""
        await self._caught_up.wait()

    @property
    def ready(self) -> bool:
        """Whether the books have caught up and are still being followed."""
        return self._caught_up.is_set() and (self._task is None or not self._task.done())

    def silences(self) -> Iterator[tuple[str, float]]:
        """Topics, and for how long no broker has answered a fetch of each; none before the first answer."""
        if self._consumer is None or self._task is None:  # not following yet, or no more
            return
        for at in self._follows:
            silence = silent_s(self._consumer, at)
            if silence is not None:
                yield at.topic, silence

    async def _follow(self, consumer: AIOKafkaConsumer) -> None:
        try:
            await self._check_goals(consumer)
            while True:
                for at, records in (await self._fetched(consumer)).items():
                    await self._fold(self._follows[at], records)
                    metrics.follower_offset.labels(at.topic).set(records[-1].offset)
                    if at.topic == MODEL_LOG:
                        metrics.model_updated.set(sent_ms(records[-1]) / 1000)
                await self._check_goals(consumer)
        except asyncio.CancelledError:
            raise
        except BaseException as error:
            log.critical("following the broadcast topics failed: %r", error)
            self._failed(error)

    async def _fetched(self, consumer: AIOKafkaConsumer) -> Mapping[TopicPartition, list[Record]]:
        try:
            found: Mapping[TopicPartition, list[Record]] = await consumer.getmany(timeout_ms=500)
        except OffsetOutOfRangeError as error:
            ((at, read),) = error.args[0].items()
            first, end = (await consumer.beginning_offsets([at]))[at], (await consumer.end_offsets([at]))[at]
            raise LogChangedError(at.topic, first, end, read) from None
        return found

    async def _fold(self, follow: Follow, records: list[Record]) -> None:
        turn = monotonic()
        for record in records:
            key = (record.key or b"").decode(errors="replace")
            try:
                event = decoded(follow.decode, record)
            except Undecodable as error:
                # Skipped by every worker alike. Only counted: N workers must not write N dead letters.
                metrics.follower_skipped.labels(follow.topic, error.reason).inc()
                log.error("%s offset %d is skipped: %s", follow.topic, record.offset, error.reason)
                continue
            try:
                follow.book.fold(record.offset, key, event, sent_ms(record))
            except Exception as error:
                raise DefectError(f"offset {record.offset} of {follow.topic} could not be folded", error) from None
            if monotonic() - turn > _TURN_S:
                await asyncio.sleep(0)
                turn = monotonic()

    async def _check_goals(self, consumer: AIOKafkaConsumer) -> None:
        for at in self._follows:
            position = await consumer.position(at)
            held = at in consumer._fetcher._records
            if at in self._goals and position >= self._goals[at] and not held:
                del self._goals[at]
            end = consumer.highwater(at)
            metrics.follower_lag.labels(at.topic).set(max(0, (end or 0) - position))
        if not self._goals and not self._caught_up.is_set():
            for topic, reason in product((at.topic for at in self._follows), UNDECODABLE_REASONS):
                metrics.follower_skipped.labels(topic, reason)  # counted from here, so that the first is an increase
            self._caught_up.set()
