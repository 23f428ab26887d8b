"""A bare aiokafka loop: fetch, decide, one record batch a partition, wait until delivered, commit every second."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.structs import OffsetAndMetadata, TopicPartition

from load.bench.hosts.work import BATCH, COMMIT_S, INPUTS, Plan, Report, Sendable, Work, read_plan


async def produce(producer: AIOKafkaProducer, sent: list[Sendable]) -> None:
    """Deliver records, one batch a partition."""
    batches: dict[tuple[str, int], Any] = {}
    waiting = []
    for one in sent:
        at = (one.topic, one.partition)
        batch = batches.get(at)
        if batch is None:
            batch = batches[at] = producer.create_batch()
        if batch.append(timestamp=one.timestamp_ms, key=one.key, value=one.value, headers=one.headers) is None:
            waiting.append(await producer.send_batch(batch, one.topic, partition=one.partition))
            batch = batches[at] = producer.create_batch()
            batch.append(timestamp=one.timestamp_ms, key=one.key, value=one.value, headers=one.headers)
    for (topic, partition), batch in batches.items():
        batch.close()
        waiting.append(await producer.send_batch(batch, topic, partition=partition))
    await asyncio.gather(*waiting)


async def loop(plan: Plan) -> None:
    """Until all decisions are delivered."""
    work, report = Work(plan), Report(plan)
    consumer = AIOKafkaConsumer(
        *INPUTS, bootstrap_servers=plan.brokers, group_id=plan.group, auto_offset_reset="earliest",
        enable_auto_commit=False, session_timeout_ms=6000, heartbeat_interval_ms=1000, fetch_max_wait_ms=50,
        max_partition_fetch_bytes=2_097_152,
    )  # fmt: skip
    producer = AIOKafkaProducer(
        bootstrap_servers=plan.brokers, acks="all", max_batch_size=1_000_000, max_request_size=1_100_000
    )  # fmt: skip
    await consumer.start()
    await producer.start()
    committed, due = {}, time.monotonic() + COMMIT_S
    done = False
    while not done:
        for tp, records in (await consumer.getmany(timeout_ms=200, max_records=BATCH)).items():
            report.taking()
            sent = work.decide(tp.topic, tp.partition, ((r.offset, r.timestamp, r.value, r.headers) for r in records))
            await produce(producer, sent)
            committed[TopicPartition(tp.topic, tp.partition)] = OffsetAndMetadata(records[-1].offset + 1, "")
            done = report.delivered(sent)
        if committed and time.monotonic() >= due:
            await consumer.commit(committed)
            committed, due = {}, time.monotonic() + COMMIT_S
    report.end()


if __name__ == "__main__":
    asyncio.run(loop(read_plan()))
