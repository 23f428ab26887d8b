"""What kafka-python cannot read comes as a record of which nothing is known, and does not stop whoever reads.

As `streams.fetching.ParsedRecords` for aiokafka; everything that reads with kafka-python imports this.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import structlog
from kafka.consumer.fetcher import ConsumerRecord, Fetcher, IsolationLevel
from kafka.errors import CorruptRecordError

from streams.unpacking import METER, MOST_BYTES, UnreadableBatchError, read_with_bounds, records_of

log = structlog.get_logger("borderflow.parsing")


class ParsedRecords(Fetcher.PartitionRecords):  # type: ignore[misc]  # kafka-python ships no types
    """kafka-python's parser, which raises such an error to whoever polls, again and again."""

    next_fetch_offset: int

    def _unpack_records(self, tp: Any, batches: Any, *_: Any) -> Iterator[ConsumerRecord]:
        unpacked = METER.bytes
        while METER.bytes - unpacked < MOST_BYTES and (batch := batches.next_batch()) is not None:
            if self.check_crcs and not batch.validate_crc():
                raise CorruptRecordError(f"a batch of {tp} failed its checksum")
            if not self._says_nothing(batch):
                try:
                    for record in records_of(batch, tp.topic):
                        self.next_fetch_offset = record.offset + 1
                        yield self._consumer_record(tp, record)
                except UnreadableBatchError as error:
                    yield from self._unreadable(tp, batch.next_offset, str(error))
            self.next_fetch_offset = batch.next_offset
        self.drain()

    def _consumer_record(self, tp: Any, record: Any) -> ConsumerRecord:
        self.records_read += 1
        self.bytes_read += record.size_in_bytes
        return ConsumerRecord(
            tp.topic, tp.partition, self.leader_epoch, record.offset, record.timestamp, record.timestamp_type,
            record.key, record.value, record.headers, record.checksum, len(record.key or b""),
            len(record.value or b""), -1,
        )  # fmt: skip

    def _unreadable(self, tp: Any, end: int, why: str) -> Iterator[ConsumerRecord]:
        first = max(self.next_fetch_offset, self.fetch_offset)
        log.error("records cannot be read and come without their content", topic=tp.topic, partition=tp.partition,
                  first=first, last=end - 1, why=why)  # fmt: skip
        for offset in range(first, end):
            self.next_fetch_offset = offset + 1
            yield ConsumerRecord(tp.topic, tp.partition, -1, offset, -1, 0, None, None, [], None, -1, -1, -1)

    def _says_nothing(self, batch: Any) -> bool:
        """Whether a batch is a mark of the brokers, or of a transaction that was aborted: as kafka-python has it."""
        self.leader_epoch = batch.leader_epoch
        if self.isolation_level == IsolationLevel.READ_COMMITTED and batch.has_producer_id():
            self._consume_aborted_transactions_up_to(batch.last_offset)
            if self._contains_abort_marker(batch):
                self.aborted_producer_ids.discard(batch.producer_id)
            elif self._is_batch_aborted(batch):
                return True
        return bool(batch.is_control_batch)


Fetcher.PartitionRecords = ParsedRecords
read_with_bounds("kafka.record.default_records", "kafka.record.legacy_records")
