"""Archives for tests: records made by hand, written as chunks."""

from __future__ import annotations

import contextlib
import resource
import signal
from collections.abc import Iterator, Sequence
from pathlib import Path

from schemas.codec import ce_type_of, encode
from schemas.documents import examples
from streams.archive.layout import Catalogue
from streams.archive.reading import ArchiveReader
from streams.archive.redeliveries import Marks
from streams.archive.rows import Archived, RowReader
from streams.archive.sealing import ArchiveKey
from streams.archive.writing import write_chunk
from streams.files import make_folder
from streams.wire import cloud_event
from tests.integration.border import NOON, parcel

KEY = ArchiveKey(b"a key of thirty-two bytes or more")
DAY_MS = 86_400_000
NOON_MS = int(NOON.timestamp() * 1000)


def parcels(count: int, *, first: int = 0, spread_ms: int = 1000, partition: int = 0) -> list[Archived]:
    """Records of express-cargo from offset `first` on, so many ms apart in event time."""
    made = []
    for offset in range(first, first + count):
        event = parcel(offset)
        headers = cloud_event(f"ce-{offset}", ce_type_of(type(event)), b"/test", b"2026-03-02T12:00:00.000Z")
        at = NOON_MS + offset * spread_ms
        made.append(Archived("express-cargo", partition, offset, at, event.waybill.encode(), encode(event), headers))
    return made


def example_records(topic: str) -> list[Archived]:
    """The committed examples of a topic as records, each on another day."""
    values = examples(topic, 1).values()
    return [
        Archived(topic, 0, offset, NOON_MS + offset * DAY_MS, b"key", value, [("ce_id", b"x"), ("odd", b"\xff\x00")])
        for offset, value in enumerate(values)
    ]


def write(
    root: Path, records: Sequence[Archived], key: ArchiveKey | None = None, size: int = 0, macs_from: int = 0
) -> None:
    """Write records of one partition as chunks of `size` (all in one when 0)."""
    make_folder(root)
    reader = RowReader(records[0].topic, Marks(records[0].topic))
    size = size or len(records)
    for start in range(0, len(records), size):
        rows = [reader.read(record) for record in records[start : start + size]]
        first, last = rows[0].record.offset, rows[-1].record.offset
        marks = reader.marks.kept()
        write_chunk(root, records[0].topic, records[0].partition, first, last, rows, marks, key, macs_from)


def read(root: Path, topic: str, partition: int = 0, key: ArchiveKey | None = None) -> list[Archived]:
    """Everything that is archived of a partition."""
    return list(ArchiveReader(Catalogue.of(root), key).records(topic, partition))


@contextlib.contextmanager
def full_disk(most: int) -> Iterator[None]:
    """No file may grow beyond so many bytes: the write that would is cut short, as on a disk that is full."""
    limits, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
