"""The work that every host does: the same deciders, the same codec, the same headers, the same partitions.

A host gives records of one partition in their order, any number at a time, and gets the records to produce.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from agents.step import Arrival
from load.bench.deciders import deciders
from load.bench.knowledge import read_knowledge
from schemas.codec import ce_type_of, codec_for, encode
from streams.partitioning import partition_of
from streams.policies import load_policy
from streams.wire import cloud_event, milliseconds, rfc3339

INPUTS = ("manifests", "express-cargo", "passengers", "screened", "filtered")
OUTPUTS = ("screened", "filtered", "decisions", "alerts", "monitoring")
BATCH = 500
"""Records that a host asks for at once, where it can."""
COMMIT_S = 1.0


class Plan(msgspec.Struct, frozen=True):
    """What one run is told."""

    brokers: str
    group: str
    decisions: int
    partitions: dict[str, int]
    knowledge: str
    report: str


def read_plan() -> Plan:
    """The plan named on the command line."""
    return msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=Plan)


class Sendable(NamedTuple):
    """One record to produce."""

    topic: str
    partition: int
    key: bytes
    value: bytes
    timestamp_ms: int
    headers: list[tuple[str, bytes]]


class Work:
    """The deciders with their states."""

    def __init__(self, plan: Plan) -> None:
        made = deciders(load_policy())
        for topic, book in (
            ("labelled-examples", made.brain), ("criteria", made.criteria), ("risk-information", made.risk_information)
        ):  # fmt: skip
            decode = codec_for(topic).decode
            for offset, (key, value, ce_type) in enumerate(read_knowledge(Path(plan.knowledge)).of(topic)):
                book.fold(offset, key.decode(), decode(value, ce_type))
        self._steps = made.by_input
        self._decoders = {topic: codec_for(topic).decode for topic in INPUTS}
        self._partitions = plan.partitions
        self._states: dict[tuple[str, int], Any] = {}

    def decide(
        self, topic: str, partition: int, records: Iterable[tuple[int, int, bytes, Iterable[tuple[str, bytes]]]]
    ) -> list[Sendable]:
        """What follows from (offset, timestamp in ms, value, headers) of one partition."""
        step, decode = self._steps[topic], self._decoders[topic]
        arrivals = []
        for offset, at_ms, value, headers in records:
            ce_type, sent = None, at_ms
            for name, text in headers:
                if name == "ce_type":
                    ce_type = text
                elif name == "ce_time":
                    sent = milliseconds(text) or at_ms
            arrivals.append(Arrival(decode(value, ce_type), topic, partition, offset, at_ms, sent))
        at = (topic, partition)
        if at not in self._states:
            self._states[at] = step.begin(partition, 0)
        outcome = step.decide(self._states[at], arrivals)
        if outcome.refusals:
            raise RuntimeError(f"the recorded input is clean, and {step.name} refused: {outcome.refusals[0]}")
        sent_at, source = rfc3339(time.time()), f"/bench/{step.name}".encode()
        made = []
        for out in outcome.outputs:
            key = out.key.encode()
            to = partition_of(key, self._partitions[out.topic]) if out.partition is None else out.partition
            headers_out = cloud_event(out.ce_id, ce_type_of(type(out.event)), source, sent_at)
            made.append(Sendable(out.topic, to, key, encode(out.event), out.at_ms, headers_out))
        return made


class Report:
    """When the first record was taken and the last decision delivered, and what that took. Ends the process."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._began: tuple[float, float] | None = None
        self._decided = 0

    def taking(self) -> None:
        """Records are about to be decided."""
        if self._began is None:
            self._began = time.monotonic(), time.process_time()

    def delivered(self, sent: Iterable[Sendable]) -> bool:
        """These were delivered; True once all decisions were."""
        return self.decided(sum(1 for one in sent if one.topic == "decisions"))

    def decided(self, decisions: int) -> bool:
        """So many more decisions were delivered; True once all were."""
        self._decided += decisions
        return self._decided >= self._plan.decisions

    def end(self) -> None:
        """Write the report and end the process."""
        assert self._began is not None  # noqa: S101 - something was taken
        wall, cpu = time.monotonic() - self._began[0], time.process_time() - self._began[1]
        status = Path("/proc/self/status").read_text()
        peak = int(status.partition("VmHWM:")[2].split()[0]) / 1024
        said = {"decided": self._decided, "wall_s": wall, "cpu_s": cpu, "peak_mb": peak}
        Path(self._plan.report).write_text(json.dumps(said))
        sys.stdout.flush()
        os._exit(0)
