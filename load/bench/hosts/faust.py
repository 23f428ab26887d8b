"""The same agents on stock Faust: one event at a time, `topic.send` for every output, Faust's own acks and commits."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import faust

from load.bench.hosts.work import INPUTS, OUTPUTS, Plan, Report, Work, read_plan


def build(plan: Plan) -> faust.App:
    """The app."""
    work, report = Work(plan), Report(plan)
    app = faust.App(
        plan.group, broker=f"kafka://{plan.brokers}", store="memory://", web_enabled=False, topic_disable_leader=True,
        topic_allow_declare=False, broker_session_timeout=6, broker_heartbeat_interval=1, broker_commit_interval=1.0,
        producer_max_request_size=1_100_000, producer_acks=-1, consumer_auto_offset_reset="earliest",
        stream_wait_empty=False, autodiscover=False, worker_redirect_stdouts=False,
    )  # fmt: skip
    app.conf.producer_linger = 0.005
    out = {topic: app.topic(topic, value_serializer="raw", key_serializer="raw") for topic in OUTPUTS}

    def declare(topics: tuple[str, ...]) -> None:
        async def decide(stream: Any) -> AsyncIterator[None]:
            async for event in stream.events():
                report.taking()
                message = event.message
                headers = message.headers.items() if isinstance(message.headers, dict) else message.headers
                record = (message.offset, round(message.timestamp * 1000), event.value, headers)
                for one in work.decide(message.topic, message.partition, (record,)):
                    delivered = await out[one.topic].send(
                        key=one.key, value=one.value, partition=one.partition, headers=dict(one.headers),
                        timestamp=one.timestamp_ms / 1000,
                    )  # fmt: skip
                    if one.topic == "decisions" and report.decided(1):
                        await delivered
                        report.end()
                yield

        decide.__name__ = topics[0]
        channel = app.topic(*topics, value_serializer="raw", key_serializer="raw")
        app.agent(channel, name=topics[0])(decide)

    declare(INPUTS[:3])
    declare(("screened",))
    declare(("filtered",))
    return app


if __name__ == "__main__":
    made = build(read_plan())
    made.Worker(loglevel="WARN", quiet=True).execute_from_commandline()
