"""The columns that every archived record has, and what a column is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, Final

import pyarrow as pa

TIME: Final = pa.timestamp("ms", tz="UTC")
EARLIEST_MS: Final = -62_135_596_800_000
LATEST_MS: Final = 253_402_300_799_999
"""The first and the last millisecond of the years 1 to 9999. Kafka's timestamps may lie outside, and times with a zone
at either end; DuckDB and Python refuse such a time, and with it every row that is read beside it."""
TEXTS: Final = pa.list_(pa.string())
HEADERS: Final = pa.list_(pa.struct([("name", pa.string()), ("value", pa.binary())]))


@dataclass(frozen=True, slots=True)
class Column:
    """One column. `path` is where its value stands in the event (`prior.seizures`), or a function that finds it."""

    name: str
    type: pa.DataType
    path: str | Callable[[Any], Any]
    meaning: str

    def reader(self) -> Callable[[Any], Any]:
        """What reads the value off an event. It raises AttributeError for an event that has none."""
        return attrgetter(self.path) if isinstance(self.path, str) else self.path


ENVELOPE: Final = (
    ("partition", pa.int32(), "partition of the topic"),
    ("offset", pa.int64(), "offset in the partition"),
    ("stamped_at", TIME, "the record's timestamp: event time; empty where that is not in the years 1 to 9999"),
    ("timestamp_ms", pa.int64(), "then the timestamp as it came, in milliseconds; else empty"),
    ("key", pa.binary(), "the record's key, as it came"),
    ("headers", HEADERS, "the record's headers, as they came"),
    ("ce_id", pa.string(), "CloudEvents id: the same after any redelivery"),
    ("ce_type", pa.string(), "CloudEvents type: event and version"),
    ("sent_at", TIME, "CloudEvents time: when it was sent"),
    ("first", pa.bool_(), "false for a record that came before (redelivery); the views leave it out"),
    ("unreadable", pa.string(), "why the value could not be read when it was archived; its other columns are empty"),
    ("value", pa.binary(), "the exact bytes; empty where they are sealed"),
    ("sealed", pa.binary(), "the exact bytes, sealed with the archive's key"),
    ("digest", pa.binary(8), "of timestamp, key, headers and value; keyed where the archive has a key"),
)
"""The columns that every archived record has: name, type, meaning."""

RAW_ONLY: Final = frozenset(("timestamp_ms", "key", "headers", "first", "value", "sealed", "digest"))
"""Envelope columns that only the `raw_` views show."""
