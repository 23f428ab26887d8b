"""`borderflow audit verify`: first that a chain is whole, then that the records are those that it was made of.

Records are read again from the brokers or from the archive. What may rightly be gone from either is counted and said,
never passed over in silence: retention by age, compaction by key, records that the archive has not taken yet.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from agents.epoch import epoch_ms
from schemas.registry import dead_letter_topics, declarations
from streams.archive.layout import ArchiveError, Chunk, Part
from streams.archive.reading import ArchiveReader, said_of_no_mac
from streams.archive.recomputing import ColumnCheck
from streams.archive.writing import date_of
from streams.audit.book import Chain, Head
from streams.audit.chain import AuditError, Entry, beginning, linked
from streams.audit.comparing import Absence, Comparison, Finding, Tally, compacts
from streams.producing import UnknownTopicError
from streams.rebuild import LogReader

_DAY_MS: Final = 86_400_000
_AHEAD_MS: Final = 300_000
"""So much may the sealer's clock be ahead of this one's."""


@dataclass(slots=True)
class Checked:
    """What was found in one partition. `finding` None: it is as it was sealed, as far as records are there.

    `heads` are the chain's own.
    """

    topic: str
    partition: int
    entries: int
    head: str
    finding: Finding | None
    tally: Tally = field(default_factory=Tally)
    heads: Sequence[Head] = ()

    def as_json(self) -> dict[str, Any]:
        """For `--json`."""
        finding, tally = self.finding, self.tally
        return {
            "topic": self.topic, "partition": self.partition, "entries": self.entries, "head": self.head,
            "compared": tally.compared, "expired": tally.expired, "compacted": tally.compacted,
            "not_archived_yet": tally.waiting, "not_sealed_yet": tally.unsealed, "before_the_chain": tally.before,
            "not_sealed_since": None if tally.unsealed_since is None else _text(tally.unsealed_since),
            "accepted": tally.accepted, "lost": tally.lost, "unreadable": tally.unreadable,
            "files_without_mac": tally.without_mac, "expired_to": tally.expired_to or None,
            "never_there": tally.holes,
            "finding": None if finding is None
            else {"what": finding.what, "offset": finding.offset, "detail": finding.detail},
        }  # fmt: skip


def check_chain(chain: Chain, held: Sequence[Head] = (), now_ms: int | None = None) -> Checked:
    """Fold a chain's entries and compare them with its sealed heads, and with heads of it that were held elsewhere.

    A partition without any chain is as one of which nothing was sealed yet.
    """
    done = Checked(chain.topic, chain.partition, len(chain), "", None)
    try:
        sealed = done.heads = chain.heads()
    except AuditError as error:
        done.finding = Finding("chain altered", None, str(error))
        return done
    held = [head for head in held if (head.topic, head.partition) == (chain.topic, chain.partition)]
    if not chain.path.exists() and (sealed or held):
        done.finding = Finding("chain altered", 0, f"{chain.path}: its chain is gone, and its heads are there")
        return done
    if done.entries and not sealed:
        done.finding = Finding("chain altered", None, f"{chain.heads_path}: its heads are gone, and its chain is there")
        return done
    done.finding = _misdated(sealed, held, now_ms)
    if done.finding is not None:
        return done
    wanted: dict[int, list[tuple[Head, bool]]] = {}
    for head in sealed:
        wanted.setdefault(head.entries, []).append((head, False))
    for head in held:
        wanted.setdefault(head.entries, []).append((head, True))
    folded, before, agreed = beginning(chain.topic, chain.partition), -1, 0
    if any((head.head, head.offset) != (folded.hex(), before) for head, _ in wanted.pop(0, ())):
        done.finding = Finding("chain altered", None, f"{chain.path}: its first head is not that of an empty chain")
        return done
    for number, packed in enumerate(chain.packed(), 1):
        offset = int.from_bytes(packed[:8], "big")
        if offset <= before:
            done.finding = Finding("chain altered", offset, f"{chain.path}: entry {number} follows offset {before}")
            return done
        folded, before = linked(folded, packed), offset
        for head, elsewhere in wanted.pop(number, ()):
            if head.head != folded.hex() or head.offset != offset:
                whose = "head held elsewhere" if elsewhere else "head sealed"
                since = f"entries {agreed + 1} to {number}" if agreed < number else f"the entries up to {number}"
                said = f"{chain.path}: {since} do not fit the {whose} of {head.at}"
                done.finding = Finding("head differs" if elsewhere else "chain altered", offset, said)
                return done
            agreed = number
    if wanted:
        said = f"holds {done.entries} entries, and there is a head over {max(wanted)}: it was cut"
        done.finding = Finding("chain altered", before + 1, f"{chain.path}: {said}")
        return done
    done.head = folded.hex()
    return done


def _misdated(sealed: Sequence[Head], held: Sequence[Head], now_ms: int | None) -> Finding | None:
    """Times of heads are in no hash: whether one is of the future, or not the one that a held head has."""
    kept = {(head.entries, head.head): head.at for head in held}
    for head in sealed:
        if kept.get((head.entries, head.head), head.at) != head.at:
            said = f"the head over {head.entries} entries is of another time than the one held elsewhere"
            return Finding("head differs", head.offset, said)
        if now_ms is not None and _ms(head) > now_ms + _AHEAD_MS:
            said = f"the head over {head.entries} entries says that it was sealed at {head.at}, which is yet to come"
            return Finding("chain altered", head.offset, said)
    return None


async def check_records(chain: Chain, done: Checked, reader: LogReader, now_ms: int, lag_ms: int | None = None) -> None:
    """Compare a whole chain with the records on the brokers. What was sent over `lag_ms` ago must have been sealed."""
    try:
        if chain.partition >= await reader.partitions(chain.topic):
            done.finding = Finding("dropped", 0, f"the topic has no partition {chain.partition}")
            return
        await _compare(chain, done, reader, now_ms)
        if done.finding is not None and done.finding.what == "dropped":
            # Retention or compaction took it while it was read, perhaps: then it is excused the second time.
            await _compare(chain, done, reader, now_ms)
    except UnknownTopicError:
        done.finding = Finding("dropped", 0, "the topic is not there")
        return
    done.finding = done.finding or _overdue(done, now_ms, lag_ms)


async def _compare(chain: Chain, done: Checked, reader: LogReader, now_ms: int) -> None:
    begin = await reader.begin(chain.topic, chain.partition)
    comparison = Comparison(chain.entries, _on_brokers(chain, begin, now_ms), compacts=compacts(chain.topic))
    done.tally = comparison.tally
    start = next((one.offset for one in chain.entries()), 0)
    done.tally.before = max(0, start - begin)
    async for records in reader.read(chain.topic, chain.partition, max(start, begin)):
        if not all(comparison.take(one) for one in records):
            break
    done.finding = comparison.finish()


def check_archive(
    chain: Chain,
    done: Checked,
    reader: ArchiveReader,
    now_ms: int,
    lag_ms: int,
    *,
    held: Sequence[Head] = (),
    accepted: Sequence[tuple[int, int]] = (),
    keep_days: int | None = None,
    seal_lag_ms: int | None = None,
    macs_since_ms: int = 0,
) -> None:
    """Compare a whole chain with the records in the archive; one sealed longer than `lag_ms` ago must be there.

    `accepted` are the gaps that somebody accepted, `keep_days` is what the archiver's retention is: without a MAC the
    word of a file that it was emptied counts for no record that is younger. Where the archive's key is given a file
    without a MAC is a finding, unless it begins with what was sealed before `macs_since_ms`.
    """
    try:
        excuses = _Archive(chain, reader, now_ms, _sealed_by(done, held, now_ms - lag_ms), accepted, keep_days)
        comparison = Comparison(chain.entries, excuses.absence, compacts=compacts(chain.topic))
        done.tally = comparison.tally
        columns = ColumnCheck(chain.topic)
        for record in reader.records(chain.topic, chain.partition, gaps=True, columns=True):
            columns.take(record)
            if not comparison.take(record):
                break
        done.finding = comparison.finish()
        if done.finding is None or done.finding.what == "dropped":
            done.finding = _other_columns(columns) or done.finding
        bare = excuses.without_mac()
        done.tally.without_mac = len(bare)
        if reader.key is not None and done.finding is None:
            done.finding = _stripped(reader, bare, _sealed_by(done, held, macs_since_ms))
        done.tally.expired_to = excuses.expired_to
    except ArchiveError as error:
        done.finding = Finding("unreadable", None, str(error))
    done.finding = done.finding or _overdue(done, now_ms, seal_lag_ms)


def _stripped(reader: ArchiveReader, bare: Sequence[Part], earlier: int) -> Finding | None:
    """Files without a MAC in an archive with a key, of those that begin behind offset `earlier`.

    Those around them speak against it where they have one (`ArchiveReader.check`), but not where all were taken off.
    """
    stripped = [part for part in bare if part.first > earlier]
    if not stripped:
        return None
    return Finding("no MAC", stripped[0].first, said_of_no_mac(reader.catalogue.root, stripped))


def _other_columns(columns: ColumnCheck) -> Finding | None:
    found = columns.finish()
    return found and Finding("columns differ", found[0], f"they are not those of its value: {found[1]}")


def _overdue(done: Checked, now_ms: int, lag_ms: int | None) -> Finding | None:
    """Whether nobody seals any more: records were sent long ago, and the last head is as old."""
    tally, since = done.tally, done.tally.unsealed_since
    if since is None or lag_ms is None:
        return None
    if now_ms - max(since, *(_ms(head) for head in done.heads), 0) <= lag_ms:
        return None
    return Finding("not sealed", None, f"{tally.unsealed} records are not, the first of them sent at {_text(since)}")


def _on_brokers(chain: Chain, begin: int, now_ms: int) -> Callable[[Entry], Absence]:
    declared = declarations().get(chain.topic) or dead_letter_topics().get(chain.topic)
    keeps = declared.retention_ms if declared is not None else -1
    compacted = _compacted(chain)

    def excuse(entry: Entry) -> Absence:
        if compacted(entry):
            return Absence("compacted")
        if entry.offset >= begin:
            return Absence(None)
        if keeps < 0:
            return Absence(None, f"the topic begins at offset {begin}, and its records are kept for ever")
        if now_ms - entry.timestamp < keeps:
            return Absence(
                None, f"the topic begins at offset {begin}, and its records are kept {keeps // _DAY_MS} days"
            )
        return Absence("expired")

    return excuse


class _Archive:
    """What the archive says of sealed records of one partition that are not in it."""

    def __init__(
        self,
        chain: Chain,
        reader: ArchiveReader,
        now_ms: int,
        long_ago: int,
        accepted: Sequence[tuple[int, int]],
        keep_days: int | None,
    ) -> None:
        self._reader = reader
        self._chunks = reader.catalogue.chunks(chain.topic, chain.partition)
        self._firsts = [chunk.first for chunk in self._chunks]
        self._long_ago = long_ago
        self._accepted = accepted
        self._compacted = _compacted(chain)
        self._kept_from = date_of(now_ms - keep_days * _DAY_MS) if keep_days else ""
        self._taken: Counter[tuple[int, str]] = Counter()
        self.expired_to = ""

    def without_mac(self) -> list[Part]:
        """The files that no MAC speaks for."""
        return [part for chunk in self._chunks for part in chunk.parts if not self._reader.authentic(part)]

    def absence(self, entry: Entry) -> Absence:
        """The excuse for one that is not there."""
        offset = entry.offset
        if any(first <= offset <= last for first, last in self._accepted):
            return Absence("accepted")
        if not self._chunks or offset > self._chunks[-1].last:
            if offset > self._long_ago:
                return Absence("waiting")
            end = self._chunks[-1].last if self._chunks else -1
            return Absence("lost", f"the archive ends at offset {end}, and this one was sealed long before")
        chunk = self._chunks[bisect_right(self._firsts, offset) - 1]
        if not chunk.first <= offset <= chunk.last:
            return Absence("lost", "the archive has no file that it would be in")
        if any(first <= offset <= last for first, last in self._reader.facts(chunk.parts[0]).missing):
            return Absence("compacted" if self._compacted(entry) else None, "it was not there when it was archived")
        return self._retired(chunk, date_of(entry.timestamp))

    def _retired(self, chunk: Chunk, date: str) -> Absence:
        """Whether retention took out a record of a date: what its file says, and whether that can be."""
        for part in chunk.parts:
            facts = self._reader.facts(part)
            if part.date != date or not facts.taken_out or facts.expired[:10] <= date:
                continue
            self._taken[chunk.first, date] += 1
            if self._taken[chunk.first, date] > facts.taken_out:
                return Absence(None, f"retention took only {facts.taken_out} out of its file")
            if not self._reader.authentic(part) and date >= self._kept_from:
                return Absence(
                    None, "its file says that retention took it out, and no MAC speaks for that: --keep-days says "
                    "from when on that can be",
                )  # fmt: skip
            self.expired_to = max(self.expired_to, date)
            return Absence("expired")
        return Absence(None)


def _sealed_by(done: Checked, held: Sequence[Head], moment_ms: int) -> int:
    """The last offset of the last head, its own or held elsewhere, that was sealed before a moment; -1 for none."""
    theirs = [head for head in held if (head.topic, head.partition) == (done.topic, done.partition)]
    return max((head.offset for head in (*done.heads, *theirs) if _ms(head) < moment_ms), default=-1)


def _ms(head: Head) -> int:
    return epoch_ms(datetime.fromisoformat(head.at))


def _text(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="seconds")


def _compacted(chain: Chain) -> Callable[[Entry], bool]:
    """Whether compaction may have taken a record: a later one has its key, or it ended its key.

    A record that somebody deleted by hand before its key was published again looks the same.
    """
    if not compacts(chain.topic):
        return lambda entry: False
    last = {entry.key: entry.offset for entry in chain.entries()}
    return lambda entry: not entry.says_nothing and (entry.tombstone or last[entry.key] > entry.offset)
