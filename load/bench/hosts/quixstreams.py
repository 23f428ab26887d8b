"""The same deciders on Quix Streams: a dataframe for each input topic, one record at a time, its own commits."""

from __future__ import annotations

from typing import Any

from quixstreams import Application, message_context  # type: ignore[import-not-found, unused-ignore]  # the peers' own
from quixstreams.models import BytesSerializer  # type: ignore[import-not-found, unused-ignore]

from load.bench.hosts.work import COMMIT_S, INPUTS, OUTPUTS, Plan, Report, Sendable, Work, read_plan


class _Value(BytesSerializer):  # type: ignore[misc, unused-ignore]
    def __call__(self, value: Sendable, *given: Any, **named: Any) -> bytes:
        return value.value


def build(plan: Plan) -> Any:
    """The application."""
    work, report = Work(plan), Report(plan)
    app = Application(
        broker_address=plan.brokers, consumer_group=plan.group, auto_offset_reset="earliest", auto_create_topics=False,
        use_changelog_topics=False, loglevel="WARNING", commit_interval=COMMIT_S,
        consumer_extra_config={"session.timeout.ms": 6000, "heartbeat.interval.ms": 1000, "fetch.wait.max.ms": 50},
        producer_extra_config={"partitioner": "murmur2", "linger.ms": 5, "acks": "all",
                               "enable.idempotence": False, "queue.buffering.max.messages": 1_000_000},
    )  # fmt: skip
    out = {topic: app.topic(topic, value_serializer=_Value(), key_serializer="bytes") for topic in OUTPUTS}
    left = plan.decisions

    def decide(value: bytes, key: Any, timestamp: int, headers: Any) -> list[Sendable]:
        nonlocal left
        at = message_context()
        report.taking()
        sent = work.decide(at.topic, at.partition, ((at.offset, timestamp, value, headers or ()),))
        left -= sum(1 for one in sent if one.topic == "decisions")
        return sent

    def delivered(topic: str, partition: int, offset: int) -> None:
        if left <= 0:
            app._processing_context.producer.flush()
            report.decided(plan.decisions)
            report.end()

    app._on_message_processed = delivered
    for topic in INPUTS:
        frame = app.dataframe(app.topic(topic, value_deserializer="bytes", key_deserializer="bytes"))
        frame = frame.apply(decide, expand=True, metadata=True)
        frame = frame.set_headers(lambda one, *_: one.headers)
        frame = frame.set_timestamp(lambda one, *_: one.timestamp_ms)
        frame.to_topic(lambda one, *_: out[one.topic], key=lambda one: one.key)
    return app


if __name__ == "__main__":
    build(read_plan()).run()
