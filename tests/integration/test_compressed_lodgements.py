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
from tests.batches import Lodged, bomb, odd_batches
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
            assert batch.append(key=one.key, value=one.value, timestamp=one.timestamp, headers=list(one.headers))
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


async def _lodge_as_it_is(settings: Settings, batches: list[Lodged]) -> list[int]:
    """Lodge batches as they are, one after the other in one partition; where each begins."""
    producer = AIOKafkaProducer(**settings.client_options(), acks="all", enable_idempotence=False)
    await producer.start()
    try:
        return [
            (await (await producer.send_batch(one, "express-cargo", partition=0))).offset  # type: ignore[arg-type]
            for one in batches
        ]
    finally:
        await producer.stop()


def test_batches_that_no_client_can_read_are_dead_letters_and_everybody_reads_on(tmp_path: Path) -> None:
    odd = [Lodged(count, records, codec) for _, count, records, codec, _ in odd_batches()]
    with border(tmp_path / "logs") as at:
        at.open("one")
        begins = asyncio.run(_lodge_as_it_is(at.settings, [Lodged(1, *bomb(1024)), *odd]))
        sent = asyncio.run(_lodge(at.settings, "zstd", 0))
        _all_are_decided(at, len(sent), letters=1 + 3 * len(odd))
        letters = [dict(one.headers) for one in at.read("express-cargo-dlq")]
        assert {int(one["dlq-offset"]) for one in letters} == set(range(begins[-1] + 3))
        why = {int(one["dlq-offset"]): one["dlq-error"] for one in letters if one["dlq-reason"] == b"unreadable-record"}
        assert why[0] == b"its batch unpacks to more than 16777216 bytes"
        assert len(why) == 1 + sum(count - len(readable) for _, count, _, _, readable in odd_batches())
        _all_are_archived(at, tmp_path / "archive", sent, after=begins[-1] + 3)


def _all_are_decided(at: Border, lodged: int, *, letters: int = 0) -> None:
    decided = {event.item_id for _, event in at.decisions(lodged)}
    assert len(decided) == lodged
    at.running()
    assert len(at.read("express-cargo-dlq")) == letters


def _all_are_archived(at: Border, root: Path, sent: dict[bytes, bytes], *, after: int = 0) -> None:
    """The archive reads with kafka-python, the workers with aiokafka."""
    at.run("archive", "--dir", str(root), "--once")
    records = list(ArchiveReader(Catalogue.of(root)).records("express-cargo", 0))
    assert [one.offset for one in records] == list(range(len(records)))
    records = records[after:]
    assert {one.key: one.value for one in records} == sent
    assert all(header(one.headers, "ce_id") for one in records)
