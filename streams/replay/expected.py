"""What is recorded of a step's outputs, by the record that each follows from: an index that lies on disk.

Outputs of one input partition lie in many output partitions. The index holds a hash of each value, not the value, so a
history of any length is compared in bounded memory; DuckDB sorts it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from hashlib import blake2b
from typing import Any, Final, NamedTuple

import duckdb
import pyarrow as pa

from streams.archive.reading import ArchiveReader
from streams.archive.views import view_name
from streams.wire import header

_BATCH: Final = 20_000
_Row = tuple[int, int, bytes, bool, bool]
_ORIGIN: Final = "origin_topic, origin_partition, origin_offset, origin_index"


class Expected(NamedTuple):
    """One recorded output. `versions`: of the books that it was made with; `policy`: of the item's decision. `sent_ms`
    is 0 where its headers and timestamp do not say when it was sent."""

    source_offset: int
    ce_id: str
    digest: bytes
    altered: bool
    partition: int
    offset: int
    sent_ms: int
    policy: str | None
    versions: tuple[int, ...]


def value_digest(value: bytes | None) -> bytes:
    """16 bytes that stand for a value."""
    return blake2b(value or b"", digest_size=16).digest()


class Index:
    """The recorded outputs of screening and filtering."""

    def __init__(self, db: duckdb.DuckDBPyConnection, reader: ArchiveReader, noticed: Callable[[int], None]) -> None:
        self._db = db
        self._reader = reader
        self._noticed = noticed
        db.execute(
            f"CREATE TABLE policies AS SELECT {_ORIGIN}, any_value(policy_version) AS policy_version, "  # noqa: S608 - ours
            "min(stamped_at) AS seen_at "
            f"FROM decisions GROUP BY {_ORIGIN}"
        )
        row = db.execute("SELECT policy_version FROM policies ORDER BY seen_at LIMIT 1").fetchone()
        self.first_policy: str | None = None if row is None else row[0]

    def build(self, topic: str) -> None:
        """Read all recorded outputs of a topic. Raises `ArchiveError`."""
        name = view_name(topic)
        self._db.execute(
            f"CREATE TABLE digests_{name} "
            '(partition INTEGER, "offset" BIGINT, digest BLOB, altered BOOLEAN, again BOOLEAN)'
        )
        for partition in self._reader.catalogue.partitions(topic):
            rows: list[_Row] = []
            for record in self._reader.records(topic, partition):
                again = header(record.headers, "dlq-attempt") is not None
                rows.append((partition, record.offset, value_digest(record.value), record.altered, again))
                if len(rows) >= _BATCH:
                    self._insert(name, rows)
                    rows = []
            self._insert(name, rows)

    def of_screened(self, topic: str, partition: int) -> Iterator[Expected]:
        """Recorded screened items of a partition of lodgements, in its order."""
        return self._rows("screened", "profile_version, risk_information_version", "origin_offset, origin_index",
                          "origin_topic = $topic AND origin_partition = $partition", topic, partition)  # fmt: skip

    def of_filtered(self, partition: int) -> Iterator[Expected]:
        """Recorded filtered items of a partition of screened, in its order."""
        return self._rows("filtered", "criteria_version", "upstream_offset",
                          "$topic = 'screened' AND upstream_partition = $partition", "screened", partition)  # fmt: skip

    def sources_of_screened(self) -> list[tuple[str, int]]:
        """Topics and partitions that recorded screened items say they came from."""
        return self._places("screened", "origin_topic, origin_partition")

    def sources_of_filtered(self) -> list[int]:
        """Partitions of screened that recorded filtered items say they came from."""
        return [partition for (partition,) in self._places("filtered", "upstream_partition")]

    def _places(self, name: str, columns: str) -> list[Any]:
        there = " AND ".join(f"{one} IS NOT NULL" for one in columns.split(", "))
        return self._db.execute(
            f"""
            SELECT DISTINCT {columns} FROM raw_{name} r JOIN digests_{name} h USING (partition, "offset")
            WHERE r.first AND NOT h.again AND {there} ORDER BY ALL
            """,  # noqa: S608 - names of our own
        ).fetchall()

    def sent_again(self, topic: str) -> int:
        """Recorded outputs that a desk sent again, as they stood in a letter: they follow from that, not from an input.

        Where they stood first they are among the others.
        """
        ((count,),) = self._db.execute(f"SELECT count(*) FROM digests_{view_name(topic)} WHERE again").fetchall()  # noqa: S608 - ours
        return int(count)

    def _rows(self, name: str, versions: str, order: str, where: str, topic: str, partition: int) -> Iterator[Expected]:
        at = order.partition(",")[0]
        cursor = self._db.cursor()
        cursor.execute(
            f"""
            SELECT r.{at}, r.ce_id, h.digest, h.altered, r.partition, r."offset",
                   coalesce(epoch_ms(coalesce(r.sent_at, r.stamped_at)), 0), p.policy_version, {versions}
            FROM raw_{name} r JOIN digests_{name} h USING (partition, "offset")
            LEFT JOIN policies p USING ({_ORIGIN})
            WHERE r.first AND NOT h.again AND {where} ORDER BY {order}
            """,  # noqa: S608 - names of our own
            {"topic": topic, "partition": partition},
        )
        while rows := cursor.fetchmany(2048):
            for row in rows:
                source, ce_id, digest, altered, place, offset, sent, policy, *made_with = row
                yield Expected(source, ce_id, digest, altered, place, offset, sent, policy, tuple(made_with))

    def _insert(self, name: str, rows: list[_Row]) -> None:
        if rows:
            batch = pa.table(
                dict(zip(("partition", "offset", "digest", "altered", "again"), zip(*rows, strict=True), strict=True))
            )
            self._db.register("batch", batch)
            self._db.execute(f"INSERT INTO digests_{name} SELECT * FROM batch")  # noqa: S608 - ours
            self._db.unregister("batch")
            self._noticed(len(rows))
