"""The three steps that decide, over history: what a worker hosts, without a broker and without a clock.

Lodgements keep the topic, partition and offset that they had, so items, decisions and draws keep their ids. What lies
between the steps gets offsets of the replay's own. Knowledge (criteria, risk information, lessons) is folded as it was
recorded, when event time comes to it. A replay that was stopped goes on with `states`; books are folded again.

`Front` is screening and filtering, `Choosing` is selection: `Engine` has both, `streams.replay.beside` has the second
in a process of its own.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple, Protocol

import msgspec

from agents.filtering import Filtering
from agents.risk.brain import Brain
from agents.risk.criteria import CriteriaBook
from agents.risk.policy import Policy
from agents.risk.profiles import Profiles
from agents.risk.risk_information import RiskInformationBook
from agents.screening import Screening
from agents.selection import Selection
from agents.step import Arrival, Outcome, Output
from schemas.codec import encode
from streams.partitioning import partitions_of

LODGEMENTS: Final = ("manifests", "express-cargo", "passengers")
KNOWLEDGE: Final = ("criteria", "risk-information", "labelled-examples")


class Written(NamedTuple):
    """Outputs as lines of JSON: `records` of them, `decided` decisions among them.

    `outputs` are empty where the lines were made by another process.
    """

    lines: bytes
    records: int
    decided: int
    outputs: Sequence[Output] = ()


class _Head(msgspec.Struct, gc=False):
    """What a line says before its event."""

    topic: str
    key: str
    ce_id: str
    at_ms: int


_HEAD: Final = msgspec.json.Encoder()


def written(outputs: Sequence[Output]) -> Written:
    """Outputs as they are written."""
    lines, head_of, decided = list[bytes](), _HEAD.encode, 0
    for one in outputs:
        topic = one.topic
        head = head_of(_Head(topic, one.key, one.ce_id, one.at_ms))
        lines += (head[:-1], b',"value":', encode(one.event), b"}\n")
        decided += topic == "decisions"
    return Written(b"".join(lines), len(outputs), decided, outputs)


class Decider(Protocol):
    """What a replay asks of an engine, whatever its processes."""

    def learn(self, topic: str, offset: int, key: str, event: Any) -> None:
        """Fold one record of a knowledge topic."""

    def decide(self, arrivals: Sequence[Arrival[Any]], kept: bool) -> list[Written]:
        """Decide lodgements in order; what has been written by now, of these or of earlier ones, in order.

        Of lodgements that are not `kept` nothing is written: they fill the states.
        """

    def finish(self) -> list[Written]:
        """What was still to come of the lodgements so far."""

    @property
    def states(self) -> tuple[Any, ...]:
        """All that changes but the books; call `finish` first."""

    def restore(self, states: tuple[Any, ...]) -> None:
        """Take on the states of another engine, of the same policy."""

    @property
    def refused(self) -> Mapping[str, int]:
        """How many items were refused, of those that are kept, by reason; call `finish` first."""

    def refuse(self, reason: str) -> None:
        """Count a lodgement that cannot be read."""

    def close(self) -> None:
        """Let go of what is held outside."""


class Front:
    """Screening and filtering with their books and states."""

    def __init__(self, policy: Policy, pseudonym_key: bytes, partitions: int) -> None:
        profiles, self._criteria, self._entries = Profiles(), CriteriaBook(), RiskInformationBook()
        self.brain = Brain(profiles)
        self._screening = Screening(policy, profiles, self._entries, pseudonym_key)
        self._filtering = Filtering(policy, self._criteria)
        self._partitions = partitions
        self._states: dict[int, Any] = {}
        self._ends: dict[tuple[str, int], int] = {}
        self.refused: dict[str, int] = {}

    def learn(self, topic: str, offset: int, key: str, event: Any) -> None:
        """Fold one record of a knowledge topic."""
        if topic == "labelled-examples":
            self.brain.fold(offset, key, event)
        elif topic == "criteria":
            self._criteria.fold(offset, key, event)
        else:
            self._entries.fold(offset, key, event)

    def decide(self, arrivals: Sequence[Arrival[Any]], kept: bool) -> tuple[list[list[Arrival[Any]]], list[Output]]:
        """Filtered items, a list for each partition in order, and reports as a worker would send them."""
        refused = self.refused if kept else {}
        lodged = defaultdict[tuple[str, int], list[Arrival[Any]]](list)
        for arrival in arrivals:
            lodged[arrival.topic, arrival.partition].append(arrival)
        screened = defaultdict[int, list[Arrival[Any]]](list)
        for place in sorted(lodged):
            self._hand_on(self._screening.decide(None, lodged[place]), "screened", screened, [], refused)
        others: list[Output] = []
        filtered = defaultdict[int, list[Arrival[Any]]](list)
        for partition in sorted(screened):
            state = self._states.get(partition)
            if state is None:
                state = self._states[partition] = self._filtering.begin(partition, 0)
            self._hand_on(self._filtering.decide(state, screened[partition]), "filtered", filtered, others, refused)
        return [filtered[partition] for partition in sorted(filtered)], others

    @property
    def states(self) -> tuple[Any, ...]:
        """All that changes here but the books: it holds pseudonyms, no names, and neither key nor knowledge."""
        return self._states, self._ends, self.refused

    def restore(self, states: tuple[Any, ...]) -> None:
        """Take on the states of another, of the same policy."""
        self._states, self._ends, self.refused = states

    def refuse(self, reason: str) -> None:
        """Count a lodgement that cannot be read."""
        self.refused[reason] = self.refused.get(reason, 0) + 1

    def _hand_on(
        self, outcome: Outcome, topic: str, following: defaultdict[int, list[Arrival[Any]]], others: list[Output],
        refused: dict[str, int],
    ) -> None:  # fmt: skip
        count(outcome, refused)
        mine, ends = list[Output](), self._ends
        for output in outcome.outputs:
            (mine if output.topic == topic else others).append(output)
        partitions = partitions_of([output.key.encode() for output in mine], self._partitions)
        for output, partition in zip(mine, partitions, strict=True):
            place, at_ms = (topic, partition), output.at_ms
            offset = ends.get(place, 0)
            ends[place] = offset + 1
            following[partition].append(Arrival(output.event, topic, partition, offset, at_ms, at_ms))


class Choosing:
    """Selection with a brain and its states."""

    def __init__(self, policy: Policy, brain: Brain) -> None:
        self.brain = brain
        self._selection = Selection(policy, brain)
        self._states: dict[int, Any] = {}
        self.refused: dict[str, int] = {}

    def decide(self, filtered: Sequence[Sequence[Arrival[Any]]], kept: bool) -> list[Output]:
        """Decisions and alerts of filtered items, a list for each partition."""
        outputs: list[Output] = []
        for arrivals in filtered:
            partition = arrivals[0].partition
            state = self._states.get(partition)
            if state is None:
                state = self._states[partition] = self._selection.begin(partition, 0)
            outcome = self._selection.decide(state, arrivals)
            if kept:
                count(outcome, self.refused)
            outputs += outcome.outputs
        return outputs

    @property
    def states(self) -> tuple[Any, ...]:
        """All that changes here but the brain."""
        return self._states, self.refused

    def restore(self, states: tuple[Any, ...]) -> None:
        """Take on the states of another, of the same policy."""
        self._states, self.refused = states


class Engine:
    """The three steps in this process."""

    def __init__(self, policy: Policy, pseudonym_key: bytes, partitions: int) -> None:
        self._front = Front(policy, pseudonym_key, partitions)
        self._choosing = Choosing(policy, self._front.brain)

    def learn(self, topic: str, offset: int, key: str, event: Any) -> None:
        self._front.learn(topic, offset, key, event)

    def decide(self, arrivals: Sequence[Arrival[Any]], kept: bool) -> list[Written]:
        filtered, others = self._front.decide(arrivals, kept)
        outputs = [*others, *self._choosing.decide(filtered, kept)]
        return [written(outputs)] if kept else []

    def finish(self) -> list[Written]:
        return []

    @property
    def states(self) -> tuple[Any, ...]:
        return self._front.states, self._choosing.states

    def restore(self, states: tuple[Any, ...]) -> None:
        front, choosing = states
        self._front.restore(front)
        self._choosing.restore(choosing)

    @property
    def refused(self) -> Mapping[str, int]:
        return Counter(self._front.refused) + Counter(self._choosing.refused)

    def refuse(self, reason: str) -> None:
        self._front.refuse(reason)

    def close(self) -> None:
        """Nothing is held outside."""


def count(outcome: Outcome, refused: dict[str, int]) -> None:
    """Count refusals by reason."""
    for refusal in outcome.refusals:
        refused[refusal.reason] = refused.get(refusal.reason, 0) + 1
