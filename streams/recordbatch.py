"""Record batches of Kafka's message format v2, built for records that differ in little but key, value and `ce_id`.

`RecordBatchBuilder` stands in for aiokafka's `BatchBuilder`, which builds every header of every record anew: six
CloudEvents headers cost it more than the record. Here headers come as bytes, most of them built once for many records,
and a batch is joined once. Not compressed, not transactional. The format is Kafka's own:
https://kafka.apache.org/documentation/#recordbatch.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from struct import Struct

import google_crc32c

_HEAD = Struct(">qiibIhiqqqhii")
_CHECKED = Struct(">hiqqqhii")
"""What the checksum covers of the head: attributes to the number of records."""
_NOTHING = b"\x01"
"""The length -1: a null key or value."""


@lru_cache(maxsize=65_536)
def varint(number: int) -> bytes:
    """A signed integer as the format has it: zigzag, seven bits to a byte, the lowest first."""
    rest = (number << 1) ^ (number >> 63)
    made = bytearray()
    while rest > 0x7F:
        made.append(rest & 0x7F | 0x80)
        rest >>= 7
    made.append(rest)
    return bytes(made)


def _header(name: str, value: bytes | None) -> bytes:
    text = name.encode()
    if value is None:
        return varint(len(text)) + text + _NOTHING
    return b"".join((varint(len(text)), text, varint(len(value)), value))


def encoded(headers: Sequence[tuple[str, bytes | None]]) -> bytes:
    """All headers of a record as they stand in it: their number, then each."""
    return varint(len(headers)) + b"".join([_header(name, value) for name, value in headers])


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

    def add(self, timestamp_ms: int, key: bytes | None, value: bytes | None, encoded_headers: bytes) -> bool:
        """Append a record; False, and nothing appended, when the batch is full."""
        count = self._count
        if not count:
            self._first_ms = self._latest_ms = timestamp_ms
        begun = b"".join(
            (
                b"\x00",
                varint(timestamp_ms - self._first_ms),
                varint(count),
                _NOTHING if key is None else varint(len(key)),
                key or b"",
                _NOTHING if value is None else varint(len(value)),
            )
        )
        length = len(begun) + len(value or b"") + len(encoded_headers)
        told = varint(length)
        size = self._size + len(told) + length
        if self._closed or (count and size > self._most):
            return False
        self._parts += (told, begun, value or b"", encoded_headers)
        self._size = size
        self._count = count + 1
        if timestamp_ms > self._latest_ms:
            self._latest_ms = timestamp_ms
        return True

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
