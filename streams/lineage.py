"""Whether a log of lodgements is the one whose items were screened, asked where the group has no place in it.

Brokers delete a group's places with a topic. Where it is made anew, workers that are started then begin with it, and
what is lodged below the offsets of the old topic would be dropped as redelivered (`agents/marks.py`).
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Final

from aiokafka.structs import TopicPartition

from schemas.codec import Undecodable
from schemas.items import ItemScreened
from streams.rebuild import LogReader
from streams.wire import Decode, decoded, sent_ms

if TYPE_CHECKING:
    from schemas.marks import Origin
    from streams.settings import Settings

SCREENED: Final = "screened"
_LATEST: Final = 1000
"""Of each partition of `screened` so many of the latest items are looked at."""


class LogMadeAnewError(RuntimeError):
    """A log of lodgements is not the one whose items were screened."""

    def __init__(self, topic: str, partition: int, offset: int, found: str) -> None:
        super().__init__(
            f"{topic}[{partition}] is not the log that was screened: an item of its offset {offset} is in {SCREENED}, "
            f"and it {found}. The topic was made anew, and what is lodged there would be dropped as redelivered "
            "(docs/operations.md, 'A worker stops because a log ends early')"
        )


class Lineage:
    """Compares logs of `topics` with what the latest items of `screened` say of the lodgements that they come from."""

    def __init__(self, settings: Settings, topics: Collection[str], decode: Decode) -> None:
        self._settings = settings
        self._topics = topics
        self._decode = decode
        self._epoch = -1
        self._latest: dict[TopicPartition, Origin] = {}

    async def check(self, at: TopicPartition, epoch: int) -> None:
        """Raises `LogMadeAnewError`, or the client's `KafkaError`. What was screened is read once an epoch."""
        if at.topic not in self._topics:
            return
        if epoch != self._epoch:
            async with LogReader(self._settings) as reader:
                self._latest, self._epoch = await self._screened(reader), epoch
        if (origin := self._latest.get(at)) is not None:
            async with LogReader(self._settings) as reader:
                await _compare(reader, origin)

    async def _screened(self, reader: LogReader) -> dict[TopicPartition, Origin]:
        latest: dict[TopicPartition, Origin] = {}
        for partition in range(await reader.partitions(SCREENED)):
            start = await reader.begin(SCREENED, partition)
            start = max(start, await reader.end(SCREENED, partition) - _LATEST)
            async for records in reader.read(SCREENED, partition, start):
                for record in records:
                    try:
                        item: ItemScreened = decoded(self._decode, record)
                    except Undecodable:
                        continue  # dead-lettered by filtering
                    origin = item.origin
                    if item.upstream.topic != origin.topic:
                        continue  # a dead letter that was sent again
                    place = TopicPartition(origin.topic, origin.partition)
                    if place not in latest or latest[place].offset < origin.offset:
                        latest[place] = origin
        return latest


async def _compare(reader: LogReader, origin: Origin) -> None:
    topic, partition, offset = origin.topic, origin.partition, origin.offset
    first = await reader.begin(topic, partition)
    if offset < first:
        return  # it was deleted with time: nobody can tell any more
    end = await reader.end(topic, partition)
    latest = None
    async for records in reader.read(topic, partition, min(offset, max(first, end - 1)), offset + 1):
        latest = records[-1]
    if latest is not None and latest.offset == offset:
        if sent_ms(latest) != origin.sent_ms:
            raise LogMadeAnewError(topic, partition, offset, "holds another lodgement there")
    elif offset >= end:
        ends = end if latest is None else latest.offset + 1
        raise LogMadeAnewError(topic, partition, offset, f"ends at offset {ends}")
