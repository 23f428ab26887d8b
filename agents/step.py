"""What a step is: a fold over one partition's log, and a decision for each record that arrives in it.

The host (`streams/hosting.py`, a replay, a test) owns clocks, sockets and partitions; a step owns decisions.
A step's state for one partition changes only in `remember`, never in `decide` directly: `decide` works out what
follows from an arrival and then remembers it. So a state that is rebuilt from the log equals the state that
decided (docs/adr/0003-the-log-is-the-state.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Generic, Literal, Protocol, TypeVar

import msgspec

E = TypeVar("E")


class Arrival(msgspec.Struct, Generic[E], frozen=True, gc=False):
    """One decoded record and where it stands in its log.

    `timestamp_ms` is the Kafka record's timestamp, `sent_ms` the CloudEvents `ce_time` header when the record has
    one and `timestamp_ms` otherwise; both in milliseconds since the epoch, UTC.
    """

    event: E
    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    sent_ms: int


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a record, or one item inside it, is dead-lettered. Holds no value of a personal field.

    `reason` is a slug from `agents.refusals` (it becomes a metric label), `field` the path of the offending field
    in the record as sent (`consignments[3].gross_mass_kg`, empty for the whole record), `detail` a sentence.
    `index` is the item's place in its lodgement, None for the whole record; `item_id` is known when it could be read.
    """

    offset: int
    reason: str
    field: str
    detail: str
    index: int | None = None
    item_id: str | None = None


class Output(msgspec.Struct, frozen=True, gc=False):
    """An event to be produced. `at_ms` (event time) becomes the record's timestamp, `ce_id` its CloudEvents id.

    `partition` overrides the key's partition (murmur2, as the Java client does) for one-partition topics and for
    topics that share the partition of a step's input.
    """

    topic: str
    key: str
    event: msgspec.Struct
    ce_id: str
    at_ms: int
    partition: int | None = None


@dataclass(slots=True)
class Outcome:
    """What a batch led to. Outputs are produced topic by topic in the order of `Step.produces`, then acked."""

    outputs: list[Output] = field(default_factory=list)
    refusals: list[Refusal] = field(default_factory=list)
    redelivered: int = 0


@dataclass(frozen=True, slots=True)
class Memory:
    """A log that a step's state is folded from, and how far.

    `upto="batch"`: the step's own input, from the horizon up to the batch in hand.
    `upto="end"`: another log of the same partition number, to its end as it stands at the rebuild.
    `following`: read on to the end before every batch (the alerts that results are joined with).
    """

    topic: str
    horizon: timedelta
    upto: Literal["batch", "end"]
    following: bool = False


class Step(Protocol):
    """One of the four steps. `state` is opaque to the host; one state per input partition (per topic and partition)."""

    @property
    def name(self) -> str: ...
    @property
    def inputs(self) -> tuple[str, ...]: ...
    @property
    def produces(self) -> tuple[str, ...]: ...
    @property
    def memory(self) -> tuple[Memory, ...]: ...

    def begin(self, partition: int, first_offset: int) -> Any:
        """An empty state for a partition whose next batch starts at `first_offset`."""

    def remember(self, state: Any, arrivals: Sequence[Arrival[Any]]) -> None:
        """Fold records of one of the `memory` logs without deciding anything."""

    def decide(self, state: Any, arrivals: Sequence[Arrival[Any]]) -> Outcome:
        """Decide a batch of one input partition, in order, and fold it."""

    def entries(self, state: Any) -> int:
        """How many keyed entries the state holds (a metric)."""
