"""Compares the records of a partition, as they are now, with its chain, and names the first difference.

Pure: records and entries in, findings out. What may rightly be gone is a question of the source, and answered by it:
Kafka deletes by age and compacts by key, the archive retires files.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final, Literal

from schemas.registry import declarations
from streams.audit.chain import Entry
from streams.wire import Record, sent_ms

What = Literal[
    "edited", "dropped", "inserted", "reordered", "columns differ", "not sealed", "no MAC", "unreadable",
    "chain altered", "head differs",
]  # fmt: skip
Excuse = Literal["expired", "compacted", "waiting", "accepted", "lost"]
"""Why a sealed record may rightly not be there: its retention is over, a later record has its key, not there yet, in a
gap that was accepted. A `lost` one has no excuse, and what comes after it is compared all the same."""


def compacts(topic: str) -> bool:
    """Whether brokers may take a record of a topic once a later one has its key."""
    return topic in declarations() and declarations()[topic].tombstones


@dataclass(frozen=True, slots=True)
class Absence:
    """What the source says of a sealed record that is not there: its excuse, or none and what speaks against one."""

    excuse: Excuse | None
    why: str = ""


_WINDOW: Final = 64
"""Records and entries that are looked at to tell what happened at the first difference."""


@dataclass(frozen=True, slots=True)
class Finding:
    """The first place in a partition that is not as it was sealed."""

    what: What
    offset: int | None
    detail: str


@dataclass(slots=True)
class Tally:
    """How the records of a partition compare with its chain.

    `unsealed_since` is when the first of the unsealed was sent (ms since the epoch), `unreadable` how many compared
    records have no sealed content. Of the archive only: `without_mac` is how many files no MAC speaks for, `expired_to`
    the latest date of what retention took out.
    """

    compared: int = 0
    expired: int = 0
    compacted: int = 0
    waiting: int = 0
    accepted: int = 0
    lost: int = 0
    unsealed: int = 0
    unsealed_since: int | None = None
    unreadable: int = 0
    before: int = 0
    without_mac: int = 0
    expired_to: str = ""
    holes: list[tuple[int, int]] = field(default_factory=list)


class Comparison:
    """Takes the records of one partition in order; `finding` is set at the first difference.

    `excuse` says of an entry without a record whether that is in order. Compaction takes a record only after all older
    ones of its key: it excuses none of which an older one is there.
    """

    def __init__(
        self, entries: Callable[[], Iterator[Entry]], excuse: Callable[[Entry], Absence], *, compacts: bool = False
    ) -> None:
        self._entries = entries
        self._left = entries()
        self._next = next(self._left, None)
        self._first = None if self._next is None else self._next.offset
        self._excuse = excuse
        self._compacts = compacts
        self._puzzle: list[Record] = []
        self._lost: Finding | None = None
        self._keys: set[bytes] = set()
        self.tally = Tally()
        self.finding: Finding | None = None

    def take(self, record: Record) -> bool:
        """Compare one record; false once the first difference is known."""
        if self.finding is None:
            if self._puzzle:
                self._puzzle.append(record)
                if len(self._puzzle) >= _WINDOW:
                    self._solve()
            else:
                self._match(record)
        return self.finding is None

    def finish(self) -> Finding | None:
        """There are no more records: the first difference, None when there is none."""
        if self._puzzle and self.finding is None:
            self._solve()
        while self._next is not None and self.finding is None:
            self._missing(self._next, "the records end before it")
        self.finding = self.finding or self._lost
        return self.finding

    def _match(self, record: Record) -> None:
        while self._next is not None and self._next.offset < record.offset:
            self._missing(self._next, "there is no record at it")
            if self.finding is not None:
                return
        entry = self._next
        if entry is None:
            self.tally.unsealed += 1
            sent = max(0, sent_ms(record))
            self.tally.unsealed_since = min(sent, self.tally.unsealed_since or sent)
        elif entry.offset > record.offset:
            if self._first is not None and record.offset < self._first:
                self.tally.before += 1
            else:
                self.finding = Finding("inserted", record.offset, "there was no record at it when it was sealed")
        elif Entry.of(record) == entry:
            self.tally.compared += 1
            self.tally.unreadable += entry.says_nothing
            if self._compacts:
                self._keys.add(entry.key)
            self._step(entry)
        else:
            self._puzzle.append(record)

    def _step(self, entry: Entry) -> None:
        self._next = next(self._left, None)
        if self._next is not None and self._next.offset != entry.offset + 1:
            self.tally.holes.append((entry.offset + 1, self._next.offset - 1))

    def _missing(self, entry: Entry, how: str) -> None:
        absence = self._excuse(entry)
        match absence.excuse:
            case "expired":
                self.tally.expired += 1
            case "compacted" if entry.key in self._keys:
                self.finding = Finding("dropped", entry.offset, f"{how}; an older record of its key is still there")
            case "compacted":
                self.tally.compacted += 1
            case "accepted":
                self.tally.accepted += 1
            case "lost":
                self.tally.lost += 1
                self._lost = self._lost or Finding("dropped", entry.offset, absence.why)
            case "waiting":
                self.tally.waiting += 1
            case None:
                self.finding = Finding("dropped", entry.offset, "; ".join(filter(None, (how, absence.why))))
        self._step(entry)

    def _solve(self) -> None:
        sealed = [self._next] if self._next is not None else []
        sealed += [entry for entry, _ in zip(self._left, range(2 * _WINDOW), strict=False)]
        self.finding = difference(sealed, [Entry.of(one) for one in self._puzzle], self._place)

    def _place(self, record: bytes) -> int | None:
        return next((one.offset for one in self._entries() if one.record == record), None)


def difference(sealed: list[Entry], found: list[Entry], place: Callable[[bytes], int | None]) -> Finding:
    """What happened where `found` stops being like `sealed`; both begin at that offset.

    `place` finds the offset at which a record's hash was sealed, anywhere in the chain.
    """
    was, now = sealed[0], found[0]
    ahead = next((n for n, one in enumerate(sealed[:_WINDOW]) if one.record == now.record), None)
    if ahead and _same(sealed[ahead:], found) and not _any_sealed(found[len(sealed) - ahead :], place):
        gone = f"{ahead} records" if ahead > 1 else "the record"
        return Finding("dropped", was.offset, f"{gone} sealed from there on; those that followed moved up")
    behind = next((n for n, one in enumerate(found) if one.record == was.record), None)
    if behind and _same(sealed, found[behind:]) and place(now.record) is None:
        more = f"{behind} records that were" if behind > 1 else "a record that was"
        return Finding("inserted", was.offset, f"{more} never sealed; those that followed moved down")
    if (other := place(now.record)) is not None:
        return Finding("reordered", was.offset, f"the record there was sealed at offset {other}")
    changed = ["key"] * (was.key != now.key) + ["timestamp"] * (was.timestamp != now.timestamp)
    return Finding("edited", was.offset, f"its {' and '.join(changed) or 'value or headers'} changed")


def _same(sealed: list[Entry], found: list[Entry]) -> bool:
    """Whether the next records are alike, as many as there are of both."""
    pairs = list(zip(sealed, found, strict=False))[:8]
    return bool(pairs) and all(one.record == other.record for one, other in pairs)


def _any_sealed(records: list[Entry], place: Callable[[bytes], int | None]) -> bool:
    return bool(records) and place(records[0].record) is not None
