"""What the dead-letter desk reads, and what it sends again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import cast

import msgspec
import pytest

from agents.epoch import EPOCH
from agents.marks import HighWater
from agents.step import Refusal
from schemas.codec import decode, encode
from schemas.marks import Upstream
from streams.commands.dlq import _print_letters
from streams.deadletter import dead_letter, dead_letters
from streams.producing import Publisher
from streams.rebuild import LogReader
from streams.redrive import (
    MARKER,
    DeadLetter,
    Redrive,
    Wanted,
    marker,
    read_letters,
    redrives,
    send_again,
    with_source_bytes,
)
from streams.wire import Outgoing, header
from tests.integration.border import manifest

NOW_MS = 1_772_452_800_000


@dataclass
class Row:
    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]] = ()


@dataclass
class Log:
    """A dead-letter topic in memory, filled as the steps and the desk fill it."""

    topic: str
    rows: list[Row] = field(default_factory=list)

    def bury(self, source: Row, refusal: Refusal) -> None:
        self.put(dead_letter(source, refusal, "screening", NOW_MS + len(self.rows)))

    def put(self, record: Outgoing) -> None:
        self.rows.append(
            Row(self.topic, 0, len(self.rows), record.timestamp, record.key, record.value, list(record.headers))
        )

    async def read(self, topic: str, partition: int, start: int, upto: int | None = None) -> AsyncIterator[list[Row]]:
        assert topic == self.topic
        yield [row for row in self.rows[start:] if upto is None or row.offset < upto]

    def letters(self, source: str) -> list[DeadLetter]:
        return asyncio.run(read_letters(cast(LogReader, self), source))


@dataclass
class RecordingPublisher:
    sent: list[tuple[str, Outgoing]] = field(default_factory=list)

    async def publish(self, topic: str, records: Iterable[Outgoing]) -> int:
        held = list(records)
        self.sent += [(topic, one) for one in held]
        return len(held)


def lodged(topic: str, offset: int, value: bytes, *headers: tuple[str, bytes]) -> Row:
    return Row(topic, 3, offset, NOW_MS - 1000, b"key", value, [("ce_id", b"m-1"), *headers])


def test_a_refusal_that_was_delivered_twice_is_one_letter() -> None:
    log = Log("express-cargo-dlq")
    row = lodged("express-cargo", 7, b"{}")
    log.bury(row, Refusal(7, "missing-field", "waybill", "missing"))
    log.bury(row, Refusal(7, "missing-field", "waybill", "missing"))
    (letter,) = log.letters("express-cargo")
    assert (letter.number, letter.partition, letter.offset, letter.reason) == (0, 3, 7, "missing-field")
    assert (letter.attempt, letter.redriven, letter.headers) == (1, False, [("ce_id", b"m-1")])


def test_a_letter_that_was_sent_again_is_marked_and_no_longer_outstanding() -> None:
    log = Log("express-cargo-dlq")
    for offset in (7, 8):
        log.bury(lodged("express-cargo", offset, b"{}"), Refusal(offset, "missing-field", "waybill", "missing"))
    first, _ = log.letters("express-cargo")
    log.put(marker(first, NOW_MS + 99))
    assert [one.redriven for one in log.letters("express-cargo")] == [True, False]


def test_what_is_sent_again_keeps_key_bytes_and_id_and_counts_its_attempts() -> None:
    log = Log("express-cargo-dlq")
    log.bury(lodged("express-cargo", 7, b"\xff raw"), Refusal(7, "not-json", "", "malformed"))
    (one,) = redrives(log.letters("express-cargo"), NOW_MS)
    assert (one.topic, one.record.key, one.record.value) == ("express-cargo", b"key", b"\xff raw")
    assert header(one.record.headers, "ce_id") == b"m-1"
    again = Row("express-cargo", 3, 50, NOW_MS, one.record.key, one.record.value, one.record.headers)
    log.bury(again, Refusal(50, "not-json", "", "malformed"))
    assert [letter.attempt for letter in log.letters("express-cargo")] == [1, 2]


def test_a_record_without_a_key_goes_back_to_its_partition() -> None:
    log = Log("express-cargo-dlq")
    row = lodged("express-cargo", 7, b"{}")
    row.key = None
    log.bury(row, Refusal(7, "missing-field", "waybill", "missing"))
    (one,) = redrives(log.letters("express-cargo"), NOW_MS)
    assert (one.record.key, one.record.partition) == (None, 3)


def test_of_a_manifest_only_the_refused_consignments_are_sent_again_byte_for_byte() -> None:
    whole = encode(manifest(1, 5))
    raw = decode("manifests", whole).consignments
    log = Log("manifests-dlq")
    row = lodged("manifests", 7, whole)
    for index in (3, 1):
        log.bury(row, Refusal(7, "unknown-country", f"consignments[{index}].departure", "no such country", index, "x"))
    (one,) = redrives(log.letters("manifests"), NOW_MS)
    sent = decode("manifests", one.record.value)
    assert [bytes(kept) for kept in sent.consignments] == [bytes(raw[1]), bytes(raw[3])]
    assert sent.manifest_id == decode("manifests", whole).manifest_id
    assert len(one.letters) == 2


def test_a_manifest_that_was_refused_whole_is_sent_again_whole() -> None:
    log = Log("manifests-dlq")
    log.bury(lodged("manifests", 7, b"{broken"), Refusal(7, "not-json", "", "malformed"))
    (one,) = redrives(log.letters("manifests"), NOW_MS)
    assert one.record.value == b"{broken"


@pytest.mark.parametrize("topic", ["screened", "filtered"])
def test_a_record_between_two_steps_gets_a_mark_that_belongs_to_its_letter(topic: str) -> None:
    log = Log(f"{topic}-dlq")
    for offset in (7, 8):
        value = msgspec.json.encode({"a": 1, "upstream": {"topic": "manifests", "partition": 0, "offset": offset}})
        log.bury(lodged(topic, offset, value), Refusal(offset, "no-score", "", "not finite"))

    def marks(letters: list[DeadLetter], now_ms: int) -> list[Upstream]:
        values = [one.record.value or b"" for one in redrives(letters, now_ms)]
        return [msgspec.convert(msgspec.json.decode(value)["upstream"], Upstream) for value in values]

    first, second = log.letters(topic)
    at_first, at_second = marks([first, second], NOW_MS)
    assert marks([second], NOW_MS + 9) == [at_second], "whenever and beside whatever it is sent"
    seen = HighWater()
    assert [seen.advance(one) for one in (at_second, at_first, at_second, at_first)] == [True, True, False, False]


def test_what_is_larger_than_its_topic_takes_does_not_fit() -> None:
    log = Log("express-cargo-dlq")
    for offset, size in enumerate((10, 1_500_000)):
        log.bury(lodged("express-cargo", offset, b"x" * size), Refusal(offset, "too-large", "", "too many bytes"))
    assert [one.fits for one in redrives(log.letters("express-cargo"), NOW_MS)] == [True, False]


def test_bytes_too_large_for_a_letter_are_fetched_from_where_they_were_lodged() -> None:
    log = Log("express-cargo-dlq")
    log.bury(lodged("express-cargo", 7, b""), Refusal(7, "too-large", "", "too many bytes"))
    log.rows[0].headers = [*log.rows[0].headers, ("dlq-omitted-bytes", b"9")]
    (letter,) = log.letters("express-cargo")

    class Source:
        async def read(self, topic: str, partition: int, start: int, upto: int) -> AsyncIterator[list[Row]]:
            assert (topic, partition) == ("express-cargo", 3)
            if upto == 8:
                yield [lodged("express-cargo", 7, b"the bytes")]

    whole = asyncio.run(with_source_bytes(cast(LogReader, Source()), letter))
    assert whole is not None
    assert whole.value == b"the bytes"

    class Expired:
        async def read(self, topic: str, partition: int, start: int, upto: int) -> AsyncIterator[list[Row]]:
            yield []

    assert asyncio.run(with_source_bytes(cast(LogReader, Expired()), letter)) is None


def test_refusals_of_one_lodgement_share_the_value_that_its_first_letter_keeps() -> None:
    log = Log("express-cargo-dlq")
    source = lodged("express-cargo", 7, b"the bytes")
    refused = [Refusal(7, "not-json", "", "", index=n) for n in range(3)]
    for one in dead_letters({7: source}, refused, "screening", NOW_MS):
        log.put(one)
    assert [row.value for row in log.rows] == [b"the bytes", b"", b""]
    assert [(one.value, one.omitted_bytes) for one in log.letters("express-cargo")] == [(b"the bytes", 0)] * 3


def test_so_do_they_a_key_and_headers_that_are_large() -> None:
    log = Log("express-cargo-dlq")
    source = lodged("express-cargo", 7, b"the bytes")
    source.key, source.headers = b"k" * 2_000, [("ce_id", b"L1"), ("seal", b"x" * 2_000)]
    for one in dead_letters({7: source}, [Refusal(7, "not-json", "", "", index=n) for n in range(3)], "screening", 1):
        log.put(one)
    assert [row.key for row in log.rows] == [source.key, None, None]
    assert [(one.key, one.headers) for one in log.letters("express-cargo")] == [(source.key, source.headers)] * 3


def test_a_source_topic_that_was_made_anew_has_letters_of_its_own() -> None:
    """Its offsets begin again, and the letters of the old one are kept for 90 days."""
    log = Log("manifests-dlq")
    old, new = (lodged("manifests", 7, encode(manifest(number, 5))) for number in (1, 2))
    new.timestamp += 60_000
    for source, indexes in ((old, (0, 3)), (new, (0, 4))):
        refused = [Refusal(7, "unknown-country", "", "", index, "x") for index in indexes]
        for one in dead_letters({7: source}, refused, "screening", NOW_MS):
            log.put(one)
    letters = log.letters("manifests")
    assert [(one.index, one.value) for one in letters] == [
        (0, old.value), (3, old.value), (0, new.value), (4, new.value)
    ]  # fmt: skip
    first, second = redrives(letters, NOW_MS)
    for one, source, indexes in ((first, old, (0, 3)), (second, new, (0, 4))):
        lodged_then = decode("manifests", source.value).consignments
        sent = decode("manifests", one.record.value).consignments
        assert [bytes(kept) for kept in sent] == [bytes(lodged_then[index]) for index in indexes]


def test_what_stands_where_the_source_of_a_letter_stood_is_not_taken_for_it() -> None:
    log = Log("express-cargo-dlq")
    source = lodged("express-cargo", 7, b"x" * 3_000_000)
    for one in dead_letters({7: source}, [Refusal(7, "too-large", "", "too many bytes")], "screening", NOW_MS):
        log.put(one)
    (letter,) = log.letters("express-cargo")

    class MadeAnew:
        async def read(self, topic: str, partition: int, start: int, upto: int) -> AsyncIterator[list[Row]]:
            yield [Row(topic, 3, 7, source.timestamp + 60_000, b"another", b"of another lodger")]

    assert letter.omitted_bytes == 3_000_000
    assert asyncio.run(with_source_bytes(cast(LogReader, MadeAnew()), letter)) is None


def test_letters_are_marked_after_their_record_is_delivered_and_at_the_rate_asked_for() -> None:
    log = Log("express-cargo-dlq")
    for offset in range(3):
        log.bury(lodged("express-cargo", offset, b"{}"), Refusal(offset, "missing-field", "waybill", "missing"))
    publisher, clock = RecordingPublisher(), [1000.0]

    async def pause(seconds: float) -> None:
        clock[0] += seconds

    planned = redrives(log.letters("express-cargo"), NOW_MS)

    async def scenario() -> list[Redrive]:
        sending = send_again(
            cast(Publisher, publisher), planned, per_second=10, now=lambda: clock[0], pause=pause
        )  # fmt: skip
        return [one async for one in sending]

    assert len(asyncio.run(scenario())) == 3
    assert [topic for topic, _ in publisher.sent] == ["express-cargo", "express-cargo-dlq"] * 3
    assert [header(one.headers, MARKER) for _, one in publisher.sent[1::2]] == [b"0", b"1", b"2"]
    assert clock[0] == pytest.approx(1000.2)


def test_letters_are_chosen_by_reason_step_number_and_time_of_refusal() -> None:
    log = Log("express-cargo-dlq")
    for offset, reason in enumerate(["not-json", "blank-name", "not-json"]):
        log.bury(lodged("express-cargo", offset, b"{}"), Refusal(offset, reason, "", ""))
    letters = log.letters("express-cargo")

    def numbers(wanted: Wanted) -> list[int]:
        return [one.number for one in letters if wanted.takes(one)]

    assert numbers(Wanted(reasons=frozenset({"not-json"}))) == [0, 2]
    assert numbers(Wanted(steps=frozenset({"filtering"}))) == []
    assert numbers(Wanted(numbers=frozenset({1, 2}), reasons=frozenset({"not-json"}))) == [2]
    assert numbers(Wanted(since=datetime.fromtimestamp((NOW_MS + 1) / 1000, UTC))) == [1, 2]
    assert numbers(Wanted(until=datetime.fromtimestamp((NOW_MS + 1) / 1000, UTC))) == [0]
    within = EPOCH + timedelta(milliseconds=NOW_MS + 1, microseconds=999)
    assert (numbers(Wanted(since=within)), numbers(Wanted(until=within))) == ([1, 2], [0]), "letters bear milliseconds"


def test_who_reads_letters_is_told_how_many_records_were_read() -> None:
    log, told = Log("express-cargo-dlq"), list[int]()
    for offset in range(3):
        log.bury(lodged("express-cargo", offset, b"{}"), Refusal(offset, "not-json", "", ""))
    asyncio.run(read_letters(cast(LogReader, log), "express-cargo", told.append))
    assert told == [3]


def test_letters_are_listed_one_a_line_with_what_a_lodger_wrote_in_one_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    log = Log("express-cargo-dlq")
    for offset, wrong in enumerate(("way\nbill", "[red]\x1b[2J")):
        log.bury(lodged("express-cargo", offset, b"{}"), Refusal(offset, "missing-field", wrong, ""))
    _print_letters(log.letters("express-cargo"), as_json=False)
    assert [line.split() for line in capsys.readouterr().out.splitlines()] == [
        ["topic", "number", "refused", "at", "step", "reason", "field", "attempt"],
        ["express-cargo", "0", "2026-03-02T12:00:00Z", "screening", "missing-field", r"way\nbill", "1"],
        ["express-cargo", "1", "2026-03-02T12:00:00Z", "screening", "missing-field", r"[red]\x1b[2J", "1"],
    ]
