"""Reads the loop's topics from their beginning, without a group, and tells the ledger (and the inspectors)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec
from aiokafka import AIOKafkaConsumer

from load.ledger import Ledger
from load.seen import AlertSeen, DeadLetterSeen, DecisionSeen, ResultSeen
from schemas.decisions import AlertRaised
from schemas.lodgements import Lodgement

LODGEMENTS = ("manifests", "express-cargo", "passengers")
DEAD_LETTERS = tuple(
    f"{topic}-dlq" for topic in (*LODGEMENTS, "screened", "filtered", "inspection-results")
)  # fmt: skip
TOPICS = ("decisions", "alerts", "inspection-results", *DEAD_LETTERS)
"""What the account needs. With the lodgement topics beside them it needs no word from the lodger."""

OnAlert = Callable[[AlertRaised, str], None]


class _OriginOf(msgspec.Struct):
    """Where a screened item (or a filtered one, which holds it) was lodged."""

    topic: str
    partition: int
    offset: int
    index: int = 0


class _Screened(msgspec.Struct):
    origin: _OriginOf


class _Filtered(msgspec.Struct):
    item: _Screened


class _Consignments(msgspec.Struct):
    consignments: list[msgspec.Raw]


_DECISION = msgspec.json.Decoder(DecisionSeen)
_ALERT = msgspec.json.Decoder(AlertSeen)
_FULL_ALERT = msgspec.json.Decoder(AlertRaised)
_RESULT = msgspec.json.Decoder(ResultSeen)
_SCREENED = msgspec.json.Decoder(_Screened)
_FILTERED = msgspec.json.Decoder(_Filtered)
_CONSIGNMENTS = msgspec.json.Decoder(_Consignments)


def items_in(topic: str, body: Lodgement | bytes | None) -> int:
    """How many items a lodgement holds; one that cannot be read counts as one."""
    if topic != "manifests" or body is None:
        return 1
    if not isinstance(body, bytes):
        return len(getattr(body, "consignments", ())) or 1
    try:
        return len(_CONSIGNMENTS.decode(body).consignments) or 1
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return 1


def dead_letter_of(headers: Sequence[tuple[str, bytes | None]], value: bytes | None) -> DeadLetterSeen | None:
    """What a dead letter is about, in terms of the lodgement; None for one whose lodgement cannot be told.

    A letter from an internal topic names a record of that topic; the lodgement it came from is in its value.
    """
    said = {name: text.decode("utf-8", "replace") for name, text in headers if text and name.startswith("dlq-")}
    topic = said.get("dlq-topic", "")
    index = said.get("dlq-index", "")
    reason = said.get("dlq-reason", "unknown")
    try:
        if topic in ("screened", "filtered"):
            origin = (
                _SCREENED.decode(value or b"").origin
                if topic == "screened"
                else _FILTERED.decode(value or b"").item.origin
            )
            return DeadLetterSeen(origin.topic, origin.partition, origin.offset, origin.index, reason)
        partition, offset = int(said["dlq-partition"]), int(said["dlq-offset"])
    except (KeyError, ValueError, msgspec.DecodeError):
        return None
    return DeadLetterSeen(topic, partition, offset, int(index) if index else None, reason)


def _is_marker(headers: Sequence[tuple[str, bytes | None]]) -> bool:
    """Whether a record of a dead-letter topic is no letter but says that one was sent again."""
    return any(name == "dlq-redriven-offset" for name, _ in headers)


class Reader:
    """Feeds a ledger with everything on `topics`; `on_alert` gets each full alert with its `ce_id`.

    What follows from lodgements sent before `since_ms` (wall clock) belongs to an earlier run and is passed over.
    """

    def __init__(self, ledger: Ledger, on_alert: OnAlert | None = None) -> None:
        self.ledger = ledger
        self.since_ms = 0
        self.ready = asyncio.Event()
        """Set when `follow` knows where it begins in every partition."""
        self._on_alert = on_alert

    def feed(self, record: Any, wall_ms: float) -> None:
        """Take one Kafka record (topic, partition, offset, value, headers)."""
        topic, value = record.topic, record.value
        try:
            if topic == "decisions":
                decision = _DECISION.decode(value)
                if decision.origin.sent_ms >= self.since_ms:
                    self.ledger.saw_decision(decision, ce_id_of(record.headers), wall_ms)
            elif topic == "alerts":
                alert = _ALERT.decode(value)
                if alert.decision.origin.sent_ms < self.since_ms:
                    return
                ce_id = ce_id_of(record.headers)
                if self.ledger.saw_alert(alert, wall_ms, ce_id) and self._on_alert is not None:
                    self._on_alert(_FULL_ALERT.decode(value), ce_id)
            elif topic == "inspection-results":
                self.ledger.saw_result(_RESULT.decode(value))
            elif topic in LODGEMENTS:
                self.ledger.lodged(topic, record.partition, record.offset, items_in(topic, value))
            elif _is_marker(record.headers) or ((sent_ms_of(record.headers) or self.since_ms) < self.since_ms):
                return
            elif (letter := dead_letter_of(record.headers, value)) is None:
                self.ledger.unreadable += 1
            else:
                self.ledger.saw_dead_letter(letter)
        except msgspec.DecodeError:
            self.ledger.unreadable += 1

    async def follow(
        self,
        client_options: Mapping[str, Any],
        stop: asyncio.Event,
        topics: Iterable[str] = TOPICS,
        *,
        from_end: bool = False,
        wait_ms: int = 20,
    ) -> None:
        """Read from the beginning (or from the end as it is now) until `stop`.

        `wait_ms` is how long a broker may hold a fetch.
        """
        consumer = AIOKafkaConsumer(
            *topics,
            **client_options,
            client_id="borderflow-ledger",
            group_id=None,
            auto_offset_reset="earliest",
            enable_auto_commit=False,
            fetch_max_wait_ms=wait_ms,
            max_partition_fetch_bytes=2_097_152,
        )
        await consumer.start()
        try:
            if from_end:
                await consumer.seek_to_end()
            await asyncio.gather(*(consumer.position(place) for place in consumer.assignment()))
            self.ready.set()
            while not stop.is_set():
                fetched = await consumer.getmany(timeout_ms=100, max_records=2000)
                wall_ms = time.time() * 1000
                for records in fetched.values():
                    for record in records:
                        self.feed(record, wall_ms)
        finally:
            await consumer.stop()


def ce_id_of(headers: Sequence[tuple[str, bytes | None]]) -> str:
    """The CloudEvents id of a record, empty when it has none."""
    for name, value in headers:
        if name == "ce_id" and value is not None:
            return value.decode("utf-8", "replace")
    return ""


def sent_ms_of(headers: Sequence[tuple[str, bytes | None]]) -> int | None:
    """The CloudEvents time of a record in milliseconds, None when it has none that can be read."""
    for name, value in headers:
        if name == "ce_time" and value is not None:
            try:
                return round(datetime.fromisoformat(value.decode()).timestamp() * 1000)
            except ValueError:
                return None
    return None
