"""The log of lessons as the command line reads and writes it: fold it into a brain, append an event about a model."""

from __future__ import annotations

import asyncio
import time

from agents.risk.brain import Brain
from agents.risk.profiles import Profiles
from schemas.codec import Undecodable, ce_type_of, codec_for, encode
from schemas.inspections import ModelFrozen, ModelPromoted, ModelRolledBack
from streams.settings import Settings
from streams.wire import cloud_event, decoded, rfc3339

TOPIC = "labelled-examples"
ModelEvent = ModelPromoted | ModelFrozen | ModelRolledBack


def folded(settings: Settings) -> Brain:
    """A brain at the end of the log, as every worker has it. Raises the client's `KafkaError`."""
    return asyncio.run(_folded(settings))


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
    """Append an event and wait until the brokers have it; its offset. Raises the client's `KafkaError`."""
    from kafka import KafkaProducer

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
