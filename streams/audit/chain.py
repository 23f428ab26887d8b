"""A hash chain over the records of one partition: what an entry is, and how entries follow from each other.

An entry stands for one record: its offset, timestamp, the hash of its key and the hash of all of it (timestamp, key,
headers, value). The head after an entry is the hash of the head before it and the entry, so whoever knows a head knows
whether anything before it was changed (Haber and Stornetta, "How to time-stamp a digital document", 1991). Hashes of
records, of entries and of beginnings start with different bytes, so that none can be passed off as another
(RFC 9162, section 2.1.1, does so for leaves and nodes).
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Final, Self

from streams.wire import Record, UnreadableRecord

FORMAT: Final = 1
ENTRY_BYTES: Final = 65
_LAYOUT: Final = struct.Struct(">QqB16s32s")
_RECORD, _LINK, _BEGIN, _KEY = b"\x00", b"\x01", b"\x02", b"\x03"


class AuditError(Exception):
    """The chain cannot be written or read as asked; the message names the file or folder and the place in it."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One sealed record. `timestamp` is in ms since the epoch; `tombstone`: the record had no value."""

    offset: int
    timestamp: int
    tombstone: bool
    key: bytes
    record: bytes

    @classmethod
    def of(cls, record: Record) -> Self:
        """The entry of a record."""
        key = sha256(_KEY + _sized(record.key)).digest()[:16]
        return cls(record.offset, record.timestamp, record.value is None, key, record_hash(record))

    @property
    def says_nothing(self) -> bool:
        """Whether it stands for a record that the client could not parse: nothing of its content is sealed."""
        return replace(self, offset=0) == _UNREADABLE

    def packed(self) -> bytes:
        """The entry as it stands in a chain's file."""
        return _LAYOUT.pack(self.offset, self.timestamp, self.tombstone, self.key, self.record)

    @classmethod
    def unpacked(cls, data: bytes) -> Self:
        """The entry in so many bytes."""
        offset, timestamp, tombstone, key, record = _LAYOUT.unpack(data)
        return cls(offset, timestamp, bool(tombstone), key, record)


def record_hash(record: Record) -> bytes:
    """SHA-256 of a record's timestamp, key, headers and value, each with its length."""
    parts = [_RECORD, record.timestamp.to_bytes(8, "big", signed=True), _sized(record.key)]
    headers: Sequence[tuple[str, bytes | None]] = record.headers
    parts.append(len(headers).to_bytes(4, "big"))
    for name, value in headers:
        parts += (_sized(name.encode()), _sized(value))
    parts.append(_sized(record.value))
    return sha256(b"".join(parts)).digest()


def beginning(topic: str, partition: int) -> bytes:
    """The head of a chain without entries."""
    return sha256(_BEGIN + f"borderflow audit {FORMAT}\n{topic}\n{partition}\n".encode()).digest()


def linked(head: bytes, packed: bytes) -> bytes:
    """The head after an entry."""
    return sha256(_LINK + head + packed).digest()


def folded(head: bytes, packed: Iterable[bytes]) -> bytes:
    """The head after entries."""
    for one in packed:
        head = sha256(_LINK + head + one).digest()
    return head


def _sized(data: bytes | None) -> bytes:
    return b"\x00" if data is None else b"\x01" + len(data).to_bytes(8, "big") + data


_UNREADABLE: Final = Entry.of(UnreadableRecord("", 0, 0, -1, None, None, [], ""))
