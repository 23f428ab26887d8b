"""The latest filtered items of an archive, with the criteria that fire on each: tried ones and recorded ones."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta

from schemas.codec import Undecodable, codec_for
from schemas.items import ItemFiltered
from schemas.knowledge import CriterionPublished
from streams.archive.reading import ArchiveReader
from streams.replay.history import positions_from
from streams.simulate.engine import TriedCriteria
from streams.wire import header

Fired = list[tuple[str, bool]]
"""Criteria that fired on an item, and whether the hit was over its cap (never, of tried ones)."""


def latest_items(
    reader: ArchiveReader, tried: Sequence[CriterionPublished], days: int
) -> Iterator[tuple[ItemFiltered, Fired]]:
    """Items of the latest `days` dates of the archive. Raises `ArchiveError`."""
    dates = [
        part.date
        for partition in reader.catalogue.partitions("filtered")
        for chunk in reader.catalogue.chunks("filtered", partition)
        for part in chunk.parts
    ]
    if not dates:
        return
    begin = date.fromisoformat(max(dates)) - timedelta(days=days - 1)
    begin_ms = int(datetime(begin.year, begin.month, begin.day, tzinfo=UTC).timestamp() * 1000)
    book = TriedCriteria(tried).book
    names = {one.criterion_id for one in tried}
    decode = codec_for("filtered").decode
    for (topic, partition), start in sorted(positions_from(reader, ("filtered",), begin_ms).items()):
        for record in reader.records(topic, partition, start):
            if record.timestamp < begin_ms or not record.first:
                continue
            try:
                filtered: ItemFiltered = decode(record.value, header(record.headers, "ce_type"))
            except Undecodable:
                continue  # selection refused it, too
            fired = [(hit.criterion_id, hit.capped) for hit in filtered.criteria if hit.criterion_id not in names]
            events = book.evaluate(filtered.item, filtered.monitored, filtered.anomaly, record.timestamp)
            yield filtered, [*fired, *((event.criterion_id, False) for event in events)]
