"""Whether the columns beside archived records are those of their values: for files that no MAC speaks for."""

from __future__ import annotations

from typing import Any, Final

from streams.archive.reading import plain_rows
from streams.archive.redeliveries import Marks
from streams.archive.rows import Archived, Row, RowReader
from streams.archive.writing import table_of

_BATCH: Final = 2048


class ColumnCheck:
    """Takes the records of one partition in order, from its first on; `finding` is the first that differs.

    A record that stands as redelivered and is not is one that no view shows. The other way round is not looked at: what
    an archiver knew of letters that were sent again ended with its process.
    """

    def __init__(self, topic: str) -> None:
        self._topic = topic
        self._reader = RowReader(topic, Marks(topic))
        self._rows: list[tuple[Archived, Row]] = []
        self.finding: tuple[int, str] | None = None

    def take(self, record: Archived) -> None:
        """Look at one record; those of files with a MAC have no `columns` and need no look."""
        if record.columns is None or self.finding is not None:
            return
        self._rows.append((record, self._reader.read(record)))
        if len(self._rows) >= _BATCH:
            self.finish()

    def finish(self) -> tuple[int, str] | None:
        """The offset of the first record with other columns than its value has, and their names; None for none."""
        made = plain_rows(table_of(self._topic, [row for _, row in self._rows], None, b""))
        for (record, row), wanted in zip(self._rows, made, strict=True):
            if self.finding is None and (wrong := _differing(record, row, wanted)):
                self.finding = record.offset, ", ".join(wrong)
        self._rows = []
        return self.finding


def _differing(record: Archived, row: Row, wanted: dict[str, Any]) -> list[str]:
    said = record.columns or {}
    wrong = [name for name, value in said.items() if name in wanted and repr(value) != repr(wanted[name])]
    return ["first", *wrong] if row.first and not record.first else wrong
