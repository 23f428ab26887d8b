"""Recorded lodgements and knowledge in the order of event time, read from the archive, from any position on."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from schemas.codec import Undecodable, codec_for
from streams.archive.layout import Catalogue
from streams.archive.reading import ArchiveReader
from streams.archive.rows import Archived, digest
from streams.archive.writing import date_of
from streams.replay.engine import KNOWLEDGE, LODGEMENTS
from streams.wire import header, sent_ms

Place = tuple[str, int]


class Happened(NamedTuple):
    """One record; `event` None for a tombstone, or for what cannot be read (`refused` says why)."""

    record: Archived
    event: Any
    refused: str | None


def happened(
    reader: ArchiveReader,
    positions: Mapping[Place, int],
    since_ms: int,
    until_ms: int,
    topics: Sequence[str] = (*KNOWLEDGE, *LODGEMENTS),
    ends: Mapping[str, int] | None = None,
) -> Iterator[Happened]:
    """Records from `positions` on (0 where there is none) to `ends`, in the order of `topics` within a millisecond.

    `ends` are as `ends_of` gives them; None for all there is. The order is a function of the archive alone: partitions
    keep theirs, and are merged by `happened_ms`. Items before `since_ms` are passed over, knowledge is not.

    Raises `ArchiveError`.
    """
    heap: list[tuple[int, int, int, int, Archived, Iterator[Archived]]] = []

    def push(rank: int, source: Iterator[Archived]) -> None:
        lodged = topics[rank] not in KNOWLEDGE
        for record in source:
            at_ms = happened_ms(record)
            if at_ms >= until_ms or (lodged and at_ms < since_ms):
                continue
            heapq.heappush(heap, (at_ms, rank, record.partition, record.offset, record, source))
            return

    for rank, topic in enumerate(topics):
        for partition in reader.catalogue.partitions(topic):
            start = positions.get((topic, partition), 0)
            upto = None if ends is None else ends.get(f"{topic}/{partition}", 0)
            # Of knowledge a file of a later date may hold what was sent before.
            before = None if topic in KNOWLEDGE else date_of(until_ms)
            push(rank, reader.records(topic, partition, start, upto, before))
    decoders = {topic: codec_for(topic).decode for topic in topics}
    while heap:
        _, rank, _, _, record, source = heapq.heappop(heap)
        try:
            yield Happened(record, decoders[record.topic](record.value, header(record.headers, "ce_type")), None)
        except Undecodable as why:
            yield Happened(record, None, why.reason)
        push(rank, source)


def happened_ms(record: Archived) -> int:
    """When a record came about: its timestamp; of knowledge, never after it was sent.

    A lesson bears the time that the inspector's clock said. One that is ahead would hold back all that follow it.
    """
    return min(record.timestamp, sent_ms(record)) if record.topic in KNOWLEDGE else record.timestamp


def positions_from(reader: ArchiveReader, topics: Sequence[str], since_ms: int) -> dict[Place, int]:
    """Where to begin reading so that nothing with a timestamp of `since_ms` or later is left out."""
    begin = date_of(since_ms)
    return {
        (topic, partition): chunk.first
        for topic in topics
        for partition in reader.catalogue.partitions(topic)
        for chunk in reversed(reader.catalogue.chunks(topic, partition))
        if any(part.date >= begin for part in chunk.parts)
    }


def ends_of(catalogue: Catalogue) -> dict[str, int]:
    """By `topic/partition` of lodgements and knowledge, the offset after the last one archived."""
    return {
        f"{topic}/{partition}": catalogue.end(topic, partition) or 0
        for topic in (*KNOWLEDGE, *LODGEMENTS)
        for partition in catalogue.partitions(topic)
    }


def lasts(reader: ArchiveReader, ends: Mapping[str, int]) -> dict[str, str]:
    """What tells archives apart: by `topic/partition` a digest of the record before its end, where it is still there.

    Retention takes out the oldest first. Raises `ArchiveError`.
    """
    found = {}
    for place, end in ends.items():
        topic, _, partition = place.partition("/")
        for one in reader.records(topic, int(partition), max(0, end - 1), end):
            found[place] = digest(one.timestamp, one.key, one.headers, one.value, b"").hex()
    return found
