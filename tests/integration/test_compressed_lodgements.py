"""Lodgers compress as they like: workers decide what every codec packs, and both Kafka clients read it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer

from streams.archive.layout import Catalogue
from streams.archive.reading import ArchiveReader
from streams.settings import Settings
from streams.wire import header
from tests.integration.border import Border, border, parcel, parcel_record

pytestmark = pytest.mark.broker

CODECS = ("gzip", "snappy", "lz4", "zstd")
PARCELS = 2_500
"""In one batch: more than a MiB before it is packed, which is where some readers of zstd end."""


async def _lodge(settings: Settings, codec: str, number: int) -> dict[bytes, bytes]:
    """Lodge parcels from `number` on as one packed batch in one partition; their values by key."""
    producer = AIOKafkaProducer(
        **settings.client_options(), acks="all", enable_idempotence=False, compression_type=codec,
        max_batch_size=4_000_000, max_request_size=4_000_000,
    )  # fmt: skip
    await producer.start()
    try:
        batch, sent = producer.create_batch(), {}
        for n in range(number, number + PARCELS):
            one = parcel_record(parcel(n))
            assert one.key is not None
            assert one.value is not None
            assert batch.append(key=one.key, value=one.value, timestamp=one.timestamp_ms, headers=list(one.headers))
            sent[one.key] = one.value
        assert sum(map(len, sent.values())) > 1_048_576
        await (await producer.send_batch(batch, "express-cargo", partition=0))
    finally:
        await producer.stop()
    return sent


def test_every_codec_is_decided_and_archived(tmp_path: Path) -> None:
    with border(tmp_path / "logs") as at:
        at.open("one")
        sent: dict[bytes, bytes] = {}
        for place, codec in enumerate(CODECS):
            sent |= asyncio.run(_lodge(at.settings, codec, place * PARCELS))
        _all_are_decided(at, len(sent))
        _all_are_archived(at, tmp_path / "archive", sent)


def _all_are_decided(at: Border, lodged: int) -> None:
    decided = {event.item_id for _, event in at.decisions(lodged)}
    assert len(decided) == lodged
    at.running()
    assert at.read("express-cargo-dlq") == []


def _all_are_archived(at: Border, root: Path, sent: dict[bytes, bytes]) -> None:
    """The archive reads with kafka-python, the workers with aiokafka."""
    at.run("archive", "--dir", str(root), "--once")
    records = list(ArchiveReader(Catalogue.of(root)).records("express-cargo", 0))
    assert {one.key: one.value for one in records} == sent
    assert all(header(one.headers, "ce_id") for one in records)
