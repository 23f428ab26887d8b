"""A book at any version that a decision names: folded from its archived log, exactly so far."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Generic, Protocol, TypeVar

from schemas.codec import Undecodable, codec_for
from streams.archive.layout import ArchiveError, NotReachedError
from streams.archive.reading import ArchiveReader
from streams.archive.rows import Archived
from streams.wire import header, sent_ms


class Book(Protocol):
    """A fold of a one-partition log; its version is the offset after the last record folded."""

    def fold(self, offset: int, key: str | None, event: Any, sent_ms: int, /) -> None:
        """Take in the record at `offset`, sent at `sent_ms`."""


B = TypeVar("B", bound=Book)


_WORTH_A_SNAPSHOT = 100
"""Records that are folded sooner than a snapshot is read."""


class Shelf(Generic[B]):
    """Keeps one copy of a book and folds it on to the version that is asked for; anew from the beginning to go back.

    So ask in rising order where that is possible.
    """

    def __init__(
        self,
        reader: ArchiveReader,
        topic: str,
        make: Callable[[], B],
        snapshot: Callable[[int], tuple[int, B] | None] = lambda upto: None,
    ) -> None:
        """`snapshot` gives a copy of the latest kept book that is not above a version, and its version."""
        self._snapshot = snapshot
        self._reader = reader
        self._topic = topic
        self._make = make
        self._decode = codec_for(topic).decode
        self._reached = 0
        self._records: Iterator[Archived] = iter(())
        self.book = self._begin()

    def at(self, version: int) -> B:
        """The book with every record below offset `version` folded.

        Raises `ArchiveError` when the archived log does not reach so far, or does not begin at its beginning.
        """
        if version < self._reached:
            self.book = self._begin()
        if version - self._reached > _WORTH_A_SNAPSHOT and (kept := self._snapshot(version)) is not None:
            at, book = kept
            if at > self._reached:
                self.book, self._reached = book, at
                self._records = self._reader.records(self._topic, 0, at)
        while self._reached < version:
            record = next(self._records, None)
            if record is None:
                raise NotReachedError(
                    f"{self._reader.catalogue.root}: {self._topic}[0] is archived up to offset {self._reached - 1}, "
                    f"and version {version} is asked for"
                )
            if record.offset >= version:  # compaction took the records between
                self._records = self._reader.records(self._topic, 0, record.offset)
                self._reached = version
                return self.book
            self._fold(record)
        return self.book

    def _begin(self) -> B:
        chunks = self._reader.catalogue.chunks(self._topic, 0)
        if chunks and chunks[0].first > 0:
            raise ArchiveError(
                f"{self._reader.catalogue.root / chunks[0].parts[0].path}: {self._topic} begins at offset "
                f"{chunks[0].first}; what came before it is needed"
            )
        self._reached = 0
        self._records = self._reader.records(self._topic, 0)
        return self._make()

    def _fold(self, record: Archived) -> None:
        self._reached = record.offset + 1
        try:
            event = self._decode(record.value, header(record.headers, "ce_type"))
        except Undecodable:
            return  # every worker skipped it alike
        key = (record.key or b"").decode(errors="replace")
        self.book.fold(record.offset, key, event, sent_ms(record))
