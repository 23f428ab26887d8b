"""Recorded items as selection took them: in the order of each partition, with what was decided on each.

Partitions are merged by the model version that decided, and within one by event time. A partition whose worker had
learnt less than the one before it gets a few lessons early; else everybody decides at the version of then.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, NamedTuple

from agents.step import Arrival
from schemas.codec import Undecodable, codec_for
from schemas.decisions import SelectionDecided
from schemas.items import ItemFiltered
from streams.archive.reading import ArchiveReader
from streams.archive.rows import Archived
from streams.archive.writing import date_of
from streams.replay.history import positions_from
from streams.wire import header, sent_ms

Known = tuple[int, str, Any, int]
"""A record of a log of knowledge: offset, key, event (None for a tombstone), and when it was sent, in ms."""


class Taken(NamedTuple):
    """One item. `decision` is None where none is recorded; `version` is that of the models that decided, or would
    have."""

    arrival: Arrival[ItemFiltered]
    decision: SelectionDecided | None
    version: int

    @property
    def turn(self) -> tuple[int, int, int]:
        """Where it stands among items of other partitions."""
        return self.version, self.arrival.timestamp_ms, self.arrival.partition

    def is_like(self, other: Taken) -> bool:
        """Whether both were decided by the same models and filtered by the same criteria."""
        criteria, others = self.arrival.event.criteria_version, other.arrival.event.criteria_version
        return self.version == other.version and criteria == others


class Log:
    """A one-partition log of knowledge, read on."""

    def __init__(self, reader: ArchiveReader, topic: str, start: int = 0) -> None:
        self._records = reader.records(topic, 0, start)
        self._decode = codec_for(topic).decode
        self._head = next(self._records, None)

    def below(self, version: int) -> Iterator[Known]:
        """What comes next below an offset."""
        while (record := self._head) is not None and record.offset < version:
            self._head = next(self._records, None)
            with suppress(Undecodable):  # everybody leaves it out
                event = self._decode(record.value, header(record.headers, "ce_type"))
                yield record.offset, (record.key or b"").decode(errors="replace"), event, sent_ms(record)


def taken(reader: ArchiveReader, since_ms: int, until_ms: int) -> Iterator[Taken]:
    """Items lodged from `since_ms` to before `until_ms` (event time). Raises `ArchiveError`."""
    begin = positions_from(reader, ("filtered", "decisions"), since_ms)
    before = date_of(until_ms)
    sources: list[Iterator[Taken]] = []
    for at in reader.catalogue.partitions("filtered"):
        records = reader.records("filtered", at, begin.get(("filtered", at), 0), None, before)
        decisions = _decisions(reader.records("decisions", at, begin.get(("decisions", at), 0), None, before))
        sources.append(_paired(at, (one for one in records if since_ms <= one.timestamp < until_ms), decisions))
    return heapq.merge(*sources, key=lambda one: one.turn)


def _paired(partition: int, records: Iterator[Archived], decisions: Iterator[SelectionDecided]) -> Iterator[Taken]:
    decode = codec_for("filtered").decode
    head, version = next(decisions, None), 0
    for record in records:
        if not record.first:
            continue
        try:
            event: ItemFiltered = decode(record.value, header(record.headers, "ce_type"))
        except Undecodable:
            continue  # selection refused it
        while head is not None and head.upstream.offset < record.offset:
            head = next(decisions, None)
        decision = head if head is not None and head.upstream.offset == record.offset else None
        version = version if decision is None else decision.model_version
        at_ms = record.timestamp
        yield Taken(Arrival(event, "filtered", partition, record.offset, at_ms, sent_ms(record)), decision, version)


def _decisions(records: Iterator[Archived]) -> Iterator[SelectionDecided]:
    decode = codec_for("decisions").decode
    for record in records:
        if record.first:
            with suppress(Undecodable):
                event: SelectionDecided = decode(record.value, header(record.headers, "ce_type"))
                yield event
