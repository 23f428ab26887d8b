"""`borderflow audit verify`: first that a chain is whole, then that the records are those that it was made of.

Records are read again from the brokers or from the archive. What may rightly be gone from either is counted and said,
never passed over in silence: retention by age, compaction by key, records that the archive has not taken yet.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from schemas.registry import declaration, declarations
from streams.archive.layout import ArchiveError
from streams.archive.reading import ArchiveReader
from streams.archive.writing import date_of
from streams.audit.book import Chain, Head
from streams.audit.chain import Entry, beginning, linked
from streams.audit.comparing import Absence, Comparison, Finding, Tally
from streams.producing import UnknownTopicError
from streams.rebuild import LogReader

_DAY_MS: Final = 86_400_000


@dataclass(slots=True)
class Checked:
    """What was found in one partition. `finding` None: it is as it was sealed, as far as records are there."""

    topic: str
    partition: int
    entries: int
    head: str
    finding: Finding | None
    tally: Tally = field(default_factory=Tally)

    def as_json(self) -> dict[str, Any]:
        """For `--json`."""
        finding, tally = self.finding, self.tally
        return {
            "topic": self.topic, "partition": self.partition, "entries": self.entries, "head": self.head,
            "compared": tally.compared, "expired": tally.expired, "compacted": tally.compacted,
            "not_archived_yet": tally.waiting, "not_sealed_yet": tally.unsealed, "before_the_chain": tally.before,
            "never_there": tally.holes,
            "finding": None if finding is None
            else {"what": finding.what, "offset": finding.offset, "detail": finding.detail},
        }  # fmt: skip


def check_chain(chain: Chain, held: Sequence[Head] = ()) -> Checked:
    """Fold a chain's entries and compare them with its sealed heads, and with heads of it that were held elsewhere."""
    done = Checked(chain.topic, chain.partition, len(chain), "", None)
    if not chain.path.exists():
        done.finding = Finding("chain altered", 0, f"{chain.path}: its chain is gone, and its heads are there")
        return done
    wanted: dict[int, list[tuple[Head, bool]]] = {}
    for head in chain.heads():
        wanted.setdefault(head.entries, []).append((head, False))
    for head in held:
        if (head.topic, head.partition) == (chain.topic, chain.partition):
            wanted.setdefault(head.entries, []).append((head, True))
    folded, before, agreed = beginning(chain.topic, chain.partition), -1, 0
    for number, packed in enumerate(chain.packed(), 1):
        offset = int.from_bytes(packed[:8], "big")
        if offset <= before:
            done.finding = Finding("chain altered", offset, f"{chain.path}: entry {number} follows offset {before}")
            return done
        folded, before = linked(folded, packed), offset
        for head, elsewhere in wanted.pop(number, ()):
            if head.head != folded.hex() or head.offset != offset:
                whose = "head held elsewhere" if elsewhere else "head sealed"
                said = f"{chain.path}: entries {agreed + 1} to {number} do not fit the {whose} of {head.at}"
                done.finding = Finding("head differs" if elsewhere else "chain altered", offset, said)
                return done
            agreed = number
    if wanted:
        said = f"holds {done.entries} entries, and there is a head over {max(wanted)}: it was cut"
        done.finding = Finding("chain altered", before + 1, f"{chain.path}: {said}")
        return done
    done.head = folded.hex()
    return done


async def check_records(chain: Chain, done: Checked, reader: LogReader, now_ms: int) -> None:
    """Compare a whole chain with the records on the brokers."""
    try:
        begin = await reader.begin(chain.topic, chain.partition)
    except UnknownTopicError:
        done.finding = Finding("dropped", 0, "the topic is not there")
        return
    comparison = Comparison(chain.entries, _on_brokers(chain, begin, now_ms))
    done.tally = comparison.tally
    start = next((one.offset for one in chain.entries()), 0)
    async for records in reader.read(chain.topic, chain.partition, max(start, begin)):
        if not all(comparison.take(one) for one in records):
            break
    done.finding = comparison.finish()


def check_archive(chain: Chain, done: Checked, reader: ArchiveReader, now_ms: int, lag_ms: int) -> None:
    """Compare a whole chain with the records in the archive; one sealed longer than `lag_ms` ago must be there."""
    start = next((one.offset for one in chain.entries()), 0)
    try:
        comparison = Comparison(chain.entries, _in_archive(chain, reader, now_ms - lag_ms))
        done.tally = comparison.tally
        for record in reader.records(chain.topic, chain.partition, start):
            if not comparison.take(record):
                break
        done.finding = comparison.finish()
    except ArchiveError as error:
        done.finding = Finding("unreadable", None, str(error))


def _on_brokers(chain: Chain, begin: int, now_ms: int) -> Callable[[Entry], Absence]:
    declared = declarations().get(chain.topic)
    compacted = _compacted(chain)

    def excuse(entry: Entry) -> Absence:
        if compacted(entry):
            return Absence("compacted")
        if entry.offset >= begin:
            return Absence(None)
        keeps = declared.retention_ms if declared is not None else 0
        if keeps < 0:
            return Absence(None, f"the topic begins at offset {begin}, and its records are kept for ever")
        if now_ms - entry.timestamp < keeps:
            return Absence(
                None, f"the topic begins at offset {begin}, and its records are kept {keeps // _DAY_MS} days"
            )
        return Absence("expired")

    return excuse


def _in_archive(chain: Chain, reader: ArchiveReader, sealed_before_ms: int) -> Callable[[Entry], Absence]:
    compacted = _compacted(chain)
    chunks = reader.catalogue.chunks(chain.topic, chain.partition)
    begin, end = (chunks[0].first, chunks[-1].last + 1) if chunks else (0, 0)
    long_ago = _sealed_by(chain, sealed_before_ms)
    retired: dict[tuple[int, str], bool] = {}

    def excuse(entry: Entry) -> Absence:
        if entry.offset >= end:
            if entry.offset > long_ago:
                return Absence("waiting")
            return Absence(None, f"the archive ends at offset {end - 1}, and this one was sealed long before")
        if entry.offset < begin:
            return Absence(None, f"the archive begins at offset {begin}")
        if compacted(entry):
            return Absence("compacted")
        chunk = next(one for one in chunks if one.first <= entry.offset <= one.last)
        date = date_of(entry.timestamp)
        if (chunk.first, date) not in retired:
            parts = [part for part in chunk.parts if part.date == date]
            retired[chunk.first, date] = any(reader.facts(part).taken_out for part in parts)
        return Absence("expired") if retired[chunk.first, date] else Absence(None)

    return excuse


def _sealed_by(chain: Chain, moment_ms: int) -> int:
    """The last offset of the last head that was sealed before a moment; -1 for none."""
    old = [head.offset for head in chain.heads() if datetime.fromisoformat(head.at).timestamp() * 1000 < moment_ms]
    return max(old, default=-1)


def _compacted(chain: Chain) -> Callable[[Entry], bool]:
    """Whether compaction may have taken a record: a later one has its key, or it ended its key.

    A record that somebody deleted by hand before its key was published again looks the same.
    """
    if chain.topic not in declarations() or declaration(chain.topic).cleanup_policy != "compact":
        return lambda entry: False
    last = {entry.key: entry.offset for entry in chain.entries()}
    return lambda entry: entry.tombstone or last[entry.key] > entry.offset
