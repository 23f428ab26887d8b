"""What anybody may lodge as a record batch is read by both Kafka clients, up to a bound, and stops neither."""

from __future__ import annotations

import resource
from collections.abc import Callable

import pytest
from aiokafka.consumer.fetcher import READ_COMMITTED
from aiokafka.errors import CorruptRecordException
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.structs import TopicPartition
from kafka.errors import CorruptRecordError
from kafka.record.memory_records import MemoryRecords as KafkaPythonRecords

from agents.step import Refusal
from streams import fetching, parsing
from streams.deadletter import dead_letters
from streams.unpacking import MOST_BYTES, MOST_HEADERS
from streams.wire import FetchedRecord
from tests.batches import CODECS, NOON_MS, batch, bomb, odd_batches, packed, record

MIB = 1024 * 1024

Read = Callable[..., tuple[list[tuple[int, bytes | None]], int]]
"""Fetches from one offset on: offsets and values (None where nothing is known), and where the next fetch begins."""


def by_aiokafka(fetched: bytes, at: int = 0, topic: str = "manifests") -> tuple[list[tuple[int, bytes | None]], int]:
    """As workers and the console read."""
    records = fetching.ParsedRecords(
        TopicPartition(topic, 0), MemoryRecords(fetched), [], at, None, None, True, READ_COMMITTED
    )
    return [(one.offset, one.value) for one in records], records.next_fetch_offset


def by_kafka_python(
    fetched: bytes, at: int = 0, topic: str = "manifests"
) -> tuple[list[tuple[int, bytes | None]], int]:
    """As the archive and shadows read."""
    records = parsing.ParsedRecords(at, TopicPartition(topic, 0), KafkaPythonRecords(fetched))
    return [(one.offset, one.value) for one in records.take()], records.next_fetch_offset


def headed(headers: int) -> FetchedRecord:
    """A record with so many headers."""
    return FetchedRecord("express-cargo", 0, 0, NOON_MS, b"k", b"v", [("h", None)] * headers)


both = pytest.mark.parametrize("read", [by_aiokafka, by_kafka_python])


@both
@pytest.mark.parametrize("codec", CODECS)
def test_what_every_codec_packs_is_read(read: Read, codec: str) -> None:
    records, number = packed(codec, [record(0, b"a" * 2 * MIB), record(1)])
    assert read(batch(2, records, number)) == ([(0, b"a" * 2 * MIB), (1, b"v")], 2)


@both
@pytest.mark.parametrize("codec", CODECS)
def test_what_unpacks_to_too_much_is_passed_over(read: Read, codec: str) -> None:
    records, number = packed(codec, [record(0, bytes(MOST_BYTES // 2)), record(1, bytes(MOST_BYTES // 2))])
    assert read(batch(2, records, number)) == ([(0, None), (1, None)], 2)


def test_what_unpacks_to_a_gigabyte_takes_no_more_memory_than_the_bound() -> None:
    records, number = bomb(1024)
    assert len(records) < MIB // 8
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert by_aiokafka(batch(1, records, number)) == ([(0, None)], 1)
    assert by_kafka_python(batch(1, records, number)) == ([(0, None)], 1)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 4 * MOST_BYTES // 1024


@both
def test_a_fetch_of_many_batches_ends_when_it_has_unpacked_enough(read: Read) -> None:
    records, number = packed("zstd", [record(0, bytes(MOST_BYTES // 4))])
    batches = [batch(1, records, number, first=offset) for offset in range(20)]
    read_at, following = list[int](), 0
    while following < 20:
        got, following = read(b"".join(batches[following:]), following)
        read_at += [offset for offset, _ in got]
        assert sum(len(value or b"") for _, value in got) <= MOST_BYTES + MOST_BYTES // 4
    assert read_at == list(range(20))


@both
@pytest.mark.parametrize(("count", "records", "codec", "readable"), [one[1:] for one in odd_batches()],
                         ids=[one[0] for one in odd_batches()])  # fmt: skip
def test_each_offset_of_an_odd_batch_is_a_record_or_none_that_can_be_read(
    read: Read, count: int, records: bytes, codec: int, readable: list[int]
) -> None:
    fetched = batch(count, records, codec, first=5) + batch(1, record(0), first=5 + count)
    told = [(5 + place, b"v" if place in readable else None) for place in range(count)] + [(5 + count, b"v")]
    for begun in range(count):
        assert read(fetched, 5 + begun) == (told[begun:], 6 + count)


@both
def test_what_compaction_took_out_of_a_batch_is_no_gap(read: Read) -> None:
    left = batch(4, record(1) + record(2), gone=2)
    assert read(left, topic="criteria") == ([(1, b"v"), (2, b"v")], 4)
    assert read(left, topic="manifests") == ([(offset, None) for offset in range(4)], 4)


@both
def test_a_record_of_nothing_but_headers_is_not_kept(read: Read) -> None:
    fetched = batch(3, record(0, headers=1_000) + record(1, headers=1_001) + record(2))
    assert read(fetched) == ([(0, b"v"), (1, None), (2, None)], 3)


@both
def test_the_dead_letter_of_a_record_with_as_many_headers_as_may_be_is_read(read: Read) -> None:
    (letter,) = dead_letters({0: headed(MOST_HEADERS)}, [Refusal(0, "not-json", "", "")], "screening", NOON_MS)
    assert len(letter.headers) > MOST_HEADERS
    fetched = batch(1, record(0, headers=len(letter.headers)))
    assert read(fetched, topic="express-cargo-dlq") == ([(0, b"v")], 1)


@both
def test_a_batch_that_a_disk_has_spoilt_is_an_error(read: Read) -> None:
    spoilt = batch(1, record(0))[:-2] + b"ww"
    with pytest.raises((CorruptRecordException, CorruptRecordError)):
        read(spoilt)
