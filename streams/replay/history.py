"""Recorded lodgements and knowledge in the order of event time, read from the archive, from any position on."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from schemas.codec import Undecodable, codec_for
from streams.archive.reading import ArchiveReader
from streams.archive.rows import Archived
from streams.archive.writing import date_of
from streams.replay.engine import KNOWLEDGE, LODGEMENTS
from streams.wire import header

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
) -> Iterator[Happened]:
    """Records from `positions` on (0 where there is none), in the order of `topics` within a millisecond.

    The order is a function of the archive alone: partitions keep theirs, and are merged by timestamp. Items
    before `since_ms` are passed over, knowledge is not. Raises `ArchiveError`.
    """
    heap: list[tuple[int, int, int, int, Archived, Iterator[Archived]]] = []

    def push(rank: int, source: Iterator[Archived]) -> None:
        lodged = topics[rank] not in KNOWLEDGE
        for record in source:
            if record.timestamp >= until_ms or (lodged and record.timestamp < since_ms):
                continue
            heapq.heappush(heap, (record.timestamp, rank, record.partition, record.offset, record, source))
            return

    for rank, topic in enumerate(topics):
        for partition in reader.catalogue.partitions(topic):
            push(rank, reader.records(topic, partition, positions.get((topic, partition), 0), before=date_of(until_ms)))
    decoders = {topic: codec_for(topic).decode for topic in topics}
    while heap:
        _, rank, _, _, record, source = heapq.heappop(heap)
        try:
            yield Happened(record, decoders[record.topic](record.value, header(record.headers, "ce_type")), None)
        except Undecodable as why:
            yield Happened(record, None, why.reason)
        push(rank, source)


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
