"""Record batches of Kafka's message format v2, built for records that differ in little but key, value and `ce_id`.

`RecordBatchBuilder` stands in for aiokafka's `BatchBuilder`, which builds every header of every record anew: six
CloudEvents headers cost it more than the record. Here headers come as bytes, most of them built once for many records,
and a batch is joined once. Not compressed, not transactional. The format is Kafka's own:
https://kafka.apache.org/documentation/#recordbatch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import islice
from struct import Struct
from typing import Final, Protocol

import google_crc32c

_HEAD = Struct(">qiibIhiqqqhii")
_CHECKED = Struct(">hiqqqhii")
"""What the checksum covers of the head: attributes to the number of records."""
_NOTHING = b"\x01"
"""The length -1: a null key or value."""


class _Varints(dict[int, bytes]):
    """Signed integers as the format has them: zigzag, seven bits to a byte, the lowest first. Those of two are kept."""

    def __missing__(self, number: int) -> bytes:
        rest = (number << 1) ^ (number >> 63)
        if 0x4000 <= rest < 0x20_0000:  # as most times are: seconds and minutes after a batch's first record
            return bytes((rest & 0x7F | 0x80, rest >> 7 & 0x7F | 0x80, rest >> 14))
        made = bytearray()
        while rest > 0x7F:
            made.append(rest & 0x7F | 0x80)
            rest >>= 7
        made.append(rest)
        told = bytes(made)
        if len(told) <= 2:
            self[number] = told
        return told


varint: Final[Callable[[int], bytes]] = _Varints().__getitem__


def _header(name: str, value: bytes | None) -> bytes:
    text = name.encode()
    if value is None:
        return varint(len(text)) + text + _NOTHING
    return b"".join((varint(len(text)), text, varint(len(value)), value))


def encoded(headers: Sequence[tuple[str, bytes | None]]) -> bytes:
    """All headers of a record as they stand in it: their number, then each."""
    return varint(len(headers)) + b"".join([_header(name, value) for name, value in headers])


class Sent(Protocol):
    """A record to produce, as it is asked here: its headers as `encoded` has them."""

    @property
    def timestamp(self) -> int: ...
    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...
    @property
    def encoded_headers(self) -> bytes: ...


class RecordBatchBuilder:
    """One batch in the making; what `AIOKafkaProducer.send_batch` takes. A batch always takes its first record."""

    __slots__ = ("_buffer", "_closed", "_count", "_first_ms", "_latest_ms", "_most", "_parts", "_producer", "_size")

    def __init__(self, most_bytes: int) -> None:
        self._most = most_bytes
        self._parts: list[bytes] = []
        self._size = _HEAD.size
        self._count = 0
        self._first_ms = self._latest_ms = 0
        self._closed = False
        self._producer = (-1, -1, -1)
        self._buffer: bytearray | None = None

    def fill(self, records: Sequence[Sent], start: int = 0) -> int:
        """Append records from place `start` on while there is room; the place of the first that was left out."""
        if self._closed or start >= len(records):
            return start
        told_as, parts, most, size, count = varint, self._parts, self._most, self._size, self._count
        if not count:
            self._first_ms = self._latest_ms = records[start].timestamp
        first_ms, latest_ms, before = self._first_ms, self._latest_ms, count
        for record in islice(records, start, None):
            timestamp_ms, key, value, headers = record.timestamp, record.key, record.value, record.encoded_headers
            key_size = value_size = _NOTHING
            if key is None:
                key = b""
            else:
                key_size = told_as(len(key))
            if value is None:
                value = b""
            else:
                value_size = told_as(len(value))
            begun = b"".join((b"\x00", told_as(timestamp_ms - first_ms), told_as(count), key_size, key, value_size))
            length = len(begun) + len(value) + len(headers)
            told = told_as(length)
            full = size + len(told) + length
            if full > most and count:
                break
            parts += (told, begun, value, headers)
            size = full
            count += 1
            if timestamp_ms > latest_ms:
                latest_ms = timestamp_ms
        self._size, self._count, self._latest_ms = size, count, latest_ms
        return start + count - before

    # -- what aiokafka's producer asks of a batch

    def append(self, **_: object) -> None:
        """A single send may not join a batch of ours: None says that it is full."""

    def close(self) -> None:
        """Take no more records."""
        self._closed = True

    def closed(self) -> bool:
        """Whether no more records are taken."""
        return self._closed

    def size(self) -> int:
        """Bytes."""
        return self._size

    def record_count(self) -> int:
        """Records."""
        return self._count

    def _set_producer_state(self, producer_id: int, producer_epoch: int, base_sequence: int) -> None:
        self._producer = (producer_id, producer_epoch, base_sequence)

    def _build(self) -> bytearray:
        self._closed = True
        if self._buffer is None:
            told = (0, self._count - 1, self._first_ms, self._latest_ms, *self._producer, self._count)
            records = b"".join(self._parts)
            self._parts.clear()
            checksum = google_crc32c.extend(google_crc32c.value(_CHECKED.pack(*told)), records)
            self._buffer = bytearray().join((_HEAD.pack(0, self._size - 12, -1, 2, checksum, *told), records))
        return self._buffer
