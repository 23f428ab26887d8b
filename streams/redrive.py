"""The dead-letter desk: reads what was refused, and sends it again once what was wrong has been put right.

A dead-letter topic is a log like any other, so nothing is removed from it: a letter that was sent again is followed
by a marker (a record with `dlq-redriven-offset`), and what has no marker is outstanding. Markers are written after the
record was acknowledged, so a desk that dies in between sends a letter twice; the steps refuse the second one
(`duplicate-lodgement`) or drop it.

What is sent: the source's bytes under the source's key and `ce_id`, with `dlq-attempt` counted on. Of a manifest only
the refused consignments, because the others were decided. A record between two steps gets an upstream mark that
belongs to its letter: under its old one it would be dropped as a redelivery, and under this one it is dropped when it
is sent twice, by whichever desk, before or after the letters beside it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import msgspec

from agents.epoch import epoch_ms
from schemas.codec import ManifestEnvelope, Undecodable, decode, encode
from schemas.marks import Upstream
from schemas.registry import declaration
from streams.archive.times import EARLIEST, LATEST
from streams.deadletter import OMITTED, OURS, dead_letter_topic
from streams.producing import Publisher
from streams.rebuild import LogReader
from streams.recordbatch import RecordBatchBuilder
from streams.wire import Given, Outgoing, Record, header

MARKER = "dlq-redriven-offset"
SOURCES = ("manifests", "express-cargo", "passengers", "screened", "filtered", "inspection-results")
"""The inputs of the steps: topics whose records can be refused."""

_BETWEEN_STEPS = {"screened", "filtered"}


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One refusal: of a record, or of the item at `index` of it. `redriven` when a marker follows it.

    `number` is its offset in the dead-letter topic, `at_ms` when it was refused; the rest is the source's. `source_ms`,
    its timestamp, tells it from what stands at its offset in a topic that was made anew.
    """

    topic: str
    number: int
    at_ms: int
    partition: int
    offset: int
    index: int | None
    item_id: str
    step: str
    reason: str
    field: str
    error: str
    attempt: int
    omitted_bytes: int
    key: bytes | None
    value: bytes | None
    headers: Given
    redriven: bool = False
    source_ms: int = 0

    @property
    def source(self) -> tuple[int, int, int]:
        """Which record of its topic was refused."""
        return self.partition, self.offset, self.source_ms


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which letters: everything given must hold; `since` and `until` bound the time of the refusal."""

    reasons: frozenset[str] = frozenset()
    steps: frozenset[str] = frozenset()
    numbers: frozenset[int] = frozenset()
    since: datetime = EARLIEST
    until: datetime = LATEST

    def takes(self, letter: DeadLetter) -> bool:
        """Whether a letter is wanted."""
        return (
            (not self.reasons or letter.reason in self.reasons)
            and (not self.steps or letter.step in self.steps)
            and (not self.numbers or letter.number in self.numbers)
            and epoch_ms(self.since) <= letter.at_ms < epoch_ms(self.until)
        )


@dataclass(frozen=True, slots=True)
class Redrive:
    """One record to send again, and the letters that it answers (several of one manifest)."""

    record: Outgoing
    letters: tuple[DeadLetter, ...]

    @property
    def topic(self) -> str:
        """Where it goes: the topic that it came from."""
        return self.letters[0].topic

    @property
    def fits(self) -> bool:
        """Whether its topic takes it: what was lodged compressed may be larger than that."""
        batch = RecordBatchBuilder(1)
        batch.fill([self.record])
        return batch.size() <= declaration(self.topic).max_message_bytes


async def read_letters(
    reader: LogReader, topic: str, noticed: Callable[[int], None] = lambda count: None
) -> list[DeadLetter]:
    """The dead letters of one source topic, oldest first, each refusal once however often it was delivered.

    `noticed` is told how many records were read. Raises `UnknownTopicError`, or the client's `KafkaError`.
    """
    letters: dict[int, DeadLetter] = {}
    whole: dict[tuple[int, int, int], DeadLetter] = {}  # whose content several refusals of one lodgement share
    seen: set[tuple[tuple[int, int, int], int | None, int]] = set()
    redriven: set[int] = set()
    async for records in reader.read(dead_letter_topic(topic), 0, 0):
        noticed(len(records))
        for record in records:
            if (marked := header(record.headers, MARKER)) is not None:
                redriven.add(_number(marked))
                continue
            letter = _letter(topic, record)
            refusal = (letter.source, letter.index, letter.attempt)
            if refusal not in seen:
                seen.add(refusal)
                if letter.value:
                    whole[letter.source] = letter
                elif (first := whole.get(letter.source)) is not None:
                    letter = replace(letter, key=first.key, value=first.value, headers=first.headers, omitted_bytes=0)
                letters[letter.number] = letter
    for number in redriven & letters.keys():
        letters[number] = replace(letters[number], redriven=True)
    return list(letters.values())


def _letter(topic: str, record: Record) -> DeadLetter:
    said = {name: value for name, value in record.headers if value is not None}

    def text(name: str) -> str:
        return said.get(name, b"").decode(errors="replace")

    index = said.get("dlq-index", b"")
    return DeadLetter(
        topic=topic,
        number=record.offset,
        at_ms=record.timestamp,
        partition=_number(said.get("dlq-partition", b"")),
        offset=_number(said.get("dlq-offset", b"")),
        index=int(index) if index.isdigit() else None,
        item_id=text("dlq-item-id"),
        step=text("dlq-step"),
        reason=text("dlq-reason"),
        field=text("dlq-field"),
        error=text("dlq-error"),
        attempt=_number(said.get("dlq-attempt", b"1")),
        omitted_bytes=_number(said.get(OMITTED, b"0")),
        key=record.key,
        value=record.value,
        headers=[(name, value) for name, value in record.headers if not name.startswith(OURS)],
        source_ms=_number(said.get("dlq-timestamp", b"")),
    )


def _number(text: bytes) -> int:
    return int(text) if text.isdigit() else 0


async def with_source_bytes(reader: LogReader, letter: DeadLetter) -> DeadLetter | None:
    """The letter as its source topic has it when it was too large to be kept; None when it is gone there."""
    if not letter.omitted_bytes:
        return letter
    async for records in reader.read(letter.topic, letter.partition, letter.offset, letter.offset + 1):
        for record in records:
            if record.offset == letter.offset and record.timestamp == letter.source_ms:
                headers = [(name, value) for name, value in record.headers if not name.startswith(OURS)]
                return replace(letter, key=record.key, value=record.value, headers=headers)
    return None


def redrives(letters: Sequence[DeadLetter], now_ms: int) -> list[Redrive]:
    """What to send for these letters, in their order. `now_ms` becomes the records' timestamp: event time is inside."""
    by_source: dict[tuple[str, tuple[int, int, int], int], list[DeadLetter]] = {}
    for letter in letters:
        by_source.setdefault((letter.topic, letter.source, letter.attempt), []).append(letter)
    return [Redrive(_outgoing(same[0], _value(same), now_ms), tuple(same)) for same in by_source.values()]


def _outgoing(letter: DeadLetter, value: bytes | None, now_ms: int) -> Outgoing:
    headers = [*letter.headers, ("dlq-attempt", str(letter.attempt).encode())]
    return Outgoing(letter.key, value, now_ms, headers, letter.partition if letter.key is None else None)


def _value(letters: Sequence[DeadLetter]) -> bytes | None:
    value = letters[0].value
    if value is None:
        return None
    if letters[0].topic == "manifests" and all(one.index is not None for one in letters):
        return _refused_consignments(value, sorted({one.index for one in letters if one.index is not None}))
    if letters[0].topic in _BETWEEN_STEPS:
        return _with_mark(value, letters[0])
    return value


def _refused_consignments(value: bytes, indexes: Sequence[int]) -> bytes:
    """The manifest with these consignments only, each of them byte for byte as it was lodged."""
    try:
        manifest: ManifestEnvelope = decode("manifests", value)
    except Undecodable:
        return value  # it was readable once; let the step say what is wrong with it now
    held = tuple(manifest.consignments[one] for one in indexes if one < len(manifest.consignments))
    return msgspec.json.encode(msgspec.structs.replace(manifest, consignments=held)) if held else value


def _with_mark(value: bytes, letter: DeadLetter) -> bytes:
    """With an upstream partition for this letter alone; the time of the refusal in it tells a topic made anew."""
    try:
        fields = msgspec.json.decode(value, type=dict[str, msgspec.Raw])
    except msgspec.DecodeError:
        return value
    mark = Upstream(topic=dead_letter_topic(letter.topic), partition=letter.number, offset=letter.at_ms)
    fields["upstream"] = msgspec.Raw(encode(mark))
    return msgspec.json.encode(fields)


def marker(letter: DeadLetter, now_ms: int) -> Outgoing:
    """The record that says that a letter was sent again."""
    return Outgoing(letter.key, None, now_ms, [(MARKER, str(letter.number).encode())], 0)


async def send_again(
    publisher: Publisher,
    planned: Iterable[Redrive],
    *,
    per_second: float,
    now: Callable[[], float] = time.time,
    pause: Callable[[float], Any] = asyncio.sleep,
) -> AsyncIterator[Redrive]:
    """Send records one by one at most `per_second`, mark their letters, and yield each that is done.

    Raises the client's `KafkaError`: what was yielded until then is done, the rest is not.
    """
    began = now()
    for sent, one in enumerate(planned):
        await pause(max(0.0, began + sent / per_second - now()))
        await publisher.publish(one.topic, [one.record])
        at_ms = int(now() * 1000)
        await publisher.publish(dead_letter_topic(one.topic), [marker(letter, at_ms) for letter in one.letters])
        yield one
