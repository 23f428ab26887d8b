"""The columns of an archived record: its topic's Arrow schema, and the values read off its event.

What is about a person is in no column; it stands sealed in `sealed` with the rest of the exact record.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any, Final

import pyarrow as pa

from schemas.registry import DEAD_LETTER_SUFFIX
from streams.archive.envelope import ENVELOPE, Column
from streams.archive.topic_columns import COLUMNS, DEAD_LETTER

_WHOLE: Final = re.compile("[0-9]{1,18}")
"""What a column of whole numbers holds for certain."""


def columns_of(topic: str) -> tuple[Column, ...]:
    """The columns of a topic beside the envelope's. Raises `KeyError` when it is not declared."""
    return DEAD_LETTER if topic.endswith(DEAD_LETTER_SUFFIX) else COLUMNS[topic]


def schema_of(topic: str) -> pa.Schema:
    """The Arrow schema of a topic's files."""
    envelope = [pa.field(name, kind) for name, kind, _ in ENVELOPE]
    return pa.schema(envelope + [pa.field(column.name, column.type) for column in columns_of(topic)])


class Extractor:
    """Reads the columns of one topic off its events."""

    def __init__(self, topic: str) -> None:
        self._readers = [column.reader() for column in columns_of(topic)]
        self.empty: list[Any] = [None] * len(self._readers)

    def row(self, event: Any) -> list[Any]:
        """The values, None for what the event does not have."""
        return [_read(reader, event) for reader in self._readers]


def dead_letter_row(headers: Iterable[tuple[str, bytes | None]]) -> list[Any]:
    """The values of `DEAD_LETTER`, None for what is not said."""
    said = {name: value.decode(errors="replace") for name, value in headers if value}
    row: list[Any] = []
    for column in DEAD_LETTER:
        text = said.get(str(column.path), "")
        if column.type == pa.int64():
            row.append(int(text) if _WHOLE.fullmatch(text) else None)
        else:
            row.append(text or None)
    return row


def _read(reader: Callable[[Any], Any], event: Any) -> Any:
    try:
        return reader(event)
    except AttributeError:  # an event of another kind, or cargo of a traveller
        return None
