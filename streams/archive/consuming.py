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

import streams.parsing  # noqa: F401 - with it a record that cannot be read is archived all the same
from schemas.registry import dead_letter_topics, declaration, declarations
from streams.archive import metrics
from streams.archive.columns import columns_of
from streams.archive.layout import ArchiveError, Catalogue, remove_remains
from streams.archive.policies import PolicyShelf
from streams.archive.reading import ArchiveReader, last_digest
from streams.archive.redeliveries import Marks
from streams.archive.rows import Row, RowReader, digest
from streams.archive.sealing import ArchiveKey
from streams.archive.writing import digest_secret, write_chunk
from streams.files import make_folder
from streams.settings import Settings

log = structlog.get_logger("borderflow.archive")

Place = tuple[str, int]

MEMORY_BYTES: Final = 128 * 1024 * 1024
"""The most bytes of records that wait to be written, over all partitions."""
_LOOK_FOR_PARTITIONS_S: Final = 60.0
_WITNESS_MS: Final = 10_000
_QUIET_S: Final = 1.0
_FETCHED_S: Final = 5.0
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

    `last` is the digest, and its secret, of the archived record before them; `end` the highest end of the log so far.
    """

    first: int
    reader: RowReader
    last: tuple[bytes, bytes] | None = None
    end: int = 0
    macs_from: int = 0
    rows: list[Row] = field(default_factory=list)
    bytes: int = 0
    since: float = 0.0


def _size(record: Any) -> int:
    """About what a record that waits holds in memory: a lodger may put as much into headers as into the value."""
    said = sum(len(name) + len(value or b"") for name, value in record.headers)
    return len(record.value or b"") + len(record.key or b"") + said + 200


def archived_topics() -> tuple[str, ...]:
    """Every declared topic and its dead letters."""
    return (*declarations(), *dead_letter_topics())


@contextlib.contextmanager
def only_writer(root: Path) -> Iterator[None]:
    """Hold the archive's lock: two writers would write records twice. Raises `ArchiveError` when another holds it."""
    make_folder(root)
    with open(root / ".lock", "a+", encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ArchiveError(f"{root}: another process writes this archive") from None
        lock.truncate(0)
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
        self.caught_up = False

    def run(self, stop: Callable[[], bool], *, once: bool = False, beat: Callable[[], None] | None = None) -> int:
        """Archive until `stop` says so, with `once` until everything that is there now is archived; how many records.

        `beat` is called between polls (compaction, retention). Raises `ArchiveError`, `OSError` or the client's
        `KafkaError`; what was not written then is read again at the next start.
        """
        options = {**self._settings.consumer_options(), "enable_auto_commit": False, "auto_offset_reset": "none"}
        self._witness = KafkaConsumer(
            **options, client_id=f"{self._settings.group}-archive-witness", group_id=None, max_poll_records=1,
            max_partition_fetch_bytes=65_536,
        )  # fmt: skip
        consumer = KafkaConsumer(
            **options,
            client_id=f"{self._settings.group}-archive",
            group_id=f"{self._settings.group}-archive",
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
            reached: float | None = None
            while not stop():
                got = self._take(consumer)
                now = self._clock()
                self._note_progress(consumer)
                if got:
                    quiet_since = now
                self._write_due(consumer, now)
                # The embedded broker's end is that of its last batch's beginning: silence tells the rest, and where it
                # never is quiet so much time that the rest was fetched.
                if once and all(consumer.position(at) >= ends[at] for at in ends):
                    reached = now if reached is None else reached
                    if now - quiet_since > _QUIET_S or now - reached > _FETCHED_S:
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
            self._witness.close(autocommit=False)
        return self.archived

    # -- taking

    def _assign(self, consumer: Any) -> None:
        """Take every partition of the topics that exist, each from the end of its files."""
        reader = ArchiveReader(Catalogue.of(self._root), self._key)
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
            end, begin = reader.catalogue.end(*place), begins[at]
            marks, macs_from = self._take_up(reader, place)
            rows = RowReader(place[0], marks)
            waiting = self._waiting[place] = Waiting(begin if end is None else end, rows, macs_from=macs_from)
            if end is not None:
                waiting.last = last_digest(self._root, reader.catalogue.chunks(*place)[-1], self._key)
            if end is not None and begin > end:
                offsets = f"offsets {end} to {begin - 1} of {place[0]}[{place[1]}]"
                lost = f"{self._root}: {offsets} were deleted from the brokers before they were archived"
                if not self._accept_gaps:
                    raise ArchiveError(f"{lost}; go on without them by --accept-gaps")
                log.error("a gap is accepted", gap=lost)
            self._recognise(place)
            consumer.seek(at, max(begin, waiting.first))
        for place, waiting in self._waiting.items():  # assigning anew forgets where the others stood
            if place not in fresh:
                consumer.seek(
                    TopicPartition(*place), waiting.rows[-1].record.offset + 1 if waiting.rows else waiting.first
                )
        log.info("archiving", partitions=len(self._waiting), folder=str(self._root))

    def _take_up(self, reader: ArchiveReader, place: Place) -> tuple[Marks, int]:
        """The marks where the archive ends, and from which offset on all files have MACs.

        Raises `ArchiveError` for a last file of another key, or an altered one.
        """
        chunks = reader.catalogue.chunks(*place)
        if not chunks:
            return Marks(place[0]), 0
        last = chunks[-1].parts[0]
        facts = reader.facts(last)
        if facts.digests != (self._key.key_id if self._key else ""):
            theirs = f"key {facts.digests}" if facts.digests else "no key"
            raise ArchiveError(
                f"{self._root / last.path}: was written with {theirs}, and BORDERFLOW_ARCHIVE_KEY_FILE "
                f"{f'holds {self._key.key_id}' if self._key else 'is not set'}: set that key, or begin a new folder"
            )
        reader.check(last)
        return Marks(place[0], facts.marks), facts.macs_from if reader.authentic(last) else last.last + 1

    def _take(self, consumer: Any) -> int:
        count = 0
        for at, records in self._poll(consumer, 250).items():
            waiting = self._waiting[at.topic, at.partition]
            if not waiting.rows:
                waiting.since = self._clock()
            for record in records:
                row = waiting.reader.read(record)
                waiting.rows.append(row)
                waiting.bytes += _size(record)
                if at.topic == "decisions":
                    self._note_policy(row)
            count += len(records)
        return count

    def _note_progress(self, consumer: Any) -> None:
        """Note when nothing that the brokers told of is left to read."""
        places = [TopicPartition(*place) for place in self._waiting]
        ends = [(consumer.highwater(at), consumer.position(at)) for at in places]
        if all(end is not None and position >= end for end, position in ends):
            self.caught_up = True
            metrics.caught_up_at.set_to_current_time()

    def _poll(self, consumer: Any, wait_ms: int) -> Any:
        try:
            return consumer.poll(timeout_ms=wait_ms)
        except OffsetOutOfRangeError as error:
            raise ArchiveError(
                f"{self._root}: the brokers do not have the offsets that follow what is archived ({error}): "
                "is this the archive of another cluster, or were records deleted before they were archived?"
            ) from None

    def _recognise(self, place: Place) -> None:
        """Raise `ArchiveError` when a log has become shorter, or does not have the record that was archived last."""
        waiting, at = self._waiting[place], TopicPartition(*place)
        end, offset = self._witness.end_offsets([at])[at], waiting.first - 1
        where = f"{place[0]}[{place[1]}]"
        wrong = f"{where} ends at offset {end}, and it did at {waiting.end}" if end < waiting.end else ""
        waiting.end = max(end, waiting.end)
        if not wrong and waiting.last is not None and self._witness.beginning_offsets([at])[at] <= offset:
            kept, secret = waiting.last
            self._witness.assign([at])
            self._witness.seek(at, offset)
            found = next(iter(self._poll(self._witness, _WITNESS_MS).get(at, ())), None)
            if found is None:  # the last tombstone of a compacted log goes some day
                compacted = place[0] in declarations() and declaration(place[0]).tombstones
                wrong = "" if compacted else f"{where} ends before offset {offset}, up to which it was archived"
            elif (
                found.offset == offset
                and digest(found.timestamp, found.key, found.headers, found.value, secret) != kept
            ):
                wrong = f"the record at offset {offset} of {where} is not the one that was archived"
        if wrong:
            raise ArchiveError(
                f"{self._root}: {wrong}: is this the archive of another cluster, or was the topic made anew? "
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
        self._recognise(place)  # before: none of what waits is of a log that was made anew since
        newest = waiting.rows[-1].record
        last = newest.offset
        marks = waiting.reader.marks.kept()
        write_chunk(self._root, *place, waiting.first, last, waiting.rows, marks, self._key, waiting.macs_from)
        self.archived += len(waiting.rows)
        metrics.archived_records.labels(place[0]).inc(len(waiting.rows))
        secret = digest_secret(self._key)
        waiting.last = digest(newest.timestamp, newest.key, newest.headers, newest.value, secret), secret
        waiting.first, waiting.rows, waiting.bytes = last + 1, [], 0
        if not self._commits:
            return
        try:
            consumer.commit({TopicPartition(*place): OffsetAndMetadata(last + 1, "", -1)})
        except KafkaError as error:  # only what other tools show of the lag
            log.warning("the group's offset was not committed", topic=place[0], partition=place[1], error=str(error))
