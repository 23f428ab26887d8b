"""Reads archived records back: the exact bytes, in the order of offsets, with a clear word on what cannot be read."""

from __future__ import annotations

import heapq
import hmac
import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from operator import attrgetter
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from agents.epoch import EPOCH
from streams.archive.layout import ArchiveError, Catalogue, Chunk, Part
from streams.archive.rows import Archived, digest, kept_for_ever
from streams.archive.sealing import ArchiveKey, Seal
from streams.archive.writing import FORMAT, MAC, METADATA, ChunkFacts, digest_secret, mac_of

_COLUMNS = ("offset", "stamped_at", "timestamp_ms", "key", "headers", "first", "value", "sealed", "digest")
_BATCH = 2048


@dataclass(frozen=True)
class ArchiveReader:
    """Reads one archive as its catalogue stands. With its key, each file is read only as it was written."""

    catalogue: Catalogue
    key: ArchiveKey | None = None
    _facts: dict[Part, ChunkFacts] = field(default_factory=dict, compare=False, repr=False)
    _authentic: dict[Part, bool] = field(default_factory=dict, compare=False, repr=False)
    _macs_from: dict[tuple[str, int], float] = field(default_factory=dict, compare=False, repr=False)

    def records(
        self,
        topic: str,
        partition: int,
        start: int = 0,
        upto: int | None = None,
        before: str | None = None,
        *,
        gaps: bool = False,
        columns: bool = False,
    ) -> Iterator[Archived]:
        """The records of a partition from offset `start` on, below `upto`, redelivered ones among them.

        Chunks of which all records bear a date after `before` are passed over, and so are gaps with `gaps`. With
        `columns` records of files without a MAC have what stands in their columns.

        Raises `ArchiveError` that names the file and the place: for a gap between files, a file that was cut or
        altered, one of a later format, one without a MAC that had one, a seal that does not open, and records
        that retention took out of a log that is kept for ever: what is folded from the rest would be wrong and look
        right.
        """
        reached: int | None = None
        for chunk in self.catalogue.chunks(topic, partition):
            if chunk.last < start:
                reached = start  # the archive began before it: what does not lie behind this chunk is missing
                continue
            missing = not gaps and reached is not None and reached < chunk.first
            if upto is not None and chunk.first >= upto and not (missing and reached is not None and reached < upto):
                break
            if before is not None and all(part.date > before for part in chunk.parts):
                reached = reached if missing else chunk.last + 1
                continue
            if missing:
                raise ArchiveError(
                    f"{self.catalogue.root / chunk.parts[0].path}: "
                    f"offsets {reached} to {chunk.first - 1} of {topic}[{partition}] are missing before it"
                )
            reached = chunk.last + 1
            for part in chunk.parts:
                self.check(part)
            for record in self._of_chunk(chunk, columns):
                if record.offset >= start and (upto is None or record.offset < upto):
                    yield record

    def facts(self, part: Part) -> ChunkFacts:
        """What the metadata of a file says; it is read once. Raises `ArchiveError`."""
        if part not in self._facts:
            self._facts[part] = chunk_facts(self.catalogue.root / part.path, part)
        return self._facts[part]

    def without_mac(self, since_ms: int = 0) -> list[Part]:
        """The files that were read with the key and have no MAC by it, of those whose date is not before `since_ms`."""
        since = EPOCH + timedelta(milliseconds=since_ms)
        bare = (part for part, authentic in self._authentic.items() if not authentic)
        return [part for part in bare if datetime.fromisoformat(part.date).replace(tzinfo=UTC) >= since]

    def authentic(self, part: Part) -> bool:
        """Whether a file is as the holder of the key wrote it; see `is_authentic`."""
        if part not in self._authentic:
            self._authentic[part] = is_authentic(self.catalogue.root, part, self.key)
        return self._authentic[part]

    def check(self, part: Part) -> None:
        """Raises `ArchiveError` when a file was altered, is of another key, or has no MAC where all files have one.

        Each file with a MAC says from which offset of its partition on that is so: somebody would have to alter all.
        """
        if self.key is None or self.authentic(part):
            return
        path, said, place = self.catalogue.root / part.path, self.facts(part), (part.topic, part.partition)
        if said.format > 1:
            raise ArchiveError(
                f"{path}: sealed with key {said.digests}; BORDERFLOW_ARCHIVE_KEY_FILE holds {self.key.key_id}"
            )
        if place not in self._macs_from:
            facts = [self.facts(one) for chunk in self.catalogue.whole(*place) for one in chunk.parts]
            self._macs_from[place] = min((one.macs_from for one in facts if one.format > 1), default=math.inf)
        if part.first >= self._macs_from[place]:
            raise ArchiveError(
                f"{path}: has no MAC, and others say that it had one: it was altered, or it is not this archive's "
                "archiver that wrote it"
            )

    def _of_chunk(self, chunk: Chunk, columns: bool) -> Iterator[Archived]:
        """The records of a chunk by offset. A chunk lies in as many files as it has dates, each in order of offsets."""
        streams = [self._of_part(part, columns and not self.authentic(part)) for part in chunk.parts]
        yield from streams[0] if len(streams) == 1 else heapq.merge(*streams, key=attrgetter("offset"))

    def _of_part(self, part: Part, columns: bool) -> Iterator[Archived]:
        path = self.catalogue.root / part.path
        with opened(path) as file:
            yield from self._of_file(file, part, path, columns)

    def _of_file(self, file: pq.ParquetFile, part: Part, path: Path, columns: bool) -> Iterator[Archived]:
        facts = _facts_of(file, part, path)
        if facts.taken_out and kept_for_ever(part.topic):
            raise ArchiveError(
                f"{path}: retention took {facts.taken_out} records out of it, and {part.topic} is folded from its "
                "first record on: what follows from it cannot be told; put the file back from a backup"
            )
        seal = Seal.of_file(facts.sealed, self.key, part.topic, part.partition, path)
        secret = _secret_of(facts, self.key)
        before, found = part.first - 1, 0
        there = [name for name in _COLUMNS if name in file.schema_arrow.names]
        batches = file.iter_batches(_BATCH, columns=None if columns else there)
        while True:
            try:
                batch = next(batches, None)
            except (pa.ArrowException, OSError) as error:
                raise ArchiveError(f"{path}: damaged after offset {before}: {_short(error)}") from None
            if batch is None:
                break
            rows = plain_rows(batch.drop_columns(there)) if columns else itertools.repeat(None)
            for record, row in zip(_records(part, batch.select(there), seal, secret, path), rows, strict=False):
                if not before < record.offset <= part.last:
                    raise ArchiveError(f"{path}: offset {record.offset} after {before} is out of place")
                before = record.offset
                found += 1
                record.columns = row
                yield record
        if found != facts.records:
            raise ArchiveError(f"{path}: holds {found} records and says {facts.records}")


def chunk_facts(path: Path, part: Part) -> ChunkFacts:
    """The metadata of a file, checked against its name. Raises `ArchiveError`."""
    with opened(path) as file:
        return _facts_of(file, part, path)


def is_authentic(root: Path, part: Part, key: ArchiveKey | None) -> bool:
    """Whether a file bears a MAC by this key, and therefore is, to the last byte, as the key's holder wrote it.

    False tells nothing of it: it may be from before there were MACs. Raises `ArchiveError` when the MAC does not fit.
    """
    path = root / part.path
    with opened(path) as file:
        facts, said = _facts_of(file, part, path), file.metadata.metadata.get(MAC)
    if facts.format < 2 or key is None or key.key_id != facts.digests:
        return False
    if said is None or not hmac.compare_digest(mac_of(path.read_bytes(), key, said), said):
        raise ArchiveError(f"{path}: was altered after it was written: its MAC does not fit")
    return True


def check_part(root: Path, part: Part) -> ChunkFacts:
    """Read every page of a file, by its checksums and without any key, and count. Raises `ArchiveError`."""
    path = root / part.path
    found = 0
    with opened(path) as file:
        facts = _facts_of(file, part, path)
        try:
            for batch in file.iter_batches(_BATCH):
                found += batch.num_rows
        except (pa.ArrowException, OSError) as error:
            raise ArchiveError(f"{path}: damaged after {found} records: {_short(error)}") from None
    if found != facts.records:
        raise ArchiveError(f"{path}: holds {found} records and says {facts.records}")
    return facts


def last_digest(root: Path, chunk: Chunk, key: ArchiveKey | None) -> tuple[bytes, bytes] | None:
    """The digest of the record at a chunk's last offset, and the secret that it was made with.

    None where another key made the digest, or an earlier version took the record out. Raises `ArchiveError`.
    """
    for part in chunk.parts:
        path = root / part.path
        with opened(path) as file:
            facts = _facts_of(file, part, path)
            secret = _secret_of(facts, key)
            if secret is None:
                continue
            if facts.final:
                return bytes.fromhex(facts.final), secret
            if not facts.records:
                continue
            try:
                rows = file.read_row_group(file.num_row_groups - 1, columns=["offset", "digest"])
            except (pa.ArrowException, OSError) as error:
                raise ArchiveError(f"{path}: damaged: {_short(error)}") from None
        if rows.column("offset")[-1].as_py() == chunk.last:
            return rows.column("digest")[-1].as_py(), secret
    return None


def said_of_no_mac(root: Path, parts: Sequence[Part]) -> str:
    """What is wrong with files of an archive with a key that have no MAC: the first of them, and how many more."""
    more = f" and {len(parts) - 1} more files" if len(parts) > 1 else ""
    return (
        f"{root / parts[0].path}{more}: no MAC: written without this key, or their MACs were taken off; --macs-since "
        "says from when on there were any"
    )


def _secret_of(facts: ChunkFacts, key: ArchiveKey | None) -> bytes | None:
    """What the digests of a file were made with, None where that key is not at hand."""
    if not facts.digests:
        return b""
    return digest_secret(key) if key is not None and key.key_id == facts.digests else None


def _facts_of(file: pq.ParquetFile, part: Part, path: Path) -> ChunkFacts:
    said = (file.schema_arrow.metadata or {}).get(METADATA)
    if said is None:
        raise ArchiveError(f"{path}: was not written by the archive (no {METADATA.decode()} in its metadata)")
    try:
        facts = msgspec.json.decode(said, type=ChunkFacts)
    except msgspec.DecodeError as error:
        raise ArchiveError(f"{path}: its metadata cannot be read: {error}") from None
    if facts.format > FORMAT:
        raise ArchiveError(f"{path}: has format {facts.format}; this version reads up to {FORMAT}")
    if (facts.topic, facts.partition, facts.first, facts.last, facts.part, facts.of, facts.date) != (
        part.topic, part.partition, part.first, part.last, part.number, part.of, part.date,
    ):  # fmt: skip
        raise ArchiveError(f"{path}: is not what its name says: it holds {facts.topic}[{facts.partition}] "
                           f"offsets {facts.first} to {facts.last}")  # fmt: skip
    return facts


def opened(path: Path) -> pq.ParquetFile:
    """A Parquet file, its pages checked when they are read. Raises `ArchiveError`."""
    try:
        return pq.ParquetFile(path, page_checksum_verification=True)
    except (pa.ArrowException, OSError) as error:
        if not path.exists():
            raise ArchiveError(
                f"{path}: is gone since the archive was looked through: the archiver may have put it together with "
                "others; start again"
            ) from None
        size = path.stat().st_size
        raise ArchiveError(f"{path}: cannot be read as Parquet ({size} bytes): {_short(error)}") from None


def _records(
    part: Part, batch: pa.RecordBatch, seal: Seal | None, secret: bytes | None, path: Path
) -> Iterator[Archived]:
    partition = part.partition
    columns = {name: batch.column(name) for name in batch.schema.names}
    stamped = columns["stamped_at"].cast(pa.int64())
    raw = columns.pop("timestamp_ms", None)  # newer than some files
    columns["stamped_at"] = stamped if raw is None else pc.coalesce(raw, stamped)
    lists: list[list[Any]] = [
        _headers(column) if name == "headers" else column.to_pylist() for name, column in columns.items()
    ]
    for offset, timestamp, key, pairs, first, clear, sealed, kept in zip(*lists, strict=True):
        value = clear
        if sealed is not None:
            if seal is None:
                raise ArchiveError(f"{path}: offset {offset} is sealed and the file says that it is not")
            try:
                value = seal.open(offset, sealed)
            except ArchiveError as error:
                raise ArchiveError(f"{path}: {error}") from None
        altered = secret is not None and digest(timestamp, key, pairs, value, secret) != kept
        yield Archived(part.topic, partition, offset, timestamp, key, value, pairs, first, altered)


def plain_rows(batch: pa.RecordBatch | pa.Table) -> list[dict[str, Any]]:
    """Rows of plain values; times are milliseconds since the epoch."""
    for place, column in enumerate(batch.schema):
        if pa.types.is_timestamp(column.type):
            batch = batch.set_column(place, column.name, batch.column(place).cast(pa.int64()))
    return list(batch.to_pylist())


def _headers(column: Any) -> list[list[tuple[str, bytes | None]]]:
    """Headers as pairs: names and values of the whole batch at once, then cut by record."""
    flat = column.flatten()
    pairs = list(zip(flat.field("name").to_pylist(), flat.field("value").to_pylist(), strict=True))
    ends = column.value_lengths().to_pylist()
    cut, at = [], 0
    for count in ends:
        cut.append(pairs[at : at + (count or 0)])
        at += count or 0
    return cut


def _short(error: BaseException) -> str:
    return " ".join(str(error).split())[:200]
