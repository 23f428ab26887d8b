"""What of the records that a step took in, and of the knowledge that it had, is archived: the rest is not checked."""

from __future__ import annotations

from bisect import bisect_right

from streams.archive.reading import ArchiveReader
from streams.wire import sent_ms


class Inputs:
    """The records of one partition that a step reads, as far as they are archived."""

    def __init__(self, reader: ArchiveReader, topic: str, partition: int) -> None:
        self._reader = reader
        self._chunks = reader.catalogue.chunks(topic, partition)
        self._firsts = [chunk.first for chunk in self._chunks]
        self._holes: dict[int, tuple[tuple[int, int], ...] | None] = {}

    def had(self, offset: int) -> bool:
        """Whether an input was archived, if there was one: of its chunk retention took nothing, nor had the brokers."""
        place = bisect_right(self._firsts, offset) - 1
        if place < 0 or offset > self._chunks[place].last:
            return False
        if place not in self._holes:
            facts = [self._reader.facts(part) for part in self._chunks[place].parts]
            self._holes[place] = None if any(said.taken_out for said in facts) else facts[0].missing
        holes = self._holes[place]
        return holes is not None and not any(first <= offset <= last for first, last in holes)


class Reach:
    """How far a log of knowledge is archived."""

    def __init__(self, reader: ArchiveReader, topic: str) -> None:
        self._end = reader.catalogue.end(topic, 0) or 0
        lasts = reader.records(topic, 0, max(0, self._end - 1), self._end)
        self._last_ms = max(map(sent_ms, lasts), default=None)

    def is_absent(self, version: int) -> bool:
        """Whether nothing is archived of what a version stands for."""
        return version > self._end == 0

    def is_to_come(self, version: int, at_ms: int) -> bool:
        """Whether records that a version stands for may not be archived yet: it was named after the last that is."""
        return version > self._end and self._last_ms is not None and at_ms >= self._last_ms
