"""Follows the live topics with a candidate: reads what workers read and write, decides beside them, writes files only.

It has no group and commits nothing: to the brokers it is a reader, to the workers it does not exist. States are filled
from the latest records of `screened` before the first choice is kept.
"""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq
from kafka import KafkaConsumer, TopicPartition

import streams.parsing  # noqa: F401 - with it a result that cannot be read does not stop the shadow
from agents.step import Arrival
from schemas.codec import Undecodable, codec_for
from schemas.decisions import SelectionDecided
from schemas.inspections import InspectionCompleted, InspectionWithdrawn
from streams.settings import Settings
from streams.shadow.folder import LIVE, ShadowFolder, Status
from streams.simulate.choices import ChoiceFiles
from streams.simulate.engine import Simulation
from streams.wire import decoded, sent_ms

KNOWLEDGE: Final = ("criteria", "labelled-examples")
RESULTS: Final = pa.schema([
    ("decision_id", pa.string()), ("partition", pa.int32()), ("offset", pa.int64()), ("outcome", pa.string()),
    ("method", pa.string()), ("result_id", pa.string()), ("corrects", pa.string()),
])  # fmt: skip
"""What was reported, in the order of a partition; of a withdrawal, neither outcome nor method."""
_SAY_EVERY_S: Final = 2.0
_WRITE_EVERY_S: Final = 30.0
_CATCH_UP_S: Final = 1.0
_SAVED_S: Final = 10.0
"""So much of a quiet time may be made up for later: after a quiet night it keeps to its limit, too."""


class Follower:
    """One shadow's process. `cpu` is the most of one core that it takes; `warm_items` of the latest traffic fill
    its states."""

    def __init__(self, settings: Settings, folder: ShadowFolder, *, cpu: float, warm_items: int) -> None:
        self._settings = settings
        self._folder = folder
        self._candidate = folder.candidate()
        self._cpu = cpu
        self._warm_items = warm_items
        self._decoders = {topic: codec_for(topic).decode for topic in (*KNOWLEDGE, "screened")}
        self._seen = {topic: codec_for(topic).decode for topic in ("decisions", "inspection-results")}
        self._results: list[tuple[Any, ...]] = []
        self._status = Status(cpu_limit=cpu, process=os.getpid(), started_at=_now())
        self._begun = time.monotonic()
        self._cpu_before = 0.0

    def run(self, stop: Callable[[], bool]) -> Status:
        """Follow until told to stop, by `stop` or through the folder. Raises the client's `KafkaError`, `OSError`."""
        self._files = ChoiceFiles(self._folder.choices)
        self._folder.results.mkdir(parents=True, exist_ok=True)
        self._folder.write_status(self._status)
        try:
            consumer = KafkaConsumer(
                **self._settings.consumer_options(),
                client_id=f"{self._settings.group}-shadow-{self._folder.name}",
                enable_auto_commit=False,
                auto_offset_reset="earliest",
                max_poll_records=1000,
                fetch_max_wait_ms=self._settings.fetch_wait_ms,
            )
            self._catch_up(consumer)
            self._follow(consumer, stop)
        finally:
            self._write()
            self._say("stopped")
        consumer.close(autocommit=False)  # else the process ends: to close it may wait for brokers that are away
        return self._status

    def _catch_up(self, consumer: Any) -> None:
        """Fold the knowledge from its beginning, then the latest traffic, without keeping choices."""
        places = [TopicPartition(topic, at) for topic in ("screened", *self._seen) for at in self._of(consumer, topic)]
        knowledge = [TopicPartition(topic, 0) for topic in KNOWLEDGE]
        self._simulation = Simulation([self._candidate], max(1, len(self._of(consumer, "screened"))))
        consumer.assign(knowledge)
        consumer.seek_to_beginning(*knowledge)
        self._drain(consumer, knowledge)
        reached = {at: consumer.position(at) for at in knowledge}
        consumer.assign([*knowledge, *places])
        for at, offset in reached.items():
            consumer.seek(at, offset)
        ends = consumer.end_offsets(places)
        screened = [at for at in places if at.topic == "screened"]
        begins = consumer.beginning_offsets(screened)
        each = self._warm_items // max(1, len(screened))
        for at in places:
            consumer.seek(at, max(begins[at], ends[at] - each) if at in begins else ends[at])
        self._live_from = {at.partition: ends[at] for at in screened}
        self._status.state = "running"
        self._cpu_before = time.process_time()

    def _drain(self, consumer: Any, places: list[TopicPartition]) -> None:
        ends, quiet = consumer.end_offsets(places), time.monotonic()
        # The embedded broker's end is that of its last batch's beginning: silence tells the rest.
        while time.monotonic() - quiet < _CATCH_UP_S or any(consumer.position(at) < ends[at] for at in places):
            if self._take(consumer):
                quiet = time.monotonic()

    def _follow(self, consumer: Any, stop: Callable[[], bool]) -> None:
        said = written = time.monotonic()
        while not stop() and not self._folder.asked_to_stop:
            self._take(consumer)
            self._hold_back()
            now = time.monotonic()
            if now - said >= _SAY_EVERY_S:
                said = now
                screened = [at for at in consumer.assignment() if at.topic == "screened"]
                ends = consumer.end_offsets(screened)
                self._status.behind = sum(max(0, ends[at] - consumer.position(at)) for at in screened)
                self._say("running")
            if now - written >= _WRITE_EVERY_S:
                written = now
                self._write()

    def _take(self, consumer: Any) -> int:
        got = consumer.poll(timeout_ms=200)
        for at in sorted(got, key=lambda one: (one.topic not in KNOWLEDGE, one.topic, one.partition)):
            if at.topic in KNOWLEDGE:
                for record in got[at]:
                    event = self._event(record)
                    self._simulation.learn(at.topic, record.offset, (record.key or b"").decode(errors="replace"), event)
            elif at.topic == "screened":
                self._decide(at.partition, got[at])
            else:
                for record in got[at]:
                    self._see(record)
        return sum(len(records) for records in got.values())

    def _decide(self, partition: int, records: list[Any]) -> None:
        live, warm = list[Arrival[Any]](), list[Arrival[Any]]()
        for record in records:
            event = self._event(record)
            if event is None:
                continue
            held = live if record.offset >= self._live_from[partition] else warm
            held.append(Arrival(event, "screened", partition, record.offset, record.timestamp, sent_ms(record)))
        if warm:
            self._simulation.decide(warm, 1 << 62, self._files)
        if live:
            self._simulation.decide(live, 0, self._files)
            self._status.items += len(live)
            times = [arrival.timestamp_ms for arrival in live]
            self._status.from_ms = min(self._status.from_ms or times[0], *times)
            self._status.until_ms = max(self._status.until_ms, *times)

    def _see(self, record: Any) -> None:
        """Take what was decided live, and what was found."""
        try:
            event = decoded(self._seen[record.topic], record)
        except Undecodable:
            return  # others count it
        if isinstance(event, SelectionDecided):
            self._files.add(LIVE, event)
        elif isinstance(event, InspectionCompleted):
            said = (event.outcome, event.method, event.result_id, event.corrects)
            self._results.append((event.decision_id, record.partition, record.offset, *said))
        elif isinstance(event, InspectionWithdrawn):
            said_back = (None, None, event.result_id, None)
            self._results.append((event.decision_id, record.partition, record.offset, *said_back))

    def _event(self, record: Any) -> Any:
        try:
            return decoded(self._decoders[record.topic], record)
        except Undecodable:
            return None  # workers leave it out as well

    def _hold_back(self) -> None:
        """Sleep until the CPU time taken is within the limit."""
        spent, passed = time.process_time(), time.monotonic() - self._begun
        ahead = spent / self._cpu - passed
        if ahead < -_SAVED_S:
            self._begun -= ahead + _SAVED_S
        if ahead > 0.01:
            pause = min(ahead, 1.0)
            time.sleep(pause)
            self._status.slept_s += pause

    def _write(self) -> None:
        self._files.close()
        if self._results:
            columns = zip(*self._results, strict=True)
            arrays = [pa.array(one, field.type) for one, field in zip(columns, RESULTS, strict=True)]
            target = self._folder.results / f"results-{time.time_ns():020d}.parquet"
            pq.write_table(pa.Table.from_arrays(arrays, schema=RESULTS), target.with_suffix(".writing"))
            target.with_suffix(".writing").replace(target)
            self._results = []

    def _say(self, state: str) -> None:
        status = self._status
        status.state, status.written_at = state, _now()
        status.cpu_s = time.process_time()
        followed = status.cpu_s - self._cpu_before
        status.cpu_us_per_item = followed / status.items * 1e6 if status.items else 0.0
        status.memory_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        status.model_version = self._simulation.brain.version if hasattr(self, "_simulation") else 0
        self._folder.write_status(status)

    def _of(self, consumer: Any, topic: str) -> list[int]:
        return sorted(consumer.partitions_for_topic(topic) or ())


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
