"""Follows the live topics with a candidate: reads what workers read and write, decides beside them, writes files only.

It has no group and commits nothing: to the brokers it is a reader, to the workers it does not exist. States are filled
from the latest decisions before the first choice is kept. Each item is decided after the workers did, in their order
and with the models of their version.
"""

from __future__ import annotations

import os
import resource
import time
from collections import defaultdict, deque
from collections.abc import Callable
from datetime import UTC, datetime
from math import inf
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq
from kafka import KafkaConsumer, TopicPartition

import streams.parsing  # noqa: F401 - with it a result that cannot be read does not stop the shadow
from agents.risk.brain import Brain
from agents.risk.policy import Policy, PolicyRefusedError
from agents.risk.profiles import Profiles
from agents.step import Arrival
from schemas.codec import Undecodable, codec_for
from schemas.decisions import SelectionDecided
from schemas.inspections import InspectionCompleted, InspectionWithdrawn
from streams.policies import load_policy
from streams.settings import Settings
from streams.shadow.folder import LIVE, ShadowFolder, Status
from streams.shadow.pairing import Pairing, batches
from streams.simulate.candidates import Candidate
from streams.simulate.choices import ChoiceFiles
from streams.simulate.engine import Simulation
from streams.simulate.taken import Known, Taken
from streams.wire import decoded, sent_ms

KNOWLEDGE: Final = ("criteria", "labelled-examples")
TOPICS: Final = (*KNOWLEDGE, "filtered", "decisions", "inspection-results")
RESULTS: Final = pa.schema([
    ("decision_id", pa.string()), ("partition", pa.int32()), ("offset", pa.int64()), ("outcome", pa.string()),
    ("method", pa.string()), ("result_id", pa.string()), ("corrects", pa.string()),
])  # fmt: skip
"""What was reported, in the order of a partition; of a withdrawal, neither outcome nor method."""
_SAY_EVERY_S: Final = 2.0
_WRITE_EVERY_S: Final = 30.0
_CATCH_UP_S: Final = 1.0
_WAITING: Final = 20_000
"""Items without a decision, or decisions without an item, of one partition at which no more are read."""
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
        self._decoders = {topic: codec_for(topic).decode for topic in TOPICS}
        self._workers = _policy_of(settings)
        self._brain = Brain(Profiles())
        as_recorded = None if self._workers is None else Candidate("", self._workers).filters_as
        self._simulation = Simulation([self._candidate], {None: self._brain}, as_recorded)
        self._knowledge: dict[str, deque[Known]] = {topic: deque() for topic in KNOWLEDGE}
        self._read_to = dict.fromkeys(KNOWLEDGE, 0)
        self._live_from: dict[int, int] = {}
        self._pairs: dict[int, Pairing] = defaultdict(Pairing)
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
        """Fold the knowledge from its beginning, then the latest decisions, without keeping choices."""
        knowledge = [TopicPartition(topic, 0) for topic in KNOWLEDGE]
        filtered, decisions, results = ([TopicPartition(topic, at) for at in self._of(consumer, topic)]
                                        for topic in ("filtered", "decisions", "inspection-results"))  # fmt: skip
        places = [*filtered, *decisions, *results]
        consumer.assign([*knowledge, *places])
        begins, ends = consumer.beginning_offsets(places), consumer.end_offsets([*knowledge, *places])
        self._live_from = {at.partition: ends[at] for at in filtered}
        for at in places:
            warm = 0 if at in results else self._warm_items // max(1, len(filtered))
            consumer.seek(at, max(begins[at], ends[at] - warm))
        consumer.seek_to_beginning(*knowledge)
        consumer.pause(*filtered, *results)
        self._drain(consumer, {at: ends[at] for at in (*knowledge, *decisions)})
        consumer.resume(*filtered, *results)
        self._status.state = "running"
        self._cpu_before = time.process_time()

    def _drain(self, consumer: Any, ends: dict[TopicPartition, int]) -> None:
        # The embedded broker's end is that of its last batch's beginning: a moment later the rest has come.
        reached = inf
        while time.monotonic() - reached < _CATCH_UP_S:
            self._take(consumer)
            if reached == inf and all(consumer.position(at) >= end for at, end in ends.items()):
                reached = time.monotonic()

    def _follow(self, consumer: Any, stop: Callable[[], bool]) -> None:
        said = written = time.monotonic()
        while not stop() and not self._folder.asked_to_stop:
            self._take(consumer)
            self._hold_back()
            now = time.monotonic()
            if now - said >= _SAY_EVERY_S:
                said = now
                filtered = [at for at in consumer.assignment() if at.topic == "filtered"]
                ends = consumer.end_offsets(filtered)
                unread = sum(max(0, ends[at] - consumer.position(at)) for at in filtered)
                self._status.behind = unread + sum(map(len, self._pairs.values()))
                self._say("running")
            if now - written >= _WRITE_EVERY_S:
                written = now
                self._write()

    def _take(self, consumer: Any) -> None:
        got = consumer.poll(timeout_ms=200)
        for at in sorted(got, key=lambda one: (TOPICS.index(one.topic), one.partition)):
            for record in got[at]:
                self._read(record)
        for topic in KNOWLEDGE:
            self._read_to[topic] = consumer.position(TopicPartition(topic, 0))
        if self._status.state != "running":
            return
        self._decide()
        paused = consumer.paused()
        for at in consumer.assignment():
            if at.topic in ("filtered", "decisions"):  # one of the two may be far ahead of the other
                full = self._pairs[at.partition].waiting(at.topic) >= _WAITING
                if full != (at in paused):
                    (consumer.pause if full else consumer.resume)(at)

    def _read(self, record: Any) -> None:
        topic, partition = record.topic, record.partition
        try:
            event = decoded(self._decoders[topic], record)
        except Undecodable:
            return  # workers leave it out as well, and count it
        if topic in KNOWLEDGE:
            self._knowledge[topic].append(
                (record.offset, (record.key or b"").decode(errors="replace"), event, sent_ms(record))
            )
            if self._status.state != "running":
                self._learn(topic, record.offset + 1)
        elif topic == "filtered":
            arrival = Arrival(event, topic, partition, record.offset, record.timestamp, sent_ms(record))
            if record.offset < self._live_from[partition]:
                self._simulation.recall([arrival])
            else:
                self._pairs[partition].add_item(arrival)
        elif topic == "decisions":
            self._see_decided(partition, event)
        else:
            self._see_reported(record, event)

    def _see_decided(self, partition: int, decision: SelectionDecided) -> None:
        if decision.upstream.offset >= self._live_from[partition]:
            self._files.add(LIVE, decision)
            self._pairs[partition].add_decision(decision)
            return
        self._simulation.fold(partition, decision)
        if self._workers is None or decision.policy_version != self._workers.policy_version:
            self._simulation.filter_again()  # how the policy that decides filters is not known

    def _see_reported(self, record: Any, event: Any) -> None:
        if isinstance(event, InspectionCompleted):
            said = (event.outcome, event.method, event.result_id, event.corrects)
            self._results.append((event.decision_id, record.partition, record.offset, *said))
        elif isinstance(event, InspectionWithdrawn):
            said_back = (None, None, event.result_id, None)
            self._results.append((event.decision_id, record.partition, record.offset, *said_back))

    def _decide(self) -> None:
        """Decide what workers decided, as far as what they knew has been read."""
        for batch in batches(self._pairs, self._is_known):
            first = batch[0]
            self._learn("labelled-examples", first.version)
            self._learn("criteria", first.arrival.event.criteria_version)
            arrivals = [one.arrival for one in batch]
            self._simulation.decide(first.arrival.partition, arrivals, self._files)
            self._status.items += len(batch)
            times = [arrival.timestamp_ms for arrival in arrivals]
            self._status.from_ms = min(self._status.from_ms or times[0], *times)
            self._status.until_ms = max(self._status.until_ms, *times)

    def _is_known(self, one: Taken) -> bool:
        read = self._read_to
        return one.version <= read["labelled-examples"] and one.arrival.event.criteria_version <= read["criteria"]

    def _learn(self, topic: str, version: int) -> None:
        known = self._knowledge[topic]
        while known and known[0][0] < version:
            offset, key, event, sent = known.popleft()
            if topic == "criteria":
                self._simulation.fold_criteria(offset, key, event, sent)
            else:
                self._brain.fold(offset, key, event)

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
        status.model_version = self._brain.version
        self._folder.write_status(status)

    def _of(self, consumer: Any, topic: str) -> list[int]:
        return sorted(consumer.partitions_for_topic(topic) or ())


def _policy_of(settings: Settings) -> Policy | None:
    """The workers' policy, None where its file is not here."""
    try:
        return load_policy(settings.policy_file)
    except PolicyRefusedError:
        return None


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
