"""The three steps that decide, over history: what a worker hosts, without a broker and without a clock.

Lodgements keep the topic, partition and offset that they had, so items, decisions and draws keep their ids. What lies
between the steps gets offsets of the replay's own. Knowledge (criteria, risk information, lessons) is folded as it was
recorded, when event time comes to it. A replay that was stopped goes on with `states`; books are folded again.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final

from kafka.partitioner.default import murmur2

from agents.filtering import Filtering
from agents.risk.brain import Brain
from agents.risk.criteria import CriteriaBook
from agents.risk.policy import Policy
from agents.risk.profiles import Profiles
from agents.risk.risk_information import RiskInformationBook
from agents.screening import Screening
from agents.selection import Selection
from agents.step import Arrival, Outcome, Output

LODGEMENTS: Final = ("manifests", "express-cargo", "passengers")
KNOWLEDGE: Final = ("criteria", "risk-information", "labelled-examples")


@lru_cache(maxsize=200_000)
def partition_of(key: str, partitions: int) -> int:
    """The partition of a key, as Kafka's own clients spread them."""
    return (int(murmur2(key.encode())) & 0x7FFFFFFF) % partitions


class Engine:
    """Screening, filtering and selection with their books and states."""

    def __init__(self, policy: Policy, pseudonym_key: bytes, partitions: int) -> None:
        profiles, self._criteria, self._entries = Profiles(), CriteriaBook(), RiskInformationBook()
        self._brain = Brain(profiles)
        self._screening = Screening(policy, profiles, self._entries, pseudonym_key)
        self._filtering = Filtering(policy, self._criteria)
        self._selection = Selection(policy, self._brain)
        self._partitions = partitions
        self._filtering_states: dict[int, Any] = {}
        self._selection_states: dict[int, Any] = {}
        self._ends: dict[tuple[str, int], int] = {}
        self.refused: dict[str, int] = {}

    def learn(self, topic: str, offset: int, key: str, event: Any) -> None:
        """Fold one record of a knowledge topic."""
        if topic == "labelled-examples":
            self._brain.fold(offset, key, event)
        elif topic == "criteria":
            self._criteria.fold(offset, key, event)
        else:
            self._entries.fold(offset, key, event)

    def decide(self, arrivals: Sequence[Arrival[Any]]) -> list[Output]:
        """Decide lodgements in order; decisions, alerts and reports as a worker would send them."""
        lodged: dict[tuple[str, int], list[Arrival[Any]]] = {}
        for arrival in arrivals:
            lodged.setdefault((arrival.topic, arrival.partition), []).append(arrival)
        screened: dict[int, list[Arrival[Any]]] = {}
        for place in sorted(lodged):
            self._hand_on(self._screening.decide(None, lodged[place]), "screened", screened, [])
        outputs: list[Output] = []
        filtered: dict[int, list[Arrival[Any]]] = {}
        for partition in sorted(screened):
            state = self._filtering_states.get(partition)
            if state is None:
                state = self._filtering_states[partition] = self._filtering.begin(partition, 0)
            self._hand_on(self._filtering.decide(state, screened[partition]), "filtered", filtered, outputs)
        for partition in sorted(filtered):
            state = self._selection_states.get(partition)
            if state is None:
                state = self._selection_states[partition] = self._selection.begin(partition, 0)
            outcome = self._selection.decide(state, filtered[partition])
            self._count(outcome)
            outputs += outcome.outputs
        return outputs

    @property
    def states(self) -> tuple[Any, ...]:
        """All that changes here but the books: it holds pseudonyms, no names, and neither key nor knowledge."""
        return self._filtering_states, self._selection_states, self._ends, self.refused

    def restore(self, states: tuple[Any, ...]) -> None:
        """Take on the states of another engine, of the same policy."""
        self._filtering_states, self._selection_states, self._ends, self.refused = states

    def _hand_on(
        self, outcome: Outcome, topic: str, following: dict[int, list[Arrival[Any]]], others: list[Output]
    ) -> None:
        self._count(outcome)
        for output in outcome.outputs:
            if output.topic != topic:
                others.append(output)
                continue
            partition = partition_of(output.key, self._partitions)
            offset = self._ends.get((topic, partition), 0)
            self._ends[topic, partition] = offset + 1
            arrival = Arrival(output.event, topic, partition, offset, output.at_ms, output.at_ms)
            following.setdefault(partition, []).append(arrival)

    def _count(self, outcome: Outcome) -> None:
        for refusal in outcome.refusals:
            self.refused[refusal.reason] = self.refused.get(refusal.reason, 0) + 1
