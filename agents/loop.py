"""The whole loop in one process, over files or lists, without a broker: for tests, benchmarks and replay.

It hosts the same four steps as the stream does and keeps the books that a broker would keep: topics, partitions,
offsets. Every record goes as far as it can before the next call returns: a lodgement to its decision and alert, a
result to its lesson, which the models have folded by then. No clock and no I/O: what comes out is a function of what
was put in and of how it was batched.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol
from zlib import crc32

import msgspec

from agents.epoch import epoch_ms
from agents.filtering import Filtering
from agents.reevaluation import ReEvaluation
from agents.risk.brain import Brain
from agents.risk.criteria import CriteriaBook
from agents.risk.policy import Policy
from agents.risk.profiles import Profiles
from agents.risk.risk_information import RiskInformationBook
from agents.screening import Screening
from agents.selection import Selection
from agents.step import Arrival, Memory, Outcome, Output, Refusal, Step
from schemas.decisions import AlertRaised, SelectionDecided
from schemas.inspections import InspectionCompleted, OutcomeLearned

PartitionOf = Callable[[str, int], int]
"""(key, number of partitions) to the partition of a record."""

PassOn = Callable[[str, Any], Any]
"""(topic, event) to the event as the next step gets it."""

ONE_PARTITION: Final = frozenset(("labelled-examples", "criteria", "risk-information", "monitoring"))


class Book(Protocol):
    """A fold of a one-partition log, of which every worker has a copy (the brain, criteria, risk information)."""

    def fold(self, offset: int, key: str | None, event: Any, sent_ms: int, /) -> None:
        """Take in the record at `offset`, sent at `sent_ms`."""


@dataclass(frozen=True, slots=True)
class Sent:
    """A record from outside, to be appended to a topic. `at_ms` becomes its timestamp, `sent_ms` its `ce_time`."""

    key: str
    event: msgspec.Struct | None
    at_ms: int
    sent_ms: int | None = None


@dataclass(slots=True)
class Round:
    """What one call led to, in the order in which it came about."""

    decisions: list[SelectionDecided] = field(default_factory=list)
    alerts: list[AlertRaised] = field(default_factory=list)
    examples: list[OutcomeLearned] = field(default_factory=list)
    monitoring: list[msgspec.Struct] = field(default_factory=list)
    refusals: list[tuple[str, Refusal]] = field(default_factory=list)
    redelivered: int = 0


@dataclass(slots=True)
class _Held:
    """One step's state for one input partition, as a host holds it."""

    state: Any
    next_offset: int
    followed: dict[str, int]


def by_checksum(key: str, partitions: int) -> int:
    """Spread keys by CRC-32; a broker's clients use murmur2."""
    return crc32(key.encode()) % partitions


def as_it_is(topic: str, event: Any) -> Any:
    """Hand an event on without a round trip through the wire format."""
    return event


class Loop:
    """Hosts steps over in-memory logs.

    `keep` keeps all records, so that steps can be restarted and batches delivered again; without it only offsets are
    kept and memory does not grow. `pass_on` is applied to every event that goes from one step to another (a round
    trip through the wire format, say). `partition_of` is (key, partitions) -> partition; murmur2 to be as Kafka.
    """

    def __init__(
        self,
        steps: Sequence[Step],
        books: Mapping[str, Sequence[Book]],
        *,
        partitions: int = 4,
        keep: bool = False,
        partition_of: PartitionOf = by_checksum,
        pass_on: PassOn = as_it_is,
    ) -> None:
        self._steps = tuple(steps)
        self.books = {topic: tuple(held) for topic, held in books.items()}
        self._partitions = partitions
        self._partition_of = partition_of
        self._pass_on = pass_on
        self._by_input = {topic: step for step in self._steps for topic in step.inputs}
        self._following = {memory.topic: step for step in self._steps for memory in step.memory if memory.following}
        self._held: dict[tuple[str, str, int], _Held] = {}
        self._ends: dict[tuple[str, int], int] = {}
        self._keep = keep
        self.logs: dict[tuple[str, int], list[Arrival[Any]]] = {}

    # -- from outside

    def send(self, topic: str, records: Iterable[Sent]) -> Round:
        """Append records to a topic, in order, and let everything follow from them. One call is one batch."""
        done = Round()
        batches: dict[int, list[Arrival[Any]]] = {}
        for record in records:
            partition = self._place(topic, record.key)
            arrival = self._append(topic, partition, record.key, record.event, record.at_ms, record.sent_ms)
            batches.setdefault(partition, []).append(arrival)
        self._run({(topic, partition): batch for partition, batch in batches.items()}, done)
        return done

    def inspect(self, results: Iterable[InspectionCompleted]) -> Round:
        """Send results of inspections; the lessons have been learnt when this returns."""
        return self.send(
            "inspection-results",
            [Sent(result.control_point, result, epoch_ms(result.inspected_at)) for result in results],
        )

    def redeliver(self, topic: str, partition: int, first_offset: int) -> Round:
        """Deliver kept records again from an offset on, as a broker does after a crash before the commit.

        The states are rebuilt first, as a host does. Raises KeyError when nothing of the partition was kept.
        """
        done = Round()
        step = self._by_input[topic]
        self._held.pop((step.name, topic, partition), None)
        self._run({(topic, partition): self.logs[topic, partition][first_offset:]}, done)
        return done

    def restart(self) -> None:
        """Forget all states; they are rebuilt from the logs when the next batch of their partition comes."""
        self._held.clear()

    def state(self, step: str, topic: str, partition: int) -> Any:
        """A step's live state (for tests). Raises KeyError."""
        return self._held[step, topic, partition].state

    # -- hosting

    def _run(self, batches: dict[tuple[str, int], list[Arrival[Any]]], done: Round) -> None:
        while batches:
            following: dict[tuple[str, int], list[Arrival[Any]]] = {}
            for topic, partition in sorted(batches):
                batch = batches[topic, partition]
                step = self._by_input.get(topic)
                if step is not None:
                    outcome = self._decide(step, topic, partition, batch)
                    self._collect(step, outcome, done)
                    for output in outcome.outputs:
                        self._emit(output, following)
            batches = following

    def _decide(self, step: Step, topic: str, partition: int, batch: list[Arrival[Any]]) -> Outcome:
        place = (step.name, topic, partition)
        held = self._held.get(place)
        if held is None or held.next_offset != batch[0].offset:
            held = self._held[place] = self._rebuilt(step, topic, partition, batch[0].offset)
        for memory in step.memory:
            if memory.following:
                self._follow(held, step, memory, partition)
        outcome = step.decide(held.state, batch)
        held.next_offset = batch[-1].offset + 1
        return outcome

    def _rebuilt(self, step: Step, topic: str, partition: int, first_offset: int) -> _Held:
        if first_offset > 0 and step.memory and not self._keep:
            raise RuntimeError("this loop keeps no records: nothing can be delivered again")
        held = _Held(step.begin(partition, first_offset), first_offset, {})
        for memory in step.memory:
            if memory.upto == "end":
                self._follow(held, step, memory, partition)
            else:
                step.remember(held.state, self.logs.get((memory.topic, partition), [])[:first_offset])
        return held

    def _follow(self, held: _Held, step: Step, memory: Memory, partition: int) -> None:
        log = self.logs.get((memory.topic, partition), [])
        step.remember(held.state, log[held.followed.get(memory.topic, 0) :])
        if self._keep:
            held.followed[memory.topic] = len(log)
        elif memory.following:
            log.clear()

    def _emit(self, output: Output, following: dict[tuple[str, int], list[Arrival[Any]]]) -> None:
        partition = self._place(output.topic, output.key) if output.partition is None else output.partition
        event = self._pass_on(output.topic, output.event)
        arrival = self._append(output.topic, partition, output.key, event, output.at_ms, None)
        following.setdefault((output.topic, partition), []).append(arrival)

    def _append(
        self, topic: str, partition: int, key: str, event: Any, at_ms: int, sent_ms: int | None
    ) -> Arrival[Any]:
        place = (topic, partition)
        offset = self._ends.get(place, 0)
        self._ends[place] = offset + 1
        arrival = Arrival(event, topic, partition, offset, at_ms, at_ms if sent_ms is None else sent_ms)
        if self._keep or topic in self._following:
            self.logs.setdefault(place, []).append(arrival)
        for book in self.books.get(topic, ()):
            book.fold(offset, key, event, arrival.sent_ms)
        return arrival

    def _place(self, topic: str, key: str) -> int:
        return 0 if topic in ONE_PARTITION else self._partition_of(key, self._partitions)

    def _collect(self, step: Step, outcome: Outcome, done: Round) -> None:
        done.redelivered += outcome.redelivered
        done.refusals.extend([(step.name, refusal) for refusal in outcome.refusals])
        kinds: dict[str, list[Any]] = {
            "decisions": done.decisions,
            "alerts": done.alerts,
            "labelled-examples": done.examples,
            "monitoring": done.monitoring,
        }
        for output in outcome.outputs:
            kept = kinds.get(output.topic)
            if kept is not None:
                kept.append(output.event)


def whole_loop(
    policy: Policy,
    pseudonym_key: bytes,
    *,
    partitions: int = 4,
    keep: bool = False,
    partition_of: PartitionOf = by_checksum,
    pass_on: PassOn = as_it_is,
) -> Loop:
    """All four steps with their books, as a worker hosts them; the brain is `books["labelled-examples"][0]`."""
    profiles, criteria, risk_information = Profiles(), CriteriaBook(), RiskInformationBook()
    brain = Brain(profiles)
    return Loop(
        (
            Screening(policy, profiles, risk_information, pseudonym_key),
            Filtering(policy, criteria),
            Selection(policy, brain),
            ReEvaluation(policy),
        ),
        {"labelled-examples": (brain,), "criteria": (criteria,), "risk-information": (risk_information,)},
        partitions=partitions,
        keep=keep,
        partition_of=partition_of,
        pass_on=pass_on,
    )
