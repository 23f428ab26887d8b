"""The log of lessons as the command line reads and writes it: fold it into a brain, append an event about a model."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from agents.risk.brain import Brain
from agents.risk.fairness import Audited
from agents.risk.profiles import Profiles
from schemas.codec import Undecodable, ce_type_of, codec_for, encode
from schemas.decisions import AlertRaised
from schemas.inspections import ModelFrozen, ModelPromoted, ModelRolledBack, OutcomeLearned
from streams.settings import Settings
from streams.wire import cloud_event, decoded, rfc3339

TOPIC = "labelled-examples"
ModelEvent = ModelPromoted | ModelFrozen | ModelRolledBack


def folded(settings: Settings) -> Brain:
    """A brain at the end of the log, as every worker has it. Raises the client's `KafkaError`."""
    return asyncio.run(_folded(settings))


def audit_sample(settings: Settings) -> list[Audited]:
    """Travellers drawn by chance whose inspection has come back. Raises the client's `KafkaError`."""
    return asyncio.run(_audit_sample(settings))


class AuditSample:
    """A fold of alerts, and of lessons in the order of their log."""

    def __init__(self) -> None:
        self._drawn: dict[str, tuple[str, float, bool]] = {}
        self._found: dict[str, bool] = {}

    def fold(self, event: Any) -> None:
        """Take in an alert or a lesson; one that took an inspection back takes it out."""
        if isinstance(event, AlertRaised):
            decision, traveller = event.decision, event.filtered.item.traveller
            if traveller is not None and "exploration" in decision.layers:
                also = decision.layer != "exploration"
                self._drawn[decision.decision_id] = (traveller.nationality, decision.score, also)
        elif isinstance(event, OutcomeLearned):
            if event.outcome in ("not-inspected", "passed-on"):
                self._found.pop(event.decision_id, None)
            else:
                self._found[event.decision_id] = event.label == 1

    def audited(self) -> list[Audited]:
        """Those of whom both are known."""
        found = self._found
        return [Audited(*facts, found[one]) for one, facts in self._drawn.items() if one in found]


async def _audit_sample(settings: Settings) -> list[Audited]:
    from streams.rebuild import LogReader

    sample = AuditSample()
    async with LogReader(settings) as reader:
        places = [("alerts", partition) for partition in range(await reader.partitions("alerts"))]
        for topic, partition in (*places, (TOPIC, 0)):
            decode = codec_for(topic).decode
            async for records in reader.read(topic, partition, 0):
                for record in records:
                    sample.fold(_or_none(decode, record))
    return sample.audited()


def _or_none(decode: Any, record: Any) -> Any:
    try:
        return decoded(decode, record)
    except Undecodable:
        return None  # workers leave it out as well


async def _folded(settings: Settings) -> Brain:
    from streams.rebuild import LogReader

    brain, decode = Brain(Profiles()), codec_for(TOPIC).decode
    async with LogReader(settings) as reader:
        async for records in reader.read(TOPIC, 0, 0):
            for record in records:
                key = record.key.decode(errors="replace") if record.key is not None else None
                try:
                    brain.fold(record.offset, key, decoded(decode, record))
                except Undecodable:
                    brain.fold(record.offset, key, None)  # workers leave it out as well
    return brain


def append(settings: Settings, event: ModelEvent) -> int:
    """Append an event and wait until the brokers have it; its offset.

    Raises `TopicsUnfitError`, or the client's `KafkaError`.
    """
    from kafka import KafkaProducer

    from streams.topics import admin, check_topics

    with admin(settings) as client:
        check_topics(client, (), (TOPIC,))  # the producer would wait a minute for one that is missing, or make it
    producer = KafkaProducer(
        **settings.client_options(),
        client_id=f"{settings.group}-models",
        acks="all",
        enable_idempotence=settings.idempotence,
    )
    try:
        now_s = time.time()
        ce_id = f"{TOPIC}/{event.stream}/{type(event).__name__}/{int(now_s * 1000)}"
        headers = cloud_event(ce_id, ce_type_of(type(event)), b"borderflow/command-line", rfc3339(now_s))
        sent = producer.send(
            TOPIC, key=b"models", value=encode(event), headers=headers, partition=0, timestamp_ms=int(now_s * 1000)
        )
        producer.flush()
        return int(sent.get(timeout=settings.request_timeout_s).offset)
    finally:
        producer.close(timeout=5)
