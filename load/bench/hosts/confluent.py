"""A bare confluent-kafka loop (librdkafka): consume, decide, produce, and every second flush and commit."""

from __future__ import annotations

import time
from collections import defaultdict
from typing import Any

from confluent_kafka import Consumer, Producer  # type: ignore[import-not-found, unused-ignore]  # the peers' own

from load.bench.hosts.work import BATCH, COMMIT_S, INPUTS, Plan, Report, Work, read_plan


def loop(plan: Plan) -> None:
    """Until all decisions are delivered."""
    work, report = Work(plan), Report(plan)
    consumer = Consumer(
        {
            "bootstrap.servers": plan.brokers, "group.id": plan.group, "auto.offset.reset": "earliest",
            "enable.auto.commit": False, "session.timeout.ms": 6000, "heartbeat.interval.ms": 1000,
            "fetch.wait.max.ms": 50, "max.partition.fetch.bytes": 2_097_152,
        }
    )  # fmt: skip
    producer = Producer(
        {"bootstrap.servers": plan.brokers, "acks": "all", "linger.ms": 5, "queue.buffering.max.messages": 1_000_000}
    )
    consumer.subscribe(list(INPUTS))
    due, waiting, taken, done = time.monotonic() + COMMIT_S, 0, False, False
    while not done:
        parts: dict[tuple[str, int], list[Any]] = defaultdict(list)
        for message in consumer.consume(BATCH, 0.05):
            if message.error():
                raise RuntimeError(message.error())
            parts[message.topic(), message.partition()].append(message)
        for (topic, partition), messages in parts.items():
            report.taking()
            records = ((m.offset(), m.timestamp()[1], m.value(), m.headers()) for m in messages)
            for one in work.decide(topic, partition, records):
                producer.produce(
                    one.topic, one.value, one.key, one.partition, timestamp=one.timestamp_ms, headers=one.headers
                )
                waiting += one.topic == "decisions"
            producer.poll(0)
        taken = taken or bool(parts)
        if taken and (time.monotonic() >= due or not parts):
            producer.flush()
            done = report.decided(waiting)
            waiting, taken = 0, False
            consumer.commit(asynchronous=False)
            due = time.monotonic() + COMMIT_S
    report.end()


if __name__ == "__main__":
    loop(read_plan())
