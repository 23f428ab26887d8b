"""The same deciders on Bytewax: one dataflow, a Kafka source and sink around each step, whole batches at a time.

Its offsets would be kept by a recovery store; none is used here, which costs it nothing where the others commit.
"""

from __future__ import annotations

import threading
import time
from itertools import groupby
from typing import Any

import bytewax.operators as op  # type: ignore[import-not-found, unused-ignore]  # the peers' own
from bytewax.connectors.kafka import KafkaSink, KafkaSinkMessage, KafkaSource  # type: ignore[import-not-found, unused-ignore]
from bytewax.dataflow import Dataflow  # type: ignore[import-not-found, unused-ignore]
from bytewax.testing import run_main  # type: ignore[import-not-found, unused-ignore]

from load.bench.hosts.work import BATCH, INPUTS, Plan, Report, Work, read_plan

_SINK = {"linger.ms": "5", "partitioner": "murmur2"}
"""The sink leaves the partition to its client, which has another partitioner by default."""


def build(plan: Plan) -> Any:
    """The dataflow."""
    work, report = Work(plan), Report(plan)
    flow = Dataflow("borderflow")
    left = plan.decisions

    def later() -> None:
        time.sleep(0.1)  # the sink writes what this step returns; its client delivers within its linger
        report.end()

    def decide(messages: list[Any]) -> list[Any]:
        nonlocal left
        report.taking()
        sent = []
        for (topic, partition), group in groupby(messages, key=lambda m: (m.topic, m.partition)):
            records = ((m.offset, m.timestamp[1], m.value, m.headers) for m in group)
            sent += work.decide(topic, partition, records)
        mine = sum(1 for one in sent if one.topic == "decisions")
        if mine:
            left -= mine
            if report.decided(mine):
                threading.Thread(target=later, daemon=True).start()
        return [
            KafkaSinkMessage(s.key, s.value, topic=s.topic, headers=s.headers, partition=s.partition,
                             timestamp=s.timestamp_ms)
            for s in sent
        ]  # fmt: skip

    for topics in (INPUTS[:3], ("screened",), ("filtered",)):
        source = KafkaSource([plan.brokers], list(topics), batch_size=BATCH,
                             add_config={"fetch.wait.max.ms": "50"})  # fmt: skip
        got = op.input(f"read-{topics[0]}", flow, source)
        made = op.flat_map_batch(f"decide-{topics[0]}", got, decide)
        op.output(f"write-{topics[0]}", made, KafkaSink([plan.brokers], None, add_config=_SINK))
    return flow


if __name__ == "__main__":
    run_main(build(read_plan()))
