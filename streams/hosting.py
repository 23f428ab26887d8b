"""Hosts one step in a Faust agent: state per partition, rebuilt from the log; decide, produce, then ack.

The order is the guarantee. A batch is acked only after everything that follows from it is acknowledged by the brokers,
topic by topic in the order of `Step.produces`, dead letters last. Whatever goes wrong before that stops the whole
worker without the ack, so the batch comes again. docs/adr/0003-the-log-is-the-state.md.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any, Protocol, cast

from agents.step import Arrival, Output, Refusal, Step
from schemas.codec import Undecodable
from streams import metrics
from streams.counting import count_border
from streams.deadletter import DeadLetterLimit, bury, dead_letters
from streams.defects import DefectError
from streams.producing import Publisher
from streams.rebuild import LogReader
from streams.transport import RecordBatch
from streams.wire import (
    CeType,
    Decode,
    Encode,
    Placed,
    Produced,
    Record,
    Stamp,
    first_header,
    milliseconds,
    refuse_unreadable,
    rfc3339,
)

log = logging.getLogger("borderflow.hosting")

ROUND_BYTES = 1_000_000
"""No batch joins a round that holds as much: what waits for the first of its items to be delivered stays short."""
PART_BYTES = 64_000
"""Of a batch so much is decided and encoded before the next part: what that touches fits a processor's own cache."""


class Ownership(Protocol):
    """Whether a batch is still this worker's: `streams.transport.BatchConsumer`, or a test's."""

    def may_decide(self, batch: RecordBatch) -> bool: ...
    def may_produce(self, batch: RecordBatch) -> bool: ...
    def let_go(self, message: Any) -> None: ...
    async def hand_over(self, topic: str, placed: Sequence[Placed]) -> None: ...


@dataclass(slots=True)
class PartitionState:
    """A step's state for one input partition, and where it ends in each log."""

    state: Any
    next_offset: int
    followed: dict[str, int] = field(default_factory=dict)


@dataclass(slots=True)
class _Decided:
    """A batch and what follows from it."""

    batch: RecordBatch
    made: dict[str, list[Produced]]
    refusals: list[Refusal] = field(default_factory=list)
    redelivered: int = 0


class StepHost:
    """Runs a step over the batches of its input partitions."""

    def __init__(
        self,
        step: Step,
        *,
        decoders: Mapping[str, Decode],
        encode: Encode,
        ce_type: CeType,
        publisher: Publisher,
        reader: LogReader,
        ownership: Ownership,
        source: str,
        limit: DeadLetterLimit | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.step = step
        self._decoders = decoders
        self._encode = encode
        self._ce_type = ce_type
        self._publisher = publisher
        self._reader = reader
        self._ownership = ownership
        self._source = f"{source}/{step.name}".encode()
        self._limit = limit
        self._clock = clock
        self._states: dict[tuple[str, int], PartitionState] = {}
        metrics.state_entries.labels(step.name).set_function(self._entries)
        for topic in step.inputs:
            metrics.child(metrics.skipped, topic)  # counted from 0, so that the first loss is an increase

    @property
    def states(self) -> Mapping[tuple[str, int], PartitionState]:
        """The states that this worker holds, by topic and partition (for tests and the console)."""
        return self._states

    async def handle(self, batches: Sequence[RecordBatch]) -> list[bool]:
        """Decide batches, of any partitions, and deliver what follows in one go; which of them may be acked.

        False means that the partition was taken away: the batch must be left alone, its next owner gets it.
        Raises whatever went wrong; the caller must then stop the worker.
        """
        decided: list[_Decided | None] = []
        stamps: dict[type, Stamp] = {}
        for batch in batches:
            decided.append(await self._decide(batch, stamps) if self._ownership.may_decide(batch) else None)
            if len(batches) > 1:
                await asyncio.sleep(0)  # health checks are answered in between
        for place, one in enumerate(decided):
            if one is not None and not self._ownership.may_produce(one.batch):
                self._states.pop((one.batch.topic, one.batch.partition), None)
                decided[place] = None
        delivered = [one for one in decided if one is not None]
        if fenced := len(batches) - len(delivered):
            metrics.fenced.labels(self.step.name).inc(fenced)
        await self._produce(delivered, stamps)
        return [one is not None for one in decided]

    def let_go(self, message: Any) -> None:
        """Nothing follows from this Faust message: its batch belongs to another worker now."""
        self._ownership.let_go(message)

    def forget(self, keep: Callable[[str, int], bool]) -> None:
        """Drop the states of partitions that this worker does not hold any more."""
        self._states = {at: held for at, held in self._states.items() if keep(*at)}

    # -- state

    async def _state_before(self, batch: RecordBatch) -> PartitionState:
        """The partition's state, ending exactly before the batch."""
        at = (batch.topic, batch.partition)
        held = self._states.get(at)
        if held is None or held.next_offset not in (batch.first_offset, batch.follows):
            held = self._states[at] = await self._rebuilt(batch)
        for memory in self.step.memory:
            if memory.following:
                await self._follow(held, memory.topic, batch.partition)
        return held

    async def _rebuilt(self, batch: RecordBatch) -> PartitionState:
        began = time.monotonic()
        step, partition = self.step, batch.partition
        held = PartitionState(step.begin(partition, batch.first_offset), batch.first_offset)
        now_ms = int(self._clock() * 1000)
        readable = [record.timestamp for record in batch.records if record.timestamp >= 0]
        earliest = min(readable, default=now_ms)
        for memory in step.memory:
            # A record stamped in the future must not shorten the past that is folded.
            from_ms = min(earliest, now_ms) - int(memory.horizon.total_seconds() * 1000)
            end = await self._reader.end(memory.topic, partition)  # asked first: what comes meanwhile is behind it
            start = await self._reader.since(memory.topic, partition, from_ms)
            if start is None:
                start = end
            if memory.upto == "end":
                held.followed[memory.topic] = start
                await self._follow(held, memory.topic, partition)
            else:
                await self._fold(held, memory.topic, partition, start, batch.first_offset)
        metrics.rebuilds.labels(step.name).inc()
        took = time.monotonic() - began
        metrics.rebuild_seconds.labels(step.name).observe(took)
        if step.memory:
            log.info("%s rebuilt %s[%d] up to offset %d in %.2f s", step.name, batch.topic, partition,
                     batch.first_offset, took)  # fmt: skip
        return held

    async def _follow(self, held: PartitionState, topic: str, partition: int) -> None:
        """Fold another log of the same partition number to its end, from where this state has folded it to."""
        held.followed[topic] = await self._fold(held, topic, partition, held.followed[topic], None)

    async def _fold(self, held: PartitionState, topic: str, partition: int, start: int, upto: int | None) -> int:
        decode, reached = self._decoders[topic], start
        async for records in self._reader.read(topic, partition, start, upto):
            arrivals = []
            for record in records:
                try:
                    arrivals.append(arrival(decode, record))
                except Undecodable:
                    continue  # dead-lettered when it was first read
            try:
                self.step.remember(held.state, arrivals)
            except Exception as error:
                raise DefectError(f"{self.step.name} failed to remember {_records_of(records)}", error) from None
            metrics.rebuild_records.labels(self.step.name).inc(len(records))
            reached = records[-1].offset + 1
            await asyncio.sleep(0)
        return reached

    # -- deciding

    async def _decide(self, batch: RecordBatch, stamps: dict[type, Stamp]) -> _Decided:
        """Decide a batch a part at a time, and encode what follows from each while the processor has it at hand."""
        held, step, records = await self._state_before(batch), self.step, batch.records
        decided = _Decided(batch, {topic: [] for topic in step.produces})
        undecodable: list[Refusal] = []
        began = time.monotonic()
        at_once = max(1, len(records) * PART_BYTES // max(batch.bytes, 1))
        for start in range(0, len(records), at_once):
            part = records[start : start + at_once]
            try:
                outcome = step.decide(held.state, self._arrivals(part, undecodable))
            except Exception as error:
                raise DefectError(f"{step.name} failed on {_records_of(part)}", error) from None
            self._encode_all(outcome.outputs, stamps, decided.made)
            decided.refusals += outcome.refusals
            decided.redelivered += outcome.redelivered
        decided.refusals[:0] = undecodable
        held.next_offset = batch.next_offset
        metrics.child(metrics.decide_seconds, step.name).observe(time.monotonic() - began)
        if self._limit is not None:
            self._limit.note(batch.topic, len(batch), decided.refusals, len(decided.made[step.produces[0]]))
        return decided

    def _arrivals(self, records: Sequence[Record], undecodable: list[Refusal]) -> Sequence[Arrival[Any]]:
        if isinstance(records[0], Produced):  # handed over, and so are all of its batch
            return cast(Sequence[Produced], records)
        decode, arrivals = self._decoders[records[0].topic], list[Arrival[Any]]()
        for record in records:
            try:
                arrivals.append(arrival(decode, record))
            except Undecodable as error:
                undecodable.append(Refusal(record.offset, error.reason, error.field, error.detail))
        return arrivals

    def _encode_all(
        self, outputs: Sequence[Output], stamps: dict[type, Stamp], made: Mapping[str, list[Produced]]
    ) -> None:
        encode = self._encode
        for output in outputs:
            topic, event, at_ms = output.topic, output.event, output.at_ms
            kind = type(event)
            stamp = stamps.get(kind)
            if stamp is None:
                stamp = stamps[kind] = Stamp(self._ce_type(kind), self._source)
            partition: Any = output.partition
            made[topic].append(
                Produced(
                    event, topic, partition, -1, at_ms, at_ms, output.key.encode(), encode(event), output.ce_id, stamp
                )
            )

    # -- producing

    async def _produce(self, delivered: Sequence[_Decided], stamps: Mapping[type, Stamp]) -> None:
        """Deliver what follows from batches, topic by topic and dead letters last; then count it."""
        began, name = time.monotonic(), self.step.name
        sent_at = rfc3339(self._clock())
        for stamp in stamps.values():
            stamp.date(sent_at)
        acknowledged_s = dict[str, float]()
        for topic in self.step.produces:
            made = [record for one in delivered for record in one.made[topic]]
            if made:
                placed = await self._publisher.publish(topic, made)
                acknowledged_s[topic] = self._clock()
                await self._ownership.hand_over(topic, placed)
                metrics.child(metrics.outputs, name, topic).inc(len(made))
        for one in delivered:
            if one.refusals:
                await self._bury(one.batch, one.refusals)
        if any(one.refusals or any(one.made.values()) for one in delivered):
            metrics.child(metrics.produce_seconds, name).observe(time.monotonic() - began)
        for one in delivered:
            self._count(one, acknowledged_s)

    def _entries(self) -> int:
        return sum(self.step.entries(held.state) for held in self._states.values())

    async def _bury(self, batch: RecordBatch, refused: Sequence[Refusal]) -> None:
        sources = {record.offset: record for record in batch.records}
        now_ms = int(self._clock() * 1000)
        await bury(self._publisher, batch.topic, dead_letters(sources, refused, self.step.name, now_ms))

    def _count(self, decided: _Decided, acknowledged_s: Mapping[str, float]) -> None:
        name, batch, made = self.step.name, decided.batch, decided.made
        metrics.child(metrics.records_in, name, batch.topic).inc(len(batch))
        metrics.child(metrics.batch_records, name).observe(len(batch))
        if decided.redelivered:
            metrics.redelivered.labels(name).inc(decided.redelivered)
        for refusal in decided.refusals:
            metrics.refusals.labels(name, refusal.reason).inc()
        count_border(name, batch, decided.refusals, made)
        for topic, (histogram, origin_of) in _LATENCIES.items():
            if records := made.get(topic):
                at_s = acknowledged_s[topic]
                sent = [origin_of(record.event).sent_ms for record in records]
                metrics.observe_all(histogram, [max(0.0, at_s - sent_ms / 1000) for sent_ms in sent])


_LATENCIES = {
    "decisions": (metrics.event_to_decision_seconds, attrgetter("origin")),
    "alerts": (metrics.event_to_alert_seconds, attrgetter("decision.origin")),
}


async def run_agent(stream: Any, host: StepHost, failed: Callable[[BaseException], Awaitable[None]]) -> None:
    """The body of a step's Faust agent: what has come while a round was delivered is the next round.

    On any error nothing is acked any more: `failed` stops the worker, and this coroutine waits for its own end
    (were it to return or raise, Faust would restart the agent and go on behind the lost batches).
    """
    acking, waiting, more = stream.noack(), deque[Any](), asyncio.Event()
    rounds = asyncio.create_task(_rounds(acking, waiting, more, host, failed), name=f"{host.step.name} rounds")
    try:
        async for event in acking.events():
            waiting.append(event)
            more.set()
    finally:
        rounds.cancel()


async def _rounds(
    acking: Any,
    waiting: deque[Any],
    more: asyncio.Event,
    host: StepHost,
    failed: Callable[[BaseException], Awaitable[None]],
) -> None:
    while True:
        await more.wait()
        more.clear()
        while waiting:
            events = [waiting.popleft()]
            size = events[0].value.bytes
            while waiting and size < ROUND_BYTES:
                events.append(waiting.popleft())
                size += events[-1].value.bytes
            try:
                done = await host.handle([event.value for event in events])
                for event, ack in zip(events, done, strict=True):
                    if ack:
                        await acking.ack(event)
                    else:
                        host.let_go(event.message)
            except asyncio.CancelledError:
                raise
            except BaseException as error:  # nobody awaits this task: it would end, and batches wait for good
                await failed(error)
                await asyncio.Event().wait()


def arrival(decode: Decode, record: Record) -> Arrival[Any]:
    """A record as a step gets it. Raises `Undecodable`."""
    refuse_unreadable(record)
    headers, at_ms = record.headers, record.timestamp
    said = dict(headers)
    event = decode(record.value, said.get("ce_type"))
    sent_at = said.get("ce_time") if len(said) == len(headers) else first_header(headers, "ce_time")
    sent_ms = None if sent_at is None else milliseconds(sent_at)
    return Arrival(event, record.topic, record.partition, record.offset, at_ms, sent_ms or at_ms)


def _records_of(records: Sequence[Record]) -> str:
    return f"{records[0].topic}[{records[0].partition}], offsets {records[0].offset} to {records[-1].offset}"
