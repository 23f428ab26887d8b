"""`borderflow audit seal`: follows topics and writes the chain of each of their partitions.

Each record has one entry, whatever happens: the chain's file says how far it is, nothing else does, and entries are
appended in the order of offsets. No consumer group is needed, and nothing is written to any topic.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import structlog

from schemas.registry import declarations
from streams.audit import metrics
from streams.audit.book import Chain, Writer
from streams.audit.chain import AuditError, Entry
from streams.audit.comparing import compacts
from streams.rebuild import LogReader
from streams.settings import Settings

log = structlog.get_logger("borderflow.audit")

_ABOUT: Final = ("decisions", "criteria", "risk-information", "labelled-examples", "policies", "models")
_PROBE_S: Final = 5.0
_LOOK_FOR_PARTITIONS_S: Final = 60.0


def audited_topics() -> tuple[str, ...]:
    """What is sealed unless others are named: decisions, and every change to what they are made with."""
    return tuple(topic for topic in _ABOUT if topic in declarations())


@dataclass(frozen=True, kw_only=True)
class Pace:
    """How often topics are looked at, and how often for partitions that were added; when a head is sealed: after so
    many entries or so many seconds."""

    look_s: float = 1.0
    partitions_s: float = _LOOK_FOR_PARTITIONS_S
    head_entries: int = 10_000
    head_s: float = 60.0


class Sealer:
    """Seals topics until told to stop. Use under `only_sealer`."""

    def __init__(
        self,
        settings: Settings,
        folder: Path,
        topics: Sequence[str] = (),
        *,
        pace: Pace | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        reader: type[LogReader] = LogReader,
    ) -> None:
        self._settings = settings
        self._folder = folder
        self._topics = tuple(topics) or audited_topics()
        self._pace = pace or Pace()
        self._now = now
        self._reader = reader
        self._writers: dict[tuple[str, int], Writer] = {}
        self._ends: dict[tuple[str, int], int] = {}
        self.sealed = 0
        self.caught_up = False

    async def run(self, stop: asyncio.Event, *, once: bool = False) -> int:
        """Seal until `stop` is set, at any moment, with `once` what is there now; how many records.

        Raises `AuditError` when a topic is not the one that its chain was made of, and the client's `KafkaError`.
        """
        sealing, stopped = asyncio.ensure_future(self._seal(once=once)), asyncio.ensure_future(stop.wait())
        try:
            await asyncio.wait({sealing, stopped}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopped.cancel()
            sealing.cancel()
            await asyncio.wait({sealing})
        if not sealing.cancelled():
            sealing.result()
        return self.sealed

    async def _seal(self, *, once: bool) -> None:
        """Seal until cancelled. What is appended together is so before anything is waited for again."""
        async with self._reader(self._settings) as reader:
            try:
                await self._take_up_all(reader)
                headed = looked = time.monotonic()
                while True:
                    if time.monotonic() - looked >= self._pace.partitions_s:
                        looked = time.monotonic()
                        await reader.look_again()
                        await self._take_up_all(reader)
                    for place in self._writers:
                        await self._follow(reader, *place)
                    due = time.monotonic() - headed >= self._pace.head_s
                    self._seal_heads(every=due)
                    headed = time.monotonic() if due else headed
                    self.caught_up = True
                    metrics.sealed_at.set(self._now().timestamp())
                    if once:
                        return
                    await asyncio.sleep(self._pace.look_s)
            finally:  # before the reader disconnects, which may wait for brokers
                self._seal_heads(every=True)
                for writer in self._writers.values():
                    writer.close()

    async def _take_up_all(self, reader: LogReader) -> None:
        """Take up every partition that is not yet: at the start, and those that are added later."""
        before = len(self._writers)
        for topic in self._topics:
            for partition in range(await reader.partitions(topic)):
                if (topic, partition) not in self._writers:
                    await self._take_up(reader, topic, partition)
        if len(self._writers) > before:
            log.info("sealing", topics=list(self._topics), partitions=len(self._writers), folder=str(self._folder))

    async def _take_up(self, reader: LogReader, topic: str, partition: int) -> None:
        writer = self._writers[topic, partition] = Writer(Chain(self._folder, topic, partition))
        if writer.sealed < 0:
            writer.seal(self._stamp())
        if (last := writer.last) is None:
            return
        found = await _probed(reader, topic, partition, last.offset)
        if found is not None and found != last:
            raise _made_anew(writer, f"offset {last.offset} does not hold the record that was sealed there")
        if found is None and await reader.end(topic, partition) <= last.offset:
            raise _made_anew(writer, f"ends before offset {last.offset}, up to which it was sealed")

    async def _follow(self, reader: LogReader, topic: str, partition: int) -> None:
        writer = self._writers[topic, partition]
        last = writer.last
        expected = 0 if last is None else last.offset + 1
        end, highest = await reader.end(topic, partition), self._ends.get((topic, partition), 0)
        if end < highest:
            raise _made_anew(writer, f"ends at offset {end}, and it did at {highest}")
        self._ends[topic, partition] = end
        if end <= expected:
            return
        # From the last sealed record on, to see that it is the log that it was.
        async for records in reader.read(topic, partition, expected - (last is not None)):
            first = Entry.of(records[0])
            if last is not None and first.offset == last.offset and first != last:
                raise _made_anew(writer, f"offset {last.offset} does not hold the record that was sealed there")
            fresh = [Entry.of(one) for one in records if one.offset >= expected]
            if not fresh:
                continue
            if fresh[0].offset > expected and writer.last is not None and not compacts(topic):
                log.error(
                    "records were deleted before they were sealed: the chain goes on without them",
                    topic=topic, partition=partition, first=expected, last=fresh[0].offset - 1,
                )  # fmt: skip
            for one in fresh:
                if one.says_nothing:
                    log.error("a record cannot be parsed and is sealed without its content", topic=topic,
                              partition=partition, offset=one.offset)  # fmt: skip
            writer.append(fresh)
            expected = fresh[-1].offset + 1
            self.sealed += len(fresh)
            metrics.sealed_records.labels(topic).inc(len(fresh))
            if writer.entries - writer.sealed >= self._pace.head_entries:
                writer.seal(self._stamp())

    def _seal_heads(self, *, every: bool) -> None:
        for writer in self._writers.values():
            if every:
                writer.seal(self._stamp())

    def _stamp(self) -> str:
        return self._now().isoformat(timespec="seconds")


def _made_anew(writer: Writer, what: str) -> AuditError:
    chain = writer.chain
    return AuditError(
        f"{chain.path}: {chain.topic}[{chain.partition}] {what}: is this the chain of another cluster, was the topic "
        "made anew, or were records changed? `borderflow audit verify` says more"
    )


async def _probed(reader: LogReader, topic: str, partition: int, offset: int) -> Entry | None:
    """The entry of the record at an offset as it is now, None when there is none to be had."""
    try:
        async with asyncio.timeout(_PROBE_S):
            async for records in reader.read(topic, partition, offset, offset + 1):
                return next((Entry.of(one) for one in records if one.offset == offset), None)
    except TimeoutError:
        return None
    return None
