"""What crosses the wire: records in and out as plain values, CloudEvents headers, and the codec's contract."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Protocol

import msgspec

Headers = list[tuple[str, bytes]]

CONTENT_TYPE = b"application/json"
SPEC_VERSION = b"1.0"


class Record(Protocol):
    """One Kafka record as aiokafka hands it over. `timestamp` is in milliseconds since the epoch."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]]


@dataclass(slots=True)
class Outgoing:
    """One record to produce. `partition` None means: by the key, as the Java client does."""

    key: bytes | None
    value: bytes | None
    timestamp_ms: int
    headers: Headers
    partition: int | None = None


class Undecodable(ValueError):  # noqa: N818 - it says what the bytes are
    """Bytes that are not an event of their topic. `detail` holds no value of a personal field.

    `reason` is a slug (a metric label), `field` the path of the offending field, empty for the whole record.
    """

    def __init__(self, reason: str, field: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.field = field
        self.detail = detail


Decode = Callable[[bytes], Any]
"""A topic's decoder: bytes to an event; raises `schemas.codec.Undecodable` for bytes that are not one."""

Encode = Callable[[msgspec.Struct], bytes]


def cloud_event(ce_id: str, ce_type: str, source: bytes, time: bytes) -> Headers:
    """The CloudEvents 1.0 binary-mode headers of one record; `time` from `rfc3339`."""
    return [
        ("ce_specversion", SPEC_VERSION),
        ("ce_id", ce_id.encode()),
        ("ce_type", ce_type.encode()),
        ("ce_source", source),
        ("ce_time", time),
        ("content-type", CONTENT_TYPE),
    ]


def rfc3339(epoch_s: float) -> bytes:
    """A UTC time as CloudEvents writes it, in milliseconds."""
    text = datetime.fromtimestamp(epoch_s, UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z").encode()


@lru_cache(maxsize=4096)
def _milliseconds(time: bytes) -> int | None:
    try:
        parsed = datetime.fromisoformat(time.decode())
    except ValueError:
        return None
    if parsed.tzinfo is None:
        parsed = parsed.replace(tzinfo=UTC)
    return round(parsed.timestamp() * 1000)


def sent_ms(record: Record) -> int:
    """When a record was sent, in milliseconds: its `ce_time` when it has a readable one, else its timestamp."""
    for name, value in record.headers:
        if name == "ce_time":
            return _milliseconds(value) or record.timestamp
    return record.timestamp


def header(headers: Sequence[tuple[str, bytes]], name: str) -> bytes | None:
    """The last value of a header, None when there is none."""
    found = None
    for key, value in headers:
        if key == name:
            found = value
    return found
