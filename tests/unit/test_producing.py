"""Producing in batches: one batch per partition, keys where the Java client puts them, clear errors."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiokafka.errors import MessageSizeTooLargeError
from aiokafka.partitioner import DefaultPartitioner
from aiokafka.producer.message_accumulator import BatchBuilder
from aiokafka.record.default_records import DefaultRecordBatch
from hypothesis import given
from hypothesis import strategies as st

from streams.producing import Publisher, RecordTooLargeError, UnknownTopicError, partition_of
from streams.wire import Outgoing


class RecordingProducer:
    """Stands for an aiokafka producer: keeps the batches that it is given."""

    def __init__(self, partitions: int = 4, batch_size: int = 4096, largest: int = 1 << 20) -> None:
        self.partitions, self.batch_size, self.largest = partitions, batch_size, largest
        self.sent: list[tuple[str, int, list[bytes]]] = []

    async def partitions_for(self, topic: str) -> set[int]:
        return set(range(self.partitions))

    def create_batch(self) -> BatchBuilder:
        return BatchBuilder(self.batch_size, 0)

    async def send_batch(self, batch: BatchBuilder, topic: str, *, partition: int) -> asyncio.Future[None]:
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if batch.size() > self.largest:
            done.set_exception(MessageSizeTooLargeError())
            return done
        records = [record.value for record in DefaultRecordBatch(bytes(batch._build()))]
        self.sent.append((topic, partition, records))
        done.set_result(None)
        return done


def lodge(producer: Any, records: list[Outgoing], topic: str = "screened") -> int:
    return asyncio.run(Publisher(producer).publish(topic, records))


def record(value: bytes, key: bytes = b"k", partition: int | None = None) -> Outgoing:
    return Outgoing(key, value, 1_700_000_000_000, [("ce_id", b"1")], partition)


@given(st.binary(max_size=40), st.integers(1, 50))
def test_a_key_goes_where_other_clients_put_it(key: bytes, partitions: int) -> None:
    every = list(range(partitions))
    assert partition_of(key, partitions) == DefaultPartitioner()(key, every, every)


@pytest.mark.parametrize(
    ("key", "murmur2"),
    [(b"21", -973932308), (b"foobar", -790332482), (b"a-little-bit-long-string", -985981536)],
)
def test_a_key_goes_where_the_java_client_puts_it(key: bytes, murmur2: int) -> None:
    """Values of Apache Kafka's own test of `Utils.murmur2`."""
    assert partition_of(key, 97) == (murmur2 & 0x7FFFFFFF) % 97


def test_a_record_without_a_key_keeps_its_order_in_partition_0() -> None:
    assert partition_of(None, 12) == 0


def test_what_follows_from_one_batch_is_one_produce_batch_per_partition() -> None:
    producer = RecordingProducer()
    assert lodge(producer, [record(b"%d" % n, partition=n % 2) for n in range(20)]) == 20
    assert sorted(producer.sent) == [
        ("screened", 0, [b"%d" % n for n in range(0, 20, 2)]),
        ("screened", 1, [b"%d" % n for n in range(1, 20, 2)]),
    ]


def test_what_does_not_fit_one_batch_is_split_in_order() -> None:
    producer = RecordingProducer(batch_size=1000)
    lodge(producer, [record(b"%04d" % n + b"x" * 200, partition=1) for n in range(12)])
    assert len(producer.sent) > 1
    assert [value[:4] for _, _, values in producer.sent for value in values] == [b"%04d" % n for n in range(12)]


def test_a_record_larger_than_the_brokers_take_is_named_by_topic_and_size_not_by_content() -> None:
    producer = RecordingProducer(batch_size=1000, largest=2000)
    with pytest.raises(RecordTooLargeError, match=r"2986 bytes for topic 'decisions'") as caught:
        lodge(producer, [record(b"private" + b"x" * 2900)], "decisions")
    assert "private" not in str(caught.value)


def test_a_topic_that_does_not_exist_is_an_error_that_says_what_to_do() -> None:
    class Empty(RecordingProducer):
        async def partitions_for(self, topic: str) -> set[int]:
            return set()

    with pytest.raises(UnknownTopicError, match="topics create"):
        lodge(Empty(), [record(b"x")])


def test_a_partition_that_the_topic_does_not_have_is_refused() -> None:
    with pytest.raises(ValueError, match="no partition 4"):
        lodge(RecordingProducer(), [record(b"x", partition=4)])
