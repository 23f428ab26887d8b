"""What kafka-python cannot parse is archived as a record of which nothing is known, and does not stop the archive.

As `streams.fetching.ParsedRecords` for aiokafka: a header's name that is not UTF-8, and what follows it in its batch.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import structlog
from kafka.consumer.fetcher import ConsumerRecord, Fetcher
from kafka.errors import CorruptRecordError

log = structlog.get_logger("borderflow.archive")


class ParsedRecords(Fetcher.PartitionRecords):  # type: ignore[misc]  # kafka-python ships no types
    """kafka-python's parser, which raises such an error to whoever polls, again and again."""

    fetch_offset: int
    next_fetch_offset: int

    def _unpack_records(self, tp: Any, *given: Any) -> Iterator[ConsumerRecord]:
        try:
            yield from super()._unpack_records(tp, *given)
        except CorruptRecordError as error:
            if not isinstance(error.__cause__ or error.__context__, UnicodeDecodeError):
                raise
            offset = max(self.next_fetch_offset, self.fetch_offset)
            self.next_fetch_offset = offset + 1
            log.error("a record cannot be parsed and is archived without its content", topic=tp.topic,
                      partition=tp.partition, offset=offset)  # fmt: skip
            yield ConsumerRecord(tp.topic, tp.partition, -1, offset, -1, 0, None, None, [], None, -1, -1, -1)
            self.drain()


Fetcher.PartitionRecords = ParsedRecords
