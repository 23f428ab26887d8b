"""A Faust transport that hands an agent all records of one partition from one fetch as ONE Faust message.

The cost of Faust is per message (tasks, event objects, acks), so records travel in batches: a message's value is a
`RecordBatch`, acked as one, committed as its last offset + 1. Faust keeps agents, the consumer group, assignment and
lifecycle. Importing this module registers the URL scheme `borderflow://host:port,...` with Faust.

It overrides internals of faust-streaming 0.15.3, which is pinned for that reason; docs/adr/0002-record-batches.md
says which and why.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from bisect import bisect_left
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from time import monotonic
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, cast

import aiokafka
from aiokafka.consumer.fetcher import FetchResult
from aiokafka.errors import (
    CommitFailedError,
    ConsumerStoppedError,
    KafkaError,
    KafkaTimeoutError,
    NoOffsetForPartitionError,
    OffsetOutOfRangeError,
)
from aiokafka.structs import OffsetAndMetadata, TopicPartition
from faust.transport.drivers import TRANSPORTS
from faust.transport.drivers import aiokafka as driver
from faust.types import TP, ConsumerMessage, Message
from mode import Service
from mode.utils.futures import notify

from streams import metrics
from streams.assignment import FewMove
from streams.deliveries import Deliveries
from streams.fetching import InFlight, Rests, silent_s, skip, state_of
from streams.lineage import Lineage
from streams.producing import new_producer
from streams.wire import Placed, Produced, Record
from streams.wire import fetched as fetched_record

if TYPE_CHECKING:
    from streams.settings import Settings

SCHEME = "borderflow"

BATCH_BYTES = 262_144
"""A batch ends with the record that makes it so large: deciding it holds up the event loop for some 50 ms."""

RECORD_BYTES = 100
"""What a record counts for beside its bytes: a flood of empty ones takes memory too."""

_NO_GENERATION = -1

_ATTENDS_EVERY_S = 0.5

log = logging.getLogger("borderflow.transport")


class LogEndsEarlierError(RuntimeError):
    """A log ends before what this group has read of it: its topic was made anew, or brokers have lost its end."""

    def __init__(self, topic: str, partition: int, end: int, read: int) -> None:
        super().__init__(
            f"{topic}[{partition}] ends at offset {end}, and this group has read it up to {read}: the topic was made "
            "anew, or its brokers have lost records (docs/operations.md, 'A worker stops because a log ends early')"
        )


@dataclass(slots=True)
class RecordBatch:
    """All records of one partition from one fetch, in order; the value of one Faust message.

    `follows` is the offset after the batch that was delivered before this one, None for the first one since the
    partition was assigned. `epoch` counts the assignments of this consumer: see `BatchConsumer.may_decide`.
    """

    topic: str
    partition: int
    records: list[Record]
    follows: int | None
    epoch: int
    bytes: int
    """What its records count for (`portions`)."""

    @property
    def first_offset(self) -> int:
        """Offset of the first record."""
        return self.records[0].offset

    @property
    def next_offset(self) -> int:
        """The offset to commit once this batch is done: that of its last record + 1."""
        return self.records[-1].offset + 1

    def __len__(self) -> int:
        return len(self.records)


def portions(records: list[Record]) -> Iterator[tuple[list[Record], int]]:
    """The records of a fetch in order, in lists that end as soon as they take `BATCH_BYTES`; with their bytes."""
    upto = list(accumulate(_weights(records)))
    start = before = 0
    while start < len(records):
        end = min(bisect_left(upto, before + BATCH_BYTES, start) + 1, len(records))
        yield records[start:end], upto[end - 1] - before
        start, before = end, upto[end - 1]


def _weights(records: Sequence[Record]) -> list[int]:
    """Bytes that records take: whoever lodges may put a megabyte into a key or a header, behind an empty value."""
    if records and isinstance(records[0], Produced):  # all of them; keys and headers of our own are small
        return [len(record.value or b"") + RECORD_BYTES for record in records]
    return [
        len(record.value or b"")
        + len(record.key or b"")
        + sum([len(name) + len(said or b"") for name, said in record.headers])
        + RECORD_BYTES
        for record in records
    ]


@dataclass(frozen=True, slots=True)
class Reading:
    """Where a consumer stands in one partition: `read` and `committed` are next offsets, `end` the high watermark.

    `silent_s` is for how long no broker has answered a fetch of the partition, or, where none was answered yet, since
    it was taken on; None where it is left out of fetches.
    """

    read: int | None
    committed: int | None
    end: int | None
    silent_s: float | None


class _Configured(Protocol):
    borderflow_settings: Settings


def _settings(app: object) -> Settings:
    """The settings that `streams.app` hangs on the Faust app."""
    return cast(_Configured, app).borderflow_settings


class BatchConsumerThread(driver.AIOKafkaConsumerThread):
    """The consumer thread, with fetch settings of our own and a poll that wakes when there is room again."""

    consumer: BatchConsumer

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._rests = Rests()
        self._rests_epoch = -1

    def _create_worker_consumer(self, transport: driver.Transport) -> aiokafka.AIOKafkaConsumer:
        settings = self.consumer.settings
        return aiokafka.AIOKafkaConsumer(
            **settings.consumer_options(),
            client_id=f"{settings.group}-worker",
            group_id=self.app.conf.id,
            partition_assignment_strategy=[FewMove(lambda: self.evicted)],
            enable_auto_commit=False,
            auto_offset_reset="none",  # `_find_place`
            max_poll_records=settings.batch_records,
            max_partition_fetch_bytes=settings.fetch_bytes,
            fetch_max_wait_ms=settings.fetch_wait_ms,
            fetch_min_bytes=settings.fetch_min_bytes,
            request_timeout_ms=int(settings.request_timeout_s * 1000),
            session_timeout_ms=int(settings.session_timeout_s * 1000),
            heartbeat_interval_ms=int(settings.heartbeat_s * 1000),
            max_poll_interval_ms=int(settings.rebalance_timeout_s * 1000),
            rebalance_timeout_ms=int(settings.rebalance_timeout_s * 1000),
            metadata_max_age_ms=30_000,
        )

    async def poll(self, active: frozenset[TP], wait_s: float, room: int) -> Mapping[TP, list[Record]]:
        """Records of the `active` partitions: at once if there are any, else within `wait_s` seconds.

        `room` is the value of `BatchConsumer.room` when `active` was worked out: the poll ends as soon as that has
        changed, so that a partition with room again is not left out until the timeout (the driver waits 1 s).
        """
        consumer = self._ensure_consumer()
        fetcher = consumer._fetcher
        if not isinstance(fetcher._in_flight, InFlight):
            fetcher._in_flight = InFlight(fetcher)
        fetcher._prefetch_backoff = 0.0  # what waits of one partition must not hold up the fetching of others
        deadline = monotonic() + wait_s
        while self.consumer.flow_active and self.consumer.room == room:
            if consumer._closed or fetcher._closed:
                raise ConsumerStoppedError()
            for waiting in fetcher._records.values():
                if isinstance(waiting, FetchResult):
                    waiting._partition_records._consumer_record = fetched_record
            try:
                fetched = await fetcher.fetched_records(
                    active, timeout=0, max_records=self.consumer.settings.batch_records
                )
            except (NoOffsetForPartitionError, OffsetOutOfRangeError) as error:
                await self._find_place(consumer, error)
                continue
            left = min(deadline - monotonic(), self._rested(consumer))
            if fetched or left <= 0:
                return {TP(tp.topic, tp.partition): records for tp, records in fetched.items()}
            waiter = fetcher._create_fetch_waiter()
            done, _ = await asyncio.wait([waiter], timeout=left)
            if not done:
                waiter.cancel()
                return {}
            waiter.result()  # raises what the coordinator could not do, such as a refused authorisation
        return {}

    async def _find_place(self, consumer: aiokafka.AIOKafkaConsumer, error: KafkaError) -> None:
        """Have a partition read from its beginning that was never read, or whose next records brokers have deleted.

        Those are counted and told of. Raises `LogEndsEarlierError` where the log ends before what was read of it, and
        `LogMadeAnewError` where it was never read and is not the one whose items were screened.
        """
        (said,), epoch = error.args, self.consumer.epoch
        at, offset = next(iter(said.items())) if isinstance(said, Mapping) else (said, None)
        if at not in consumer.assignment():
            return
        try:
            first, end = (await consumer.beginning_offsets([at]))[at], (await consumer.end_offsets([at]))[at]
            if offset is None and self.consumer.lineage is not None:
                await self.consumer.lineage.check(at, epoch)
        except KafkaTimeoutError:  # no leader for a while: the next poll comes back to it
            return
        except KafkaError as failed:
            if not failed.retriable:
                raise
            self.log.warning("%s[%d]: where to begin could not be found out, trying again: %r",
                             at.topic, at.partition, failed)  # fmt: skip
            await asyncio.sleep(_ATTENDS_EVERY_S)
            return
        if offset is not None:
            if offset > end:
                raise LogEndsEarlierError(at.topic, at.partition, end, offset)
            if offset < first:
                metrics.skipped.labels(at.topic).inc(first - offset)
                log.error("%s[%d]: the brokers deleted offsets %d to %d before they were read; items in them are not "
                          "decided (docs/operations.md, 'RecordsLost')",
                          at.topic, at.partition, offset, first - 1)  # fmt: skip
        if at in consumer.assignment():
            place = first if offset is None else max(first, offset)
            consumer.seek(at, place)
            self.consumer.loop.call_soon_threadsafe(self.consumer.skip, TP(at.topic, at.partition), place, epoch)

    def skip(self, ahead: Mapping[TP, int], behind: Sequence[TP], epoch: int) -> None:
        """Read on from the offsets of `ahead`, and fetch what is `behind` at once; called from the main thread.

        Nothing happens when the partitions have been assigned anew.
        """
        self._soon(self._skip, ahead, behind, epoch)

    def _skip(self, ahead: Mapping[TP, int], behind: Sequence[TP], epoch: int) -> None:
        consumer = self._consumer
        if consumer is None or epoch != self.consumer.epoch:
            return
        self._rested(consumer)
        held = consumer.assignment()
        for tp, offset in ahead.items():
            at = TopicPartition(tp.topic, tp.partition)
            if at in held and not self._rests.begin(consumer, at, offset):
                skip(consumer, at, offset)
        self._rests.end(consumer, [TopicPartition(tp.topic, tp.partition) for tp in behind])

    def _rested(self, consumer: aiokafka.AIOKafkaConsumer) -> float:
        """Have partitions fetched again that have rested; seconds until the next have."""
        if self._rests_epoch != self.consumer.epoch:
            self._rests_epoch = self.consumer.epoch
            self._rests.forget(consumer)
        return self._rests.end_due(consumer)

    def attend(self) -> None:
        """Tell aiokafka that this worker is at work; called from the main thread."""
        self._soon(self._attend)

    def _attend(self) -> None:
        if self._consumer is not None:
            with self._consumer._subscription.fetch_context():
                pass

    def wake(self) -> None:
        """End a running poll at once; called from the main thread."""
        self._soon(self._wake_waiters)

    def _soon(self, call: Callable[..., None], *given: Any) -> None:
        """Have the thread call it; not when the thread has ended, which nobody needs to hear of."""
        if self._consumer is not None:
            with contextlib.suppress(RuntimeError):
                self.thread_loop.call_soon_threadsafe(call, *given)

    def _wake_waiters(self) -> None:
        if self._consumer is not None:
            for waiter in list(self._consumer._fetcher._fetch_waiters):
                notify(waiter)

    @property
    def evicted(self) -> bool:
        """Whether the group has thrown this member out (it no longer owns what it still holds)."""
        consumer = self._consumer
        return consumer is not None and bool(consumer._coordinator.generation == _NO_GENERATION)

    @property
    def member(self) -> str:
        """What the group calls this member; another one after it was thrown out."""
        return "" if self._consumer is None else str(self._consumer._coordinator.member_id)

    def highwater(self, tp: TP) -> int | None:  # type: ignore[override]  # the driver's raises where there is none
        """The end of a partition as its last fetch said; None before that, and when it was taken away meanwhile."""
        state = state_of(self._ensure_consumer(), tp)
        return None if state is None else state.highwater

    def silent_s(self, tp: TP) -> float | None:
        """For how long no broker has answered a fetch of the partition (`Reading`)."""
        return silent_s(self._ensure_consumer(), tp)

    def waits_for_first_answer(self, tp: TP) -> bool:
        """Whether a partition is fetched, and no broker has ever answered."""
        state = state_of(self._ensure_consumer(), tp)
        return state is not None and not state.paused and state.timestamp is None

    async def commit(self, offsets: Mapping[TP, int]) -> bool:
        """Have the thread commit; False when it ended first.

        A crash ends the thread while the worker stops and wants to commit; the driver waits for an answer for good.
        """
        if not self._shutdown.is_set() and not self.thread_loop.is_closed():
            answer = asyncio.ensure_future(super().commit(offsets))
            ended = asyncio.ensure_future(self._shutdown.wait())
            try:
                await asyncio.wait((answer, ended), return_when=asyncio.FIRST_COMPLETED)
                if answer.done():
                    return bool(answer.result())
            finally:
                answer.cancel()
                ended.cancel()
        self.log.warning("Offsets were not committed: the consumer has ended; they will be read again")
        return False

    async def _commit(self, offsets: Mapping[TP, int]) -> bool:
        """Commit; False when it did not happen, in which case the caller keeps the offsets for the next time.

        The driver crashes the worker on a commit that loses against a rebalance (it looks for words in the error's
        text that are not there) and on a broker that is away for a moment.
        """
        consumer = self._ensure_consumer()
        held = consumer.assignment()
        ours = {
            TopicPartition(tp.topic, tp.partition): OffsetAndMetadata(offset, "")
            for tp, offset in offsets.items()
            if TopicPartition(tp.topic, tp.partition) in held
        }
        if not ours:
            return False
        try:
            await consumer.commit(ours)
        except CommitFailedError:
            self.log.warning("Offsets were not committed: the group has rebalanced; they will be read again")
            return False
        except KafkaError as error:
            if not error.retriable:
                await self.crash(error)
            self.log.warning("Offsets were not committed, trying again: %r", error)
            return False
        return True


class BatchConsumer(driver.Consumer):
    """Delivers batches, keeps what may be committed, and knows which batches are still this worker's.

    What may be committed is kept here and not in Faust's ack lists: a partition's offset advances only over batches
    that were delivered in this epoch and acked, in the order of delivery. Gaps in offsets (compaction, transaction
    markers) need no care, because a batch is followed by the next one, not by an offset.
    """

    _thread: BatchConsumerThread

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.settings = _settings(self.app)
        self.epoch = 0
        self.room = 0
        self.last_commit: dict[TP, float] = {}
        self.leads_to: Mapping[str, frozenset[str]] = {}
        self.lineage: Lineage | None = None
        self._draining: int | None = None
        self._member = ""
        self._behind: dict[TP, int] = {}  # what this worker produced for itself and has yet to fetch, up to where
        self._on_its_way: TP | None = None  # Faust has a batch of this partition and not put it in line yet
        self._deliveries = Deliveries()
        self._has_room = asyncio.Event()

    def _new_consumer_thread(self) -> BatchConsumerThread:
        return BatchConsumerThread(self, loop=self.loop, beacon=self.beacon)

    # -- ownership

    @Service.task
    async def _attend(self) -> None:
        """Have the group take this worker for one that is at work for as long as its event loop is.

        aiokafka takes a consumer for stuck that has polled nothing for `rebalance_timeout_s`: it leaves the group, and
        does not join again before a poll. But nothing is polled while no partition is held or has room, nor before a
        rebalance is over: a worker that had waited for brokers, or for work, for so long stayed outside for good. (A
        poll that raised, as the first one of a new partition does, was taken for one that never ends.)
        """
        while not self.should_stop:
            self._thread.attend()
            await self.sleep(_ATTENDS_EVERY_S)

    def may_decide(self, batch: RecordBatch) -> bool:
        """Whether a batch taken from a queue was delivered in the present assignment."""
        return batch.epoch == self.epoch

    def may_produce(self, batch: RecordBatch) -> bool:
        """Whether what follows from a batch may still be produced: its partition has not been taken away.

        During an orderly rebalance the batch in hand may be finished, because the group waits for it.
        """
        return batch.epoch in (self.epoch, self._draining) and not self._thread.evicted

    def stayed(self) -> bool:
        """Whether this worker was a member without a break since this was last asked."""
        before, self._member = self._member, self._thread.member
        return self._member == before

    def _new_epoch(self) -> None:
        self.epoch += 1
        self._deliveries.clear()
        self._behind.clear()
        self._open()

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """Commit what is acked before Faust drops its lists, let the batch in hand finish, then forget the rest."""
        if not self._thread.evicted and not self.app.should_stop:
            await self.commit()
            self._draining = self.epoch
        self.epoch += 1
        try:
            await super().on_partitions_revoked(revoked)
        finally:
            self._draining = None
            self._new_epoch()

    async def perform_seek(self) -> None:
        """Go back to the committed offsets; what was delivered and not committed will come again."""
        self._new_epoch()
        await super().perform_seek()
        held, now = self.assignment(), monotonic()
        self.last_commit = {tp: self.last_commit.get(tp, now) for tp in held}

    # -- fetching

    def resume_partitions(self, tps: Iterable[TP]) -> None:
        """Let these partitions be read again, at once."""
        super().resume_partitions(tps)
        self._open()

    def resume_flow(self) -> None:
        """Let records flow again, at once."""
        super().resume_flow()
        self._open()

    def _open(self) -> None:
        self.room += 1
        self._has_room.set()
        self._thread.wake()

    async def getmany(self, timeout: float) -> AsyncIterator[tuple[TP, Message]]:  # noqa: ASYNC109 - Faust's signature
        """One fetch: each partition's records as one message, or a few when they are large."""
        if not self.flow_active:
            await self.wait(self.can_resume_flow.wait())
        epoch, room = self.epoch, self.room
        self._has_room.clear()
        active = frozenset(tp for tp in self._get_active_partitions() if self._has_room_for(tp.topic))
        if not active:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._has_room.wait(), timeout=min(timeout, 0.2))
            return
        fetched = await self._thread.call_thread(self._thread.poll, active, timeout, room)
        for tp, records in fetched.items():
            for portion, size in portions(self._not_delivered(tp, records)):
                if self.should_stop or not self.flow_active or epoch != self.epoch:
                    return  # a rebalance has begun: perform_seek will bring these again
                self._on_its_way = tp
                try:
                    yield tp, self._as_message(tp, portion, size)
                finally:
                    self._on_its_way = None

    def skip(self, tp: TP, place: int, epoch: int) -> None:
        """Note that brokers have nothing of a partition between what was read of it and `place`.

        It is committed: else it counts as waiting until the next record comes, and is told of after every restart.
        """
        if epoch == self.epoch and place > (self._read_up_to(tp) or 0):
            self._deliveries.skip(tp, place)
            if self._behind.get(tp, place + 1) <= place:
                del self._behind[tp]
                self._open()

    def _has_room_for(self, topic: str) -> bool:
        """Whether neither this topic's step nor one after it in this worker has enough to do."""
        most, in_hand, later = self.settings.buffered_bytes, self._deliveries.in_hand, self.leads_to.get(topic, ())
        if in_hand(topic) >= most or any(in_hand(one) >= most for one in later):
            return False
        return not any(tp.topic in later for tp in self._behind)

    def _not_delivered(self, tp: TP, records: list[Record]) -> list[Record]:
        """Without those that were handed over while the fetch was under way."""
        read = self._deliveries.read(tp)
        if read is None or records[0].offset >= read:
            return records
        return [record for record in records if record.offset >= read]

    def _read_up_to(self, tp: TP) -> int | None:
        """The offset after what was delivered of a partition; before that, the committed one."""
        read = self._deliveries.read(tp)
        return self._read_offset.get(tp) if read is None else read

    @property
    def _flows(self) -> bool:
        """Whether no rebalance is under way."""
        return self.flow_active and self._draining is None and self.app.flow_control.is_active()

    async def hand_over(self, topic: str, placed: Sequence[Placed]) -> None:
        """Deliver what this worker has just produced for partitions of its own at once, without a fetch.

        Only records that follow what was delivered before with nothing in between, and none during a rebalance: all
        others come out of the log, where these are as well.
        """
        epoch, ahead, behind = self.epoch, dict[TP, int](), list[TP]()
        held = self._get_active_partitions()
        for one in placed:
            tp = TP(topic, one.partition)
            if tp not in held:
                continue
            following, end = self._read_up_to(tp) or 0, one.offset + len(one.records)
            if following != one.offset or tp == self._on_its_way:
                if following < end:  # else a fetch was quicker than the acknowledgement
                    self._behind[tp] = end
                    behind.append(tp)
                continue
            records = one.handed()
            for portion, size in portions(records):
                if not self._flows or epoch != self.epoch:
                    return
                message = self._as_message(tp, portion, size)
                ahead[tp] = records[-1].offset + 1
                await self.callback(message)  # waits where a queue of Faust's is full
                if epoch != self.epoch:
                    return  # all of it comes again
                self._read_offset[tp] = message.offset
                metrics.child(metrics.handed_over, topic).inc(len(portion))
        if ahead or behind:
            self._thread.skip(ahead, behind, epoch)

    def _as_message(self, tp: TP, records: list[Record], size: int) -> ConsumerMessage:
        follows = self._deliveries.deliver(tp, records[-1].offset + 1, size)
        if tp in self._behind and records[-1].offset + 1 >= self._behind[tp]:
            del self._behind[tp]
        batch = RecordBatch(tp.topic, tp.partition, records, follows, self.epoch, size)
        first = records[0]
        return ConsumerMessage(
            tp.topic,
            tp.partition,
            first.offset,
            first.timestamp / 1000.0,
            0,
            None,
            None,
            batch,  # type: ignore[arg-type]  # Faust passes a message's value on untouched
            None,
            tp=tp,
            generation_id=self.app.consumer_generation_id,
        )

    # -- acks and commits

    def ack(self, message: Message) -> bool:
        """Note that a batch is done. Batches of an earlier epoch are ignored: they will come again."""
        if message.acked:
            return False
        message.acked = True
        self._unacked_messages.discard(message)
        batch = message.value
        if isinstance(batch, RecordBatch) and batch.epoch in (self.epoch, self._draining):
            in_hand, most = self._deliveries.in_hand, self.settings.buffered_bytes
            was_full = in_hand(batch.topic) >= most
            self._deliveries.finish(TP(batch.topic, batch.partition), batch.next_offset)
            if was_full and in_hand(batch.topic) < most:  # there is room again
                self._open()
        notify(self._waiting_for_ack)
        return True

    def let_go(self, message: Message) -> None:
        """Wait no longer for a batch that was taken away; it is neither acked nor committed.

        Otherwise a worker that the group threw out, and that is then told to stop, waits for it until it gives up.
        """
        self._unacked_messages.discard(message)
        notify(self._waiting_for_ack)

    def _filter_tps_with_pending_acks(self, topics: Any = None) -> Iterator[TP]:
        return (tp for tp in list(self._deliveries.committable) if topics is None or tp in topics or tp.topic in topics)

    def _new_offset(self, tp: TP) -> int | None:
        return self._deliveries.committable.get(tp)

    async def _add_gap(self, tp: TP, offset_from: int, offset_to: int) -> None:
        """Nothing: the stock gap logic counts the unacked batch's own offsets as acked."""

    async def _commit_offsets(self, offsets: Mapping[TP, int], start_new_transaction: bool = True) -> bool:
        """Commit, and count as committed only what was (the stock method counts what failed as well)."""
        if not await self._commit(offsets):
            return False
        now = monotonic()
        for tp, offset in offsets.items():
            self._committed_offset[tp] = offset
            self.last_commit[tp] = now
        self.app.monitor.on_tp_commit(dict(offsets))
        return True

    def verify_event_path(self, now: float, tp: TP) -> None:
        """Nothing: lag and the time since the last commit are metrics (`streams/metrics.py`)."""

    def readings(self) -> dict[TP, Reading]:
        """Where this consumer stands in every partition that it has been assigned."""
        result: dict[TP, Reading] = {}
        for tp in self.assignment():
            read, committed = self._read_up_to(tp), self._committed_offset.get(tp)
            end = self.highwater(tp)  # as the last fetch said: what was handed over since was in none
            if read is not None:
                read = max(read, committed or 0)  # nothing was there to be read (`skip`)
                end = max(read, end or 0)
            silent = self._thread.silent_s(tp)
            if silent is None and tp in self.last_commit and self._thread.waits_for_first_answer(tp):
                silent = monotonic() - self.last_commit[tp]  # since it was taken on: as silent as one that fell silent
            result[tp] = Reading(read, committed, end, silent)
        return result


class BatchProducer(driver.Producer):
    """Faust's producer service, holding one aiokafka producer made from our settings (`streams/producing.py`)."""

    def _new_producer(self, transactional_id: str | None = None) -> aiokafka.AIOKafkaProducer:
        return new_producer(_settings(self.app))


class Transport(driver.Transport):
    """The transport behind `borderflow://`."""

    Consumer: ClassVar[type[BatchConsumer]] = BatchConsumer
    Producer: ClassVar[type[BatchProducer]] = BatchProducer


TRANSPORTS.aliases[SCHEME] = "streams.transport:Transport"
