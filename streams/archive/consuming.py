"""`borderflow archive`: takes every record of every topic and writes it down, once.

What is archived is what the files say, never what the group committed: at start incomplete chunks are removed and each
partition is read on from the end of its files. So a kill at any moment loses nothing and doubles nothing. The group's
offsets are committed after the files are there, so that ordinary tools show how far the archive is behind.

When it cannot go on without loss (no room on the disk, records that were deleted before they were read) it stops and
says so. Nothing is skipped on its own account.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import structlog
from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaError, OffsetOutOfRangeError
from kafka.structs import OffsetAndMetadata

import streams.archive.parsing  # noqa: F401 - with it a record that cannot be parsed is archived all the same
from schemas.registry import dead_letter_topics, declarations
from streams.archive.columns import columns_of
from streams.archive.layout import ArchiveError, Catalogue, remove_remains
from streams.archive.policies import PolicyShelf
from streams.archive.reading import chunk_facts, last_digest
from streams.archive.redeliveries import Marks
from streams.archive.rows import Row, RowReader, digest
from streams.archive.sealing import ArchiveKey
from streams.archive.writing import write_chunk
from streams.settings import Settings

log = structlog.get_logger("borderflow.archive")

Place = tuple[str, int]

MEMORY_BYTES: Final = 128 * 1024 * 1024
"""The most bytes of values that wait to be written, over all partitions."""
_LOOK_FOR_PARTITIONS_S: Final = 60.0
_POLICY: Final = next(place for place, one in enumerate(columns_of("decisions")) if one.name == "policy_version")


@dataclass(frozen=True, kw_only=True)
class Pace:
    """When waiting records are written: at so many of them in a partition, so many bytes, or after so long."""

    records: int = 50_000
    bytes: int = 32 * 1024 * 1024
    seconds: float = 60.0
    free_bytes: int = 256 * 1024 * 1024


@dataclass(slots=True)
class Waiting:
    """Records of one partition that are not in a file yet: rows of all offsets from `first` on.

    `last` is the digest, and its secret, of the archived record before them.
    """

    first: int
    reader: RowReader
    last: tuple[bytes, bytes] | None = None
    rows: list[Row] = field(default_factory=list)
    bytes: int = 0
    since: float = 0.0


def archived_topics() -> tuple[str, ...]:
    """Every declared topic and its dead letters."""
    return (*declarations(), *dead_letter_topics())


@contextlib.contextmanager
def only_writer(root: Path) -> Iterator[None]:
    """Hold the archive's lock: two writers would write records twice. Raises `ArchiveError` when another holds it."""
    root.mkdir(parents=True, exist_ok=True)
    with open(root / ".lock", "w", encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ArchiveError(f"{root}: another process writes this archive") from None
        lock.write(str(os.getpid()))
        lock.flush()
        yield


class Archiver:
    """Archives until told to stop. Use under `only_writer`. Without `commits` the group learns nothing of it."""

    def __init__(
        self,
        settings: Settings,
        root: Path,
        key: ArchiveKey | None,
        *,
        pace: Pace | None = None,
        accept_gaps: bool = False,
        commits: bool = True,
        topics: Sequence[str] = (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._root = root
        self._key = key
        self._pace = pace or Pace()
        self._accept_gaps = accept_gaps
        self._commits = commits
        self._topics = tuple(topics) or archived_topics()
        self._clock = clock
        self._waiting: dict[Place, Waiting] = {}
        self._shelf = PolicyShelf(root)
        self._policies = set(self._shelf.versions())
        self.archived = 0

    def run(self, stop: Callable[[], bool], *, once: bool = False, beat: Callable[[], None] | None = None) -> int:
        """Archive until `stop` says so, with `once` until everything that is there now is archived; how many records.

        `beat` is called between polls (compaction, retention). Raises `ArchiveError`, `OSError` or the client's
        `KafkaError`; what was not written then is read again at the next start.
        """
        consumer = KafkaConsumer(
            **self._settings.consumer_options(),
            client_id=f"{self._settings.group}-archive",
            group_id=f"{self._settings.group}-archive",
            enable_auto_commit=False,
            auto_offset_reset="none",
            max_poll_records=5_000,
            max_partition_fetch_bytes=self._settings.fetch_bytes,
            fetch_max_wait_ms=self._settings.fetch_wait_ms,
        )
        try:
            self._assign(consumer)
            # Only now: the brokers have what follows the whole chunks.
            for path in remove_remains(self._root):
                log.warning("removed what a crash left", file=str(path))
            ends = consumer.end_offsets([TopicPartition(*place) for place in self._waiting]) if once else {}
            quiet_since = looked = self._clock()
            while not stop():
                got = self._take(consumer)
                now = self._clock()
                if got:
                    quiet_since = now
                self._write_due(consumer, now)
                # The embedded broker's end is that of its last batch's beginning: silence tells the rest.
                if once and now - quiet_since > 1.0 and all(consumer.position(at) >= ends[at] for at in ends):
                    break
                if now - looked > _LOOK_FOR_PARTITIONS_S:
                    looked = now
                    self._assign(consumer)
                if beat is not None:
                    beat()
            for place in sorted(self._waiting):
                self._write(consumer, place)
        finally:
            consumer.close(autocommit=False)
        return self.archived

    # -- taking

    def _assign(self, consumer: Any) -> None:
        """Take every partition of the topics that exist, each from the end of its files."""
        catalogue = Catalogue.of(self._root)
        found = [
            (topic, partition)
            for topic in sorted(set(self._topics) & set(consumer.topics()))
            for partition in sorted(consumer.partitions_for_topic(topic) or ())
        ]
        fresh = [place for place in found if place not in self._waiting]
        if not fresh:
            return
        consumer.assign([TopicPartition(*place) for place in (*self._waiting, *fresh)])
        begins = consumer.beginning_offsets([TopicPartition(*place) for place in fresh])
        for place in fresh:
            at = TopicPartition(*place)
            end, begin = catalogue.end(*place), begins[at]
            reader = RowReader(place[0], self._marks(catalogue, place))
            waiting = self._waiting[place] = Waiting(begin if end is None else end, reader)
            if end is not None and begin < end:
                waiting.last = last_digest(self._root, catalogue.chunks(*place)[-1], self._key)
            if end is not None and begin > end:
                offsets = f"offsets {end} to {begin - 1} of {place[0]}[{place[1]}]"
                lost = f"{self._root}: {offsets} were deleted from the brokers before they were archived"
                if not self._accept_gaps:
                    raise ArchiveError(f"{lost}; go on without them by --accept-gaps")
                log.error("a gap is accepted", gap=lost)
            # From the last archived record on, to see that the log is the one it was.
            consumer.seek(at, waiting.first - 1 if waiting.last is not None else max(begin, waiting.first))
        for place, waiting in self._waiting.items():  # assigning anew forgets where the others stood
            if place not in fresh:
                consumer.seek(
                    TopicPartition(*place), waiting.rows[-1].record.offset + 1 if waiting.rows else waiting.first
                )
        log.info("archiving", partitions=len(self._waiting), folder=str(self._root))

    def _marks(self, catalogue: Catalogue, place: Place) -> Marks:
        chunks = catalogue.chunks(*place)
        if not chunks:
            return Marks(place[0])
        last = chunks[-1].parts[0]
        return Marks(place[0], chunk_facts(self._root / last.path, last).marks)

    def _take(self, consumer: Any) -> int:
        try:
            polled = consumer.poll(timeout_ms=250)
        except OffsetOutOfRangeError as error:
            raise ArchiveError(
                f"{self._root}: the brokers do not have the offsets that follow what is archived ({error}): "
                "is this the archive of another cluster, or were records deleted before they were archived?"
            ) from None
        count = 0
        for at, records in polled.items():
            waiting = self._waiting[at.topic, at.partition]
            if not waiting.rows:
                waiting.since = self._clock()
            for record in records:
                if record.offset < waiting.first:
                    self._recognise(record, waiting)
                    continue
                row = waiting.reader.read(record)
                waiting.rows.append(row)
                waiting.bytes += len(record.value or b"") + 200
                if at.topic == "decisions":
                    self._note_policy(row)
            count += len(records)
        return count

    def _recognise(self, record: Any, waiting: Waiting) -> None:
        """Raise `ArchiveError` when a log does not have the record that was archived last."""
        assert waiting.last is not None  # noqa: S101 - else nothing before `first` is asked for
        kept, secret = waiting.last
        if digest(record.timestamp, record.key, record.headers, record.value, secret) != kept:
            raise ArchiveError(
                f"{self._root}: the record at offset {record.offset} of {record.topic}[{record.partition}] is not the "
                "one that was archived: is this the archive of another cluster, or was the topic made anew? "
                "Then begin a new folder"
            )

    def _note_policy(self, row: Row) -> None:
        version = row.values[_POLICY]
        if version is not None and version not in self._policies:
            self._policies.add(version)
            log.error(
                "decisions were made by a policy that is not kept with the archive: they cannot be recomputed "
                "without it; add it with `borderflow archive keep-policy FILE`",
                policy_version=version,
            )

    # -- writing

    def _write_due(self, consumer: Any, now: float) -> None:
        pace = self._pace
        for place, one in self._waiting.items():
            if one.rows and (
                len(one.rows) >= pace.records or one.bytes >= pace.bytes or now - one.since >= pace.seconds
            ):
                self._write(consumer, place)
        while sum(one.bytes for one in self._waiting.values()) > MEMORY_BYTES:
            self._write(consumer, max(self._waiting, key=lambda place: self._waiting[place].bytes))

    def _write(self, consumer: Any, place: Place) -> None:
        waiting = self._waiting[place]
        if not waiting.rows:
            return
        free = shutil.disk_usage(self._root).free
        if free < self._pace.free_bytes + waiting.bytes:
            raise ArchiveError(
                f"{self._root}: only {free // 1_048_576} MiB are free; {place[0]}[{place[1]}] is archived up to offset "
                f"{waiting.first - 1} and goes on from there when there is room"
            )
        last = waiting.rows[-1].record.offset
        write_chunk(self._root, *place, waiting.first, last, waiting.rows, waiting.reader.marks.kept(), self._key)
        self.archived += len(waiting.rows)
        waiting.first, waiting.rows, waiting.bytes = last + 1, [], 0
        if not self._commits:
            return
        try:
            consumer.commit({TopicPartition(*place): OffsetAndMetadata(last + 1, "", -1)})
        except KafkaError as error:  # only what other tools show of the lag
            log.warning("the group's offset was not committed", topic=place[0], partition=place[1], error=str(error))
