"""Producing in batches: one batch per partition, keys where the Java client puts them, clear errors."""

from __future__ import annotations

import asyncio

import pytest
from aiokafka.errors import MessageSizeTooLargeError
from aiokafka.partitioner import DefaultPartitioner
from aiokafka.record.default_records import DefaultRecordBatch
from aiokafka.structs import RecordMetadata, TopicPartition
from hypothesis import given
from hypothesis import strategies as st

from streams.partitioning import partition_of, partitions_of
from streams.producing import Publisher, RecordTooLargeError, UnknownTopicError
from streams.recordbatch import RecordBatchBuilder
from streams.wire import Headers, Outgoing, Placed, Stamp, cloud_event


class RecordingProducer:
    """Stands for an aiokafka producer: keeps the batches that it is given."""

    def __init__(self, partitions: int = 4, batch_size: int = 4096, largest: int = 1 << 20) -> None:
        self.partitions, self.batch_size, self.largest = partitions, batch_size, largest
        self.sent: list[tuple[str, int, list[bytes]]] = []
        self.ends: dict[tuple[str, int], int] = {}

    async def partitions_for(self, topic: str) -> set[int]:
        return set(range(self.partitions))

    async def send_batch(
        self, batch: RecordBatchBuilder, topic: str, *, partition: int
    ) -> asyncio.Future[RecordMetadata]:
        done: asyncio.Future[RecordMetadata] = asyncio.get_running_loop().create_future()
        if batch.size() > self.largest:
            done.set_exception(MessageSizeTooLargeError())
            return done
        records = [record.value for record in DefaultRecordBatch(bytes(batch._build()))]
        self.sent.append((topic, partition, records))
        at, begin = TopicPartition(topic, partition), self.ends.get((topic, partition), 0)
        self.ends[topic, partition] = begin + len(records)
        done.set_result(RecordMetadata(topic, partition, at, begin, 0, 0, 0))
        return done


def lodge(producer: RecordingProducer, records: list[Outgoing], topic: str = "screened") -> list[Placed]:
    return asyncio.run(Publisher(producer, producer.batch_size).publish(topic, records))


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
    assert partition_of(key, 97) == partition_of(key.decode(), 97) == (murmur2 & 0x7FFFFFFF) % 97


@given(
    st.lists(st.binary(min_size=34, max_size=34), max_size=40),
    st.lists(st.none() | st.binary(max_size=60)),
    st.integers(1, 50),
)
def test_many_keys_go_where_each_of_them_goes(
    pseudonyms: list[bytes], others: list[bytes | None], partitions: int
) -> None:
    for keys in (pseudonyms, others, [*pseudonyms, *others]):
        assert partitions_of(keys, partitions) == [partition_of(key, partitions) for key in keys]


@given(st.integers(0, 60).flatmap(lambda size: st.lists(st.binary(min_size=size, max_size=size), min_size=10)))
def test_keys_of_any_one_size_go_where_each_of_them_goes(keys: list[bytes]) -> None:
    assert partitions_of(keys, 1 << 31) == [partition_of(key, 1 << 31) for key in keys]


def test_a_record_without_a_key_keeps_its_order_in_partition_0() -> None:
    assert partition_of(None, 12) == 0


def test_what_follows_from_one_batch_is_one_produce_batch_per_partition() -> None:
    producer = RecordingProducer()
    placed = lodge(producer, [record(b"%d" % n, partition=n % 2) for n in range(20)])
    assert [(one.partition, one.offset, len(one.records)) for one in placed] == [(0, 0, 10), (1, 0, 10)]
    assert sorted(producer.sent) == [
        ("screened", 0, [b"%d" % n for n in range(0, 20, 2)]),
        ("screened", 1, [b"%d" % n for n in range(1, 20, 2)]),
    ]


def test_what_does_not_fit_one_batch_is_split_in_order() -> None:
    producer = RecordingProducer(batch_size=1000)
    placed = lodge(producer, [record(b"%04d" % n + b"x" * 200, partition=1) for n in range(12)])
    assert [made.value for one in placed for made in one.records] == [b"%04d" % n + b"x" * 200 for n in range(12)]
    assert len(placed) > 1
    assert [one.offset for one in placed] == [int(one.records[0].value[:4]) for one in placed if one.records[0].value]
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


Sent = tuple[int, bytes | None, bytes | None, Headers]
SENT: st.SearchStrategy[Sent] = st.tuples(
    st.integers(0, 1 << 52),
    st.none() | st.binary(max_size=200),
    st.none() | st.binary(max_size=200),
    st.lists(st.tuples(st.text(max_size=20), st.binary(max_size=200)), max_size=4),
)


@given(st.lists(SENT, min_size=1, max_size=20), st.integers(-1, 1 << 40), st.integers(-1, 100))
def test_other_clients_read_a_batch_as_it_was_built(sent: list[Sent], producer_id: int, sequence: int) -> None:
    builder = RecordBatchBuilder(1_000_000)
    records = [Outgoing(key, value, at_ms, headers) for at_ms, key, value, headers in sent]
    assert builder.fill(records) == len(sent)
    builder._set_producer_state(producer_id, 3, sequence)
    built = bytes(builder._build())
    assert len(built) == builder.size()
    read = DefaultRecordBatch(built)
    assert read.validate_crc()
    assert (read.producer_id, read.base_offset, read.next_offset) == (producer_id, 0, len(sent))
    assert read.max_timestamp == max(at_ms for at_ms, _, _, _ in sent)
    assert [(r.offset, r.timestamp, r.key, r.value, list(r.headers)) for r in read] == [
        (place, *record) for place, record in enumerate(sent)
    ]


def test_a_stamp_is_the_headers_of_a_cloud_event() -> None:
    builder = RecordBatchBuilder(1000)
    stamp = Stamp("borderflow.ItemScreened.v1", b"/worker/screening", b"2026-01-01T00:00:00.000Z")
    builder.fill([Outgoing(None, b"{}", 1, stamp("s-1"))])
    (read,) = DefaultRecordBatch(bytes(builder._build()))
    assert list(read.headers) == stamp.headers("s-1")
    expected = cloud_event("s-1", "borderflow.ItemScreened.v1", b"/worker/screening", b"2026-01-01T00:00:00.000Z")
    assert sorted(read.headers) == sorted(expected)
