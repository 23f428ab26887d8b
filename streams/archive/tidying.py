"""Keeps an archive in good order: small chunks become large ones, and what is too old is taken out.

Both can be killed at any moment. A compacted chunk counts from the moment that its last part is there, and from then
on the small ones within its run do not; they are removed in the next round, so that a query that has just listed the
files may finish. Retention replaces a file by an empty one of the same name that says so: the run of offsets stays
whole, and it stays known that there was something.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import msgspec
import pyarrow as pa

from streams.archive.columns import schema_of
from streams.archive.layout import ArchiveError, Catalogue, Chunk, Part
from streams.archive.reading import ArchiveReader, check_part, chunk_facts, is_authentic, last_digest, opened
from streams.archive.rows import holds_personal_data, kept_for_ever
from streams.archive.sealing import UNPROTECTED, ArchiveKey, Seal
from streams.archive.writing import ChunkFacts, date_of, write_part

TARGET_BYTES: Final = 64 * 1024 * 1024
"""Files are put together until they come to this, compressed."""
TARGET_RECORDS: Final = 500_000
_FEWEST: Final = 4
"""So many small chunks in a row, at least, are worth writing anew."""


def remove_superseded(root: Path, key: ArchiveKey | None = None) -> int:
    """Remove files whose records were compacted into others in an earlier round; how many.

    The others are read first. Raises `ArchiveError` that names one which cannot be read, was altered, or lacks records.
    """
    catalogue = Catalogue.of(root)
    superseded = catalogue.superseded
    replacing = {
        chunk for part in superseded for chunk in catalogue.chunks(part.topic, part.partition) if _within(part, chunk)
    }
    for chunk in sorted(replacing):
        _check_compacted(root, chunk, [one for one in superseded if _within(one, chunk)], key)
    for part in superseded:
        (root / part.path).unlink(missing_ok=True)
    return len(superseded)


def compact(root: Path, key: ArchiveKey | None, *, fewest: int = _FEWEST) -> int:
    """Put runs of small chunks together, after removing what the last round left; how many chunks became fewer.

    Raises `ArchiveError` for a file that cannot be read, and when records are sealed with a key that is not at hand.
    """
    remove_superseded(root, key)
    catalogue, compacted = Catalogue.of(root), 0
    for topic, partition in catalogue.places:
        for run in list(_runs(catalogue, topic, partition)):
            if len(run) >= fewest and _put_together(root, run, key):
                compacted += len(run)
    return compacted


def retire(root: Path, days: Mapping[str, int], now: datetime | None = None, *, key: ArchiveKey | None = None) -> int:
    """Take out the records of files whose date is more than so many days before `now`, by topic; how many files.

    Raises `ArchiveError` for a file that was altered, and for one with a MAC of which the key is not at hand.
    """
    today, retired = now or datetime.now(UTC), 0
    catalogue = Catalogue.of(root)
    for topic, partition in catalogue.places:
        if topic not in days:
            continue
        oldest = (today - timedelta(days=days[topic])).date().isoformat()
        for chunk in catalogue.chunks(topic, partition):
            for part in chunk.parts:
                if part.date < oldest:
                    facts = chunk_facts(root / part.path, part)
                    if facts.records:
                        by = _writing_key(root, part, facts, key)
                        final = last_digest(root, Chunk(topic, partition, chunk.first, chunk.last, (part,)), key)
                        said = msgspec.structs.replace(
                            facts,
                            records=0,
                            taken_out=facts.taken_out + facts.records,
                            expired=today.isoformat(timespec="seconds"),
                            final="" if final is None else final[0].hex(),
                        )
                        write_part(root, part, schema_of(topic).empty_table(), said, by)
                        retired += 1
    return retired


def keep_days(topics: tuple[str, ...], every: int, personal: int) -> dict[str, int]:
    """Days by topic from the two figures people give, 0 for no end: for all, and for records about persons.

    Logs that are kept for ever have no end whatever is given.
    """
    days = {}
    for topic in topics:
        if kept_for_ever(topic):
            continue
        given = [one for one in (every, personal if holds_personal_data(topic) else 0) if one]
        if given:
            days[topic] = min(given)
    return days


def _runs(catalogue: Catalogue, topic: str, partition: int) -> Iterator[list[Chunk]]:
    run: list[Chunk] = []
    size = records = 0
    for chunk in catalogue.chunks(topic, partition):
        paths = [catalogue.root / part.path for part in chunk.parts]
        bytes_here = sum(path.stat().st_size for path in paths)
        records_here = chunk.last - chunk.first + 1
        follows = not run or chunk.first == run[-1].last + 1
        fits = size + bytes_here <= TARGET_BYTES and records + records_here <= TARGET_RECORDS
        if run and not (follows and fits):
            yield run
            run, size, records = [], 0, 0
        run.append(chunk)
        size += bytes_here
        records += records_here
    if run:
        yield run


def _writing_key(root: Path, part: Part, facts: ChunkFacts, key: ArchiveKey | None) -> ArchiveKey | None:
    """What a file is written anew with: the key if it has a MAC, None if it has none and nobody can vouch for it."""
    if facts.format < 2:
        return None
    if not is_authentic(root, part, key):
        raise ArchiveError(
            f"{root / part.path}: has a MAC by key {facts.digests}; BORDERFLOW_ARCHIVE_KEY_FILE must hold it"
        )
    return key


def _put_together(root: Path, run: list[Chunk], key: ArchiveKey | None) -> bool:
    """Compact a run; False when its files are not of one kind: of one key, with MACs or all without, and none of them
    with columns of a later version, which would be lost."""
    first, last = run[0].first, run[-1].last
    topic, partition = run[0].topic, run[0].partition
    by_date: dict[str, list[Part]] = {}
    for chunk in run:
        for part in chunk.parts:
            by_date.setdefault(part.date, []).append(part)
    if len(by_date) > 1:
        by_date = {date: parts for date, parts in by_date.items() if date != date_of(0) or _any_records(root, parts)}
    facts_of = {part: chunk_facts(root / part.path, part) for chunk in run for part in chunk.parts}
    if len({(one.digests, one.format) for one in facts_of.values()}) > 1 or _any_later_columns(root, topic, facts_of):
        return False
    facts = [facts_of[chunk.parts[0]] for chunk in run]
    missing = tuple(gap for one in facts for gap in one.missing)
    for number, date in enumerate(sorted(by_date), 1):
        said = [facts_of[part] for part in by_date[date]]
        sealed = any(one.sealed != UNPROTECTED for one in said)
        if sealed and key is None:
            raise ArchiveError(
                f"{root / by_date[date][0].path}: sealed; BORDERFLOW_ARCHIVE_KEY_FILE is needed to compact"
            )
        seal = Seal.fresh(key, topic, partition) if key is not None and sealed else None
        tables = [
            _resealed(root / part.path, part, one, key, seal) for part, one in zip(by_date[date], said, strict=True)
        ]
        by = {_writing_key(root, part, one, key) for part, one in zip(by_date[date], said, strict=True)}
        table = pa.concat_tables(tables)
        part = Part(topic, partition, first, last, number, len(by_date), date)
        expired = max((one.expired for one in said), default="")
        made = ChunkFacts(
            topic=topic, partition=partition, first=first, last=last, part=number, of=len(by_date), date=date,
            records=table.num_rows, taken_out=sum(one.taken_out for one in said), missing=missing,
            marks=facts[-1].marks, sealed=UNPROTECTED if seal is None else seal.said, digests=facts[0].digests,
            macs_from=min(one.macs_from for one in said), expired=expired,
            final=next((one.final for one in said if one.last == last), ""),
        )  # fmt: skip
        write_part(root, part, table, made, by.pop())
    return True


def _check_compacted(root: Path, chunk: Chunk, replaced: list[Part], key: ArchiveKey | None) -> None:
    try:
        facts = [check_part(root, part) for part in chunk.parts]
        authentic = all(is_authentic(root, part, key) for part in chunk.parts)
        if key is not None and not authentic and any(is_authentic(root, part, key) for part in replaced):
            raise ArchiveError(f"{root / chunk.parts[0].path}: has no MAC, and what it was compacted from has")
    except ArchiveError as error:
        raise ArchiveError(f"{error}; what it was compacted from is kept: remove it, and that counts again") from None
    held = sum(one.records + one.taken_out for one in facts)
    missing = sum(last - first + 1 for first, last in facts[0].missing)
    if held + missing != chunk.last - chunk.first + 1:
        raise ArchiveError(
            f"{root / chunk.parts[0].path}: {held} records are in the files of offsets {chunk.first} to {chunk.last}, "
            f"and {missing} are known to be missing; what it was compacted from is kept"
        )


def _within(part: Part, chunk: Chunk) -> bool:
    return (part.topic, part.partition) == (chunk.topic, chunk.partition) and chunk.first <= part.first <= chunk.last


def _any_later_columns(root: Path, topic: str, parts: Iterable[Part]) -> bool:
    known = set(schema_of(topic).names)
    for part in parts:
        with opened(root / part.path) as file:
            if not known.issuperset(file.schema_arrow.names):
                return True
    return False


def _any_records(root: Path, parts: list[Part]) -> bool:
    said = [chunk_facts(root / part.path, part) for part in parts]
    return any(one.records or one.taken_out for one in said)


def _resealed(path: Path, part: Part, said: ChunkFacts, key: ArchiveKey | None, seal: Seal | None) -> pa.Table:
    """The rows of a file, as this version's columns, under the seal of the file to come."""
    with opened(path) as file:
        table: pa.Table = file.read().replace_schema_metadata(None)
    schema = schema_of(part.topic)
    columns = [
        table.column(field.name).cast(field.type) if field.name in table.column_names
        else pa.nulls(table.num_rows, field.type)
        for field in schema
    ]  # fmt: skip
    table = pa.Table.from_arrays(columns, schema=schema)
    if seal is None:
        return table
    old = Seal.of_file(said.sealed, key, part.topic, part.partition, path)
    offsets = table.column("offset").to_pylist()
    values = table.column("value" if old is None else "sealed").to_pylist()
    try:
        sealed = [
            None if value is None else seal.close(offset, value if old is None else old.open(offset, value))
            for offset, value in zip(offsets, values, strict=True)
        ]
    except ArchiveError as error:
        raise ArchiveError(f"{path}: {error}") from None
    place = schema.get_field_index("sealed")
    table = table.set_column(place, schema.field("sealed"), pa.array(sealed, pa.binary()))
    clear = schema.get_field_index("value")
    return table.set_column(clear, schema.field("value"), pa.nulls(table.num_rows, pa.binary()))


def damaged(reader: ArchiveReader, topics: Container[str] | None = None) -> dict[Part, str]:
    """What is wrong with each file (of these topics) that counts and cannot be read to its end, or holds other than it
    says.

    Where the reader has the key also with each that is not as it was written, or lacks a MAC where it should have one.
    Reading takes long: files that count no more when it is done (they were compacted meanwhile) are left out.
    """
    found: dict[Part, str] = {}
    catalogue = reader.catalogue
    for place in catalogue.places:
        for chunk in catalogue.whole(*place) if topics is None or place[0] in topics else ():
            for part in chunk.parts:
                try:
                    check_part(catalogue.root, part)
                    reader.check(part)
                except ArchiveError as error:
                    found[part] = str(error)
    if not found:
        return {}
    now = Catalogue.of(catalogue.root)
    counting = {part for place in now.places for chunk in now.whole(*place) for part in chunk.parts}
    return {part: said for part, said in found.items() if part in counting}


def summary(catalogue: Catalogue, without: Container[Part] = ()) -> list[dict[str, object]]:
    """One row by topic: partitions, records, files, bytes, dates, protection. For `borderflow archive status`.

    `without` are files that are not to be read. Raises `ArchiveError` for another that cannot be.
    """
    root = catalogue.root
    rows: list[dict[str, object]] = []
    for topic in sorted({name for name, _ in catalogue.places}):
        parts = [
            part
            for partition in catalogue.partitions(topic)
            for chunk in catalogue.whole(topic, partition)
            for part in chunk.parts
            if part not in without
        ]
        facts = [chunk_facts(root / part.path, part) for part in parts]
        sealed = {one.sealed != UNPROTECTED for one in facts}
        protection = "none needed"
        if holds_personal_data(topic):
            protection = "sealed" if sealed <= {True} else "UNPROTECTED" if sealed == {False} else "partly UNPROTECTED"
        rows.append({
            "topic": topic,
            "partitions": len(catalogue.partitions(topic)),
            "records": sum(one.records for one in facts),
            "expired": sum(one.taken_out for one in facts),
            "missing": sum(last - first + 1 for one in facts if one.part == 1 for first, last in one.missing),
            "files": len(parts),
            "bytes": sum((root / part.path).stat().st_size for part in parts),
            "from": min((part.date for part in parts), default=""),
            "to": max((part.date for part in parts), default=""),
            "persons": protection,
            "without_mac": sum(one.format < 2 for one in facts),
        })  # fmt: skip
    return rows
