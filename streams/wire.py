"""What crosses the wire: records in and out as plain values, CloudEvents headers, and the codec's contract."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any, Protocol

import msgspec
from msgspec.structs import force_setattr

from agents.step import Arrival
from schemas.codec import Undecodable
from streams.recordbatch import encoded, varint

if TYPE_CHECKING:
    from aiokafka.structs import TopicPartition

Headers = list[tuple[str, bytes]]

Given = Sequence[tuple[str, bytes | None]]
"""Headers as they were lodged: Kafka lets a value be null, which says nothing."""

CONTENT_TYPE = b"application/json"
SPEC_VERSION = b"1.0"

_LONGEST_TIME = 100
"""Bytes; with milliseconds and a zone it has 29."""


class Record(Protocol):
    """One Kafka record as aiokafka hands it over. `timestamp` is in milliseconds since the epoch."""

    @property
    def topic(self) -> str: ...
    @property
    def partition(self) -> int: ...
    @property
    def offset(self) -> int: ...
    @property
    def timestamp(self) -> int: ...
    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...
    @property
    def headers(self) -> Given: ...


class FetchedRecord(msgspec.Struct, gc=False):
    """A `Record` that costs a fifth of aiokafka's own; made by `fetched` while a fetch is read."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes | None]]


def fetched(tp: TopicPartition, record: Any) -> FetchedRecord:
    """The record that aiokafka's parser has just read. Takes the place of `PartitionRecords._consumer_record`."""
    return FetchedRecord(
        tp.topic, tp.partition, record.offset, record.timestamp, record.key, record.value, record.headers
    )


class UnreadableRecord(FetchedRecord, gc=False):
    """In place of a record that cannot be read: nothing of it is known but where it is, and why."""

    why: str


def unreadable(tp: TopicPartition, offset: int, why: str) -> UnreadableRecord:
    """What stands for the record at `offset`."""
    return UnreadableRecord(tp.topic, tp.partition, offset, -1, None, None, [], why)


def refuse_unreadable(record: Record) -> None:
    """Raises `Undecodable` for what stands for a record that cannot be read."""
    if isinstance(record, UnreadableRecord):
        raise Undecodable("unreadable-record", "", record.why)


class Outgoing(msgspec.Struct, gc=False):
    """One record to produce. `partition` None means: by the key, as the Java client does.

    `headers` may be given as the bytes that they are in a record (`streams.recordbatch.encoded`, `Stamp`).
    """

    key: bytes | None
    value: bytes | None
    timestamp: int
    headers: Given | bytes
    partition: int | None = None

    @property
    def encoded_headers(self) -> bytes:
        """The headers as they stand in a record."""
        return self.headers if isinstance(self.headers, bytes) else encoded(self.headers)


class Produced(Arrival[Any], frozen=True, gc=False):
    """One record to produce, with the event that its value was encoded from and the stamp that makes its headers.

    Once it is acknowledged it is a `Record` as it would be fetched, and what the next step of this worker is given.
    Until then `partition` is as in `Outgoing`, and neither the offset nor when it was sent is known (`Placed.handed`).
    """

    key: bytes
    value: bytes
    ce_id: str
    stamp: Stamp

    timestamp = Arrival.timestamp_ms
    """What a `Record` calls it."""

    @property
    def encoded_headers(self) -> bytes:
        """The headers as they stand in a record."""
        return self.stamp(self.ce_id)

    @property
    def headers(self) -> Headers:
        """The headers as they are read."""
        return self.stamp.headers(self.ce_id)


class Placed(msgspec.Struct, gc=False):
    """Records that the brokers have acknowledged: one after the other from `offset` on in a partition."""

    partition: int
    offset: int
    records: Sequence[Outgoing | Produced]

    def handed(self) -> list[Record]:
        """Those that this process produced with their events, as it would fetch them."""
        partition, say, handed = self.partition, force_setattr, list[Record]()
        for offset, one in enumerate(self.records, self.offset):
            if isinstance(one, Produced):
                say(one, "partition", partition)
                say(one, "offset", offset)
                say(one, "sent_ms", one.stamp.sent_ms or one.timestamp_ms)
                handed.append(one)
        return handed


class Decode(Protocol):
    """A topic's decoder (`schemas.codec.TopicCodec.decode`): the event of a value, None for a tombstone.

    `ce_type` is that header as it came. Raises `schemas.codec.Undecodable`.
    """

    def __call__(self, value: bytes | None, ce_type: bytes | None = None) -> Any: ...


Encode = Callable[[msgspec.Struct], bytes]
"""An event's bytes: `schemas.codec.encode`."""

CeType = Callable[[type[msgspec.Struct]], str]
"""The `ce_type` of an event's type: `schemas.codec.ce_type_of`."""


_SPEC_VERSION = ("ce_specversion", SPEC_VERSION)
_CONTENT_TYPE = ("content-type", CONTENT_TYPE)


def cloud_event(ce_id: str, ce_type: str, source: bytes, time: bytes) -> Headers:
    """The CloudEvents 1.0 binary-mode headers of one record; `time` from `rfc3339`."""
    return [
        _SPEC_VERSION,
        ("ce_id", ce_id.encode()),
        _named("ce_type", ce_type),
        ("ce_source", source),
        ("ce_time", time),
        _CONTENT_TYPE,
    ]


@cache
def _named(name: str, text: str) -> tuple[str, bytes]:
    return name, text.encode()


class _Begun(dict[int, bytes]):
    """The headers of a stamp up to the text of an id, by the size of that."""

    def __init__(self, shared: bytes) -> None:
        super().__init__()
        self._shared = shared

    def __missing__(self, size: int) -> bytes:
        made = self[size] = self._shared + varint(size)
        return made


class Stamp:
    """The CloudEvents headers of many records, in bytes, that differ in nothing but `ce_id`: `cloud_event`, encoded.

    It may be dated when the records are sent that were made with it.
    """

    __slots__ = ("_begun", "_ce_type", "_source", "_time", "sent_ms")

    def __init__(self, ce_type: str, source: bytes, time: bytes | None = None) -> None:
        self._ce_type, self._source = ce_type, source
        if time is not None:
            self.date(time)

    def date(self, time: bytes) -> None:
        """All records of this stamp are sent at this time."""
        self._time = time
        self.sent_ms = milliseconds(time)
        self._begun = _Begun(encoded([*self._in_common(), ("ce_id", b"")])[:-1])  # without the length of an empty id

    def _in_common(self) -> Headers:
        return [one for one in cloud_event("", self._ce_type, self._source, self._time) if one[0] != "ce_id"]

    def __call__(self, ce_id: str) -> bytes:
        """The headers of the record with this id."""
        text = ce_id.encode()
        return self._begun[len(text)] + text

    def headers(self, ce_id: str) -> Headers:
        """The same, as they are read: in the order in which they stand in the record."""
        return [*self._in_common(), ("ce_id", ce_id.encode())]


def rfc3339(epoch_s: float) -> bytes:
    """A UTC time as CloudEvents writes it, in milliseconds."""
    text = datetime.fromtimestamp(epoch_s, UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z").encode()


def milliseconds(time: bytes) -> int | None:
    """An RFC 3339 time in milliseconds since the epoch, None when it cannot be read."""
    return _milliseconds(time) if len(time) <= _LONGEST_TIME else None  # what was read is kept, and lodgers write it


@lru_cache(maxsize=4096)
def _milliseconds(time: bytes) -> int | None:
    try:
        parsed = datetime.fromisoformat(time.decode())
    except ValueError:
        return None
    if parsed.tzinfo is None:
        parsed = parsed.replace(tzinfo=UTC)
    return round(parsed.timestamp() * 1000)


def said_ms(record: Record) -> int | None:
    """When a record was sent by its first `ce_time`, in milliseconds; None when it has none that can be read."""
    said = first_header(record.headers, "ce_time")
    return None if said is None else milliseconds(said)


def sent_ms(record: Record) -> int:
    """When a record was sent, in milliseconds: as it says, else its timestamp."""
    return said_ms(record) or record.timestamp


def text_header(record: Record, name: str) -> str | None:
    """A header as text, None when there is none. What is not UTF-8 in it is replaced."""
    said = header(record.headers, name)
    return None if said is None else said.decode(errors="replace")


def decoded(decode: Decode, record: Record) -> Any:
    """The event of a record, by its `ce_type`. Raises `schemas.codec.Undecodable`."""
    refuse_unreadable(record)
    return decode(record.value, header(record.headers, "ce_type"))


def header(headers: Given, name: str) -> bytes | None:
    """The last value of a header, None when there is none or it is null."""
    return dict(headers).get(name)


def first_header(headers: Given, name: str) -> bytes | None:
    """The first value of a header that is not null, None when there is none."""
    said = dict(headers)
    if len(said) == len(headers):  # nothing comes twice
        return said.get(name)
    return next((value for one, value in headers if one == name and value is not None), None)
