"""The account of a fault test: every lodged record is decided or dead-lettered, once, with the right content.

Records are found by `ce_id` (a hash in the real steps, partition and offset in the toy ones); of several with one
`ce_id` the first is the effective one, as `ce_id` promises to outside consumers.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass
from datetime import datetime

import msgspec

from streams.settings import Settings
from streams.wire import Record, header
from tests.faults.lodger import BLANK, GARBAGE
from tests.integration.harbour import read_all
from tests.integration.toy import Crossed, Tallied

At = tuple[int, int]


@dataclass(frozen=True)
class Account:
    """What became of `lodged` records. `wrong` counts effective records whose content is not a clean run's."""

    lodged: int
    decided: int
    dead_lettered: int
    missing: int
    unexpected: int
    wrong: int
    written_again: int
    totals_wrong: int
    slowest_s: float

    @property
    def balanced(self) -> bool:
        """Whether nothing is missing, nothing came from nowhere and everything says what it should."""
        return not (self.missing or self.unexpected or self.wrong or self.totals_wrong)

    def line(self) -> str:
        """One line for the log."""
        return (
            f"lodged {self.lodged}, decided {self.decided}, dead-lettered {self.dead_lettered}, "
            f"missing {self.missing}, effective duplicates {self.unexpected}, wrong {self.wrong + self.totals_wrong}; "
            f"written again {self.written_again}, slowest decision {self.slowest_s:.1f} s"
        )


def take_account(settings: Settings, partitions: int, lodged: int, within_s: float) -> Account:
    """Read every topic of the chain back once it is quiet and complete, or `within_s` has passed."""
    return asyncio.run(_take_account(settings, partitions, lodged, within_s))


async def _take_account(settings: Settings, partitions: int, lodged: int, within_s: float) -> Account:
    crossings = await read_all(settings, f"{settings.group}-crossings", partitions, lodged, within_s)
    tallied, refused = _clean_run(crossings)
    # Records may have been written more than once, so counting them is not enough to know that all are there.
    tallies: list[Record] = []
    totals: list[Record] = []
    for _ in range(max(1, int(within_s / 5))):
        tallies = await read_all(settings, f"{settings.group}-tallies", partitions, len(tallied))
        totals = await read_all(settings, f"{settings.group}-totals", partitions, len(tallied))
        if len(_first_by_id(tallies)) >= len(tallied) and len(_first_by_id(totals)) >= len(tallied):
            break
        await asyncio.sleep(3)
    letters = await read_all(settings, f"{settings.group}-crossings-dlq", 1, len(refused))

    decided = {_at(ce_id): _tally(one) for ce_id, one in _first_by_id(tallies).items()}
    buried = {(int(header(one.headers, "dlq-partition") or b""), int(header(one.headers, "dlq-offset") or b""))
              for one in letters}  # fmt: skip
    handled = decided.keys() | buried
    expected = tallied.keys() | refused
    total_of = _first_by_id(totals)
    plates = Counter(plate for plate, _ in tallied.values())
    counted: Counter[str] = Counter()
    for one in total_of.values():
        event = _tally(one)
        counted[event.plate] = max(counted[event.plate], event.crossings)
    return Account(
        lodged=len(crossings),
        decided=len(decided),
        dead_lettered=len(buried),
        missing=len(expected - handled) + len(tallied.keys() - {_at(ce_id) for ce_id in total_of}),
        unexpected=len(handled - expected) + len(decided.keys() & buried),
        wrong=sum(1 for at, one in decided.items() if at in tallied and (one.plate, one.crossings) != tallied[at]),
        written_again=len(tallies) - len(decided) + len(letters) - len(buried),
        totals_wrong=sum(1 for plate in plates | counted if plates[plate] != counted[plate]),
        slowest_s=max((_delay_s(one) for one in _first_by_id(totals).values()), default=0.0),
    )  # fmt: skip


def _clean_run(crossings: list[Record]) -> tuple[dict[At, tuple[str, int]], set[At]]:
    """What an undisturbed worker tallies of each crossing, and which ones it refuses."""
    tallied: dict[At, tuple[str, int]] = {}
    refused: set[At] = set()
    seen: Counter[tuple[int, str]] = Counter()
    for one in crossings:
        at = one.partition, one.offset
        if one.value in (BLANK, GARBAGE):
            refused.add(at)
            continue
        plate = msgspec.json.decode(one.value or b"", type=Crossed).plate
        seen[one.partition, plate] += 1
        tallied[at] = plate, seen[one.partition, plate]
    return tallied, refused


def _first_by_id(records: list[Record]) -> dict[str, Record]:
    first: dict[str, Record] = {}
    for one in records:
        first.setdefault((header(one.headers, "ce_id") or b"").decode(), one)
    return first


def _at(ce_id: str) -> At:
    partition, _, offset = ce_id.partition("-")
    return int(partition), int(offset)


def _delay_s(total: Record) -> float:
    """Seconds from a crossing's timestamp (carried along by both steps) to the sending of its total."""
    sent = datetime.fromisoformat((header(total.headers, "ce_time") or b"").decode())
    return sent.timestamp() - total.timestamp / 1000


def _tally(record: Record) -> Tallied:
    return msgspec.json.decode(record.value or b"", type=Tallied)
