"""From Kafka records to the rows of a chunk, and back to the exact bytes."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import blake2b
from struct import Struct
from typing import Any, Final

from schemas.codec import Undecodable, codec_for
from schemas.registry import DEAD_LETTER_SUFFIX, declaration, declarations
from streams.archive.columns import Extractor, dead_letter_row
from streams.archive.redeliveries import Marks
from streams.wire import Given, Record, header

DIGEST_BYTES: Final = 8


@dataclass(slots=True)
class Archived:
    """A record as it was: it satisfies `streams.wire.Record`. `altered`: its bytes are not those that were archived.

    `columns` are those that stand beside it in a file without a MAC, where they are asked for.
    """

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Given
    first: bool = True
    altered: bool = False
    columns: dict[str, Any] | None = field(default=None, compare=False, repr=False)


@dataclass(slots=True)
class Row:
    """One record with the values of its topic's columns."""

    record: Record
    first: bool
    unreadable: str | None
    values: list[Any]


def holds_personal_data(topic: str) -> bool:
    """Whether records of a topic are sealed: as it is declared; a dead letter is as its source."""
    return declaration(topic.removesuffix(DEAD_LETTER_SUFFIX)).personal.holds


def kept_for_ever(topic: str) -> bool:
    """Whether a topic is a log that is folded from its first record on, so that nothing may be taken out of it."""
    return topic in declarations() and declaration(topic).retention_ms < 0


class RowReader:
    """Reads the rows of one partition, in the order of its offsets."""

    def __init__(self, topic: str, marks: Marks) -> None:
        self._dead_letters = topic.endswith(DEAD_LETTER_SUFFIX)
        self._decode = None if self._dead_letters else codec_for(topic).decode
        self._extractor = Extractor(topic)
        self.marks = marks

    def read(self, record: Record) -> Row:
        """The row of a record; one that cannot be decoded is archived all the same, and says why."""
        if self._decode is None:
            return Row(record, True, None, dead_letter_row(record.headers))
        try:
            event = self._decode(record.value, header(record.headers, "ce_type"))
        except Undecodable as why:
            return Row(record, True, why.reason, self._extractor.empty)
        if event is None:  # a tombstone
            return Row(record, True, None, self._extractor.empty)
        return Row(record, self.marks.is_first(event), None, self._extractor.row(event))


def digest(timestamp: int, key: bytes | None, headers: Given, value: bytes | None, secret: bytes) -> bytes:
    """8 bytes that tell whether a record is as it was archived; with a secret nobody else can make them."""
    parts = [timestamp.to_bytes(8, "big", signed=True)]
    for text in (key, value):
        parts += (b"\x00",) if text is None else (_LONG_SIZE(1, len(text)), text)
    for name, said in headers:
        parts += (_named(name), b"\x00") if said is None else (_named(name), _SIZE(1, len(said)), said)
    return blake2b(b"".join(parts), digest_size=DIGEST_BYTES, key=secret).digest()


_SIZE: Final = Struct(">BI").pack
_LONG_SIZE: Final = Struct(">BQ").pack
"""The size of what is not null."""


@lru_cache(maxsize=256)
def _named(name: str) -> bytes:
    named = name.encode()
    return len(named).to_bytes(4, "big") + named
