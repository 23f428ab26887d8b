"""Writes chunks: one file for each date, under a temporary name, synced, then renamed. A chunk is whole when all are.

What a chunk is stands in its name and again, with more, in the metadata of its files (`borderflow.chunk`). Where the
archive has a key, a MAC over the whole file stands beside it (`borderflow.mac`): over pages, statistics and metadata as
they are written, with zeros in place of the MAC itself.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from streams.archive.columns import schema_of
from streams.archive.envelope import EARLIEST_MS, ENVELOPE, LATEST_MS, TIME
from streams.archive.layout import TEMPORARY, Part
from streams.archive.rows import Row, digest, holds_personal_data
from streams.archive.sealing import UNPROTECTED, ArchiveKey, Seal
from streams.files import closed_to_others, make_folder, sync_folder
from streams.wire import said_ms, text_header

METADATA: Final = b"borderflow.chunk"
MAC: Final = b"borderflow.mac"
FORMAT: Final = 2
"""Of a file with a MAC. One without has format 1: it is from an earlier version, or its archive has no key."""
ROW_GROUP: Final = 16_384
_DIGESTS: Final = "digests"
_NO_MAC: Final = b"blake2b:" + b"0" * 64


class ChunkFacts(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the metadata of a file says of its chunk and of itself.

    `missing` are offsets of the chunk that Kafka had no record at (compaction, transaction markers). `marks` are the
    highest upstream of each partition at the chunk's end. `records` is how many this part has;
    `taken_out` how many retention took out of it, `expired` when it last did (RFC 3339), `final` the digest of the
    chunk's last record where that was among them. `digests` is the id of the key that digests and the MAC are made
    with, empty for none. `macs_from` is the offset from which on all files of the partition have a MAC.
    """

    format: int = 1
    topic: str
    partition: int
    first: int
    last: int
    part: int
    of: int
    date: str
    records: int
    missing: tuple[tuple[int, int], ...] = ()
    marks: dict[str, list[int]] = {}
    sealed: Any = UNPROTECTED
    digests: str = ""
    macs_from: int = 0
    taken_out: int = 0
    expired: str = ""
    final: str = ""


def date_of(timestamp_ms: int) -> str:
    """The UTC date of a record's timestamp; the year 9999 for what is beyond it, 1970 for what is before."""
    return datetime.fromtimestamp(min(max(timestamp_ms, 0), LATEST_MS) // 1000, UTC).date().isoformat()


def missing_offsets(first: int, last: int, offsets: Iterable[int]) -> tuple[tuple[int, int], ...]:
    """Runs of offsets from `first` to `last` that are not among `offsets` (ascending)."""
    missing, expected = [], first
    for offset in offsets:
        if offset > expected:
            missing.append((expected, offset - 1))
        expected = offset + 1
    if expected <= last:
        missing.append((expected, last))
    return tuple(missing)


def write_chunk(
    root: Path,
    topic: str,
    partition: int,
    first: int,
    last: int,
    rows: Sequence[Row],
    marks: dict[str, list[int]],
    key: ArchiveKey | None,
    macs_from: int = 0,
) -> list[Part]:
    """Write the rows of offsets `first` to `last`, all that there are, in order. Returns its parts.

    With a key all files of the partition from offset `macs_from` on have MACs.

    A chunk without any row is one empty part. Raises `OSError` (a full disk, say) with nothing left half-written
    that a reader would take for a chunk.
    """
    by_date: dict[str, list[Row]] = {}
    for row in rows:
        by_date.setdefault(date_of(row.record.timestamp), []).append(row)
    if not by_date:
        by_date[date_of(0)] = []
    missing = missing_offsets(first, last, (row.record.offset for row in rows))
    parts = []
    for number, date in enumerate(sorted(by_date), 1):
        part = Part(topic, partition, first, last, number, len(by_date), date)
        seal = Seal.fresh(key, topic, partition) if key is not None and holds_personal_data(topic) else None
        facts = ChunkFacts(
            topic=topic, partition=partition, first=first, last=last, part=number, of=len(by_date), date=date,
            records=len(by_date[date]), missing=missing, marks=marks, sealed=UNPROTECTED if seal is None else seal.said,
            digests="" if key is None else key.key_id, macs_from=macs_from,
        )  # fmt: skip
        write_part(root, part, table_of(topic, by_date[date], seal, digest_secret(key)), facts, key)
        parts.append(part)
    return parts


def digest_secret(key: ArchiveKey | None) -> bytes:
    """What digests are keyed with: nothing without a key, and then they only tell of accidents."""
    return b"" if key is None else key.derive(b"", _DIGESTS)


def table_of(topic: str, rows: Sequence[Row], seal: Seal | None, secret: bytes) -> pa.Table:
    """The rows as an Arrow table, values sealed where there is a seal.

    A row of which a column cannot hold what its event says, a number of thirty digits say, is archived as unreadable:
    one record must not stop all others.
    """
    schema = schema_of(topic)
    fields = list(schema)[len(ENVELOPE) :]
    try:
        columns = _columns(rows, fields)
    except (OverflowError, pa.ArrowException):
        rows = [row if _fits(row, fields) else _unreadable(row) for row in rows]
        columns = _columns(rows, fields)
    envelope: dict[str, list[Any]] = {name: [] for name, _, _ in ENVELOPE}
    for row in rows:
        record = row.record
        value = record.value
        headers = [(name, said) for name, said in record.headers]
        envelope["partition"].append(record.partition)
        envelope["offset"].append(record.offset)
        envelope["stamped_at"].append(record.timestamp)
        envelope["timestamp_ms"].append(None if EARLIEST_MS <= record.timestamp <= LATEST_MS else record.timestamp)
        envelope["key"].append(record.key)
        envelope["headers"].append([{"name": name, "value": said} for name, said in headers])
        envelope["ce_id"].append(text_header(record, "ce_id"))
        envelope["ce_type"].append(text_header(record, "ce_type"))
        envelope["sent_at"].append(said_ms(record))
        envelope["first"].append(row.first)
        envelope["unreadable"].append(row.unreadable)
        envelope["value"].append(None if seal is not None else value)
        envelope["sealed"].append(None if seal is None or value is None else seal.close(record.offset, value))
        envelope["digest"].append(digest(record.timestamp, record.key, headers, value, secret))
    arrays = [pa.array(envelope[name], kind) for name, kind, _ in ENVELOPE] + columns
    return pa.Table.from_arrays([_readable(array) for array in arrays], schema=schema)


def _columns(rows: Sequence[Row], fields: Sequence[pa.Field]) -> list[pa.Array]:
    """The columns beside the envelope's."""
    return [pa.array([row.values[place] for row in rows], field.type) for place, field in enumerate(fields)]


def _fits(row: Row, fields: Sequence[pa.Field]) -> bool:
    try:
        _columns([row], fields)
    except (OverflowError, pa.ArrowException):
        return False
    return True


def _unreadable(row: Row) -> Row:
    return Row(row.record, row.first, "out-of-bounds", [None] * len(row.values))


def _readable(array: pa.Array) -> pa.Array:
    """Empty in place of times that readers refuse. Nothing is lost: `timestamp_ms`, headers and the value have them."""
    if array.type != TIME:
        return array
    at = array.cast(pa.int64())
    readable = pc.and_(pc.greater_equal(at, EARLIEST_MS), pc.less_equal(at, LATEST_MS))
    return pc.if_else(readable, array, pa.scalar(None, TIME))


def write_part(root: Path, part: Part, table: pa.Table, facts: ChunkFacts, key: ArchiveKey | None = None) -> None:
    """Write one file, with its MAC if a key is given, so that it is either there as a whole or not at all.

    Raises `OSError`.
    """
    target = root / part.path
    make_folder(target.parent)
    temporary = target.with_name(target.name + TEMPORARY)
    facts = msgspec.structs.replace(facts, format=1 if key is None else FORMAT)
    table = table.replace_schema_metadata({METADATA: msgspec.json.encode(facts)})
    try:
        with open(temporary, "w+b", opener=closed_to_others) as file:
            with pq.ParquetWriter(
                file,
                table.schema,
                compression="zstd",
                write_page_checksum=True,
                # Random bytes and ids that never repeat: a dictionary of them is only in the way.
                use_dictionary=[
                    field.name
                    for field in table.schema
                    if field.name not in ("value", "sealed", "digest", "ce_id", "headers", "offset", "key")
                    and not pa.types.is_nested(field.type)
                ],
            ) as writer:
                writer.write_table(table, row_group_size=ROW_GROUP)
                if key is not None:
                    writer.add_key_value_metadata({MAC: _NO_MAC})
            if key is not None:
                file.seek(0)
                data = file.read()
                file.seek(data.rindex(_NO_MAC))
                file.write(mac_of(data, key))
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno and error.filename is None:
            error.filename = str(target)
        raise
    sync_folder(target.parent)


def mac_of(data: bytes, key: ArchiveKey, said: bytes = _NO_MAC) -> bytes:
    """The MAC over the bytes of a file, in which `said` stands where the MAC does."""
    before, after = memoryview(data)[: data.rfind(said)], memoryview(data)[data.rfind(said) + len(said) :]
    made = blake2b(before, digest_size=32, key=key.file_secret)
    made.update(_NO_MAC)
    made.update(after)
    return b"blake2b:" + made.hexdigest().encode()
