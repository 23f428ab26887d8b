"""Filtering and selection of several candidates over one history, side by side.

What screening made of a lodgement stands as it was recorded: no policy changes it. Candidates that filter alike share
the filtering and the score of each item, so a sweep costs little more than one candidate. Models learn the recorded
lessons only, as they came: what else a candidate would have taught them is not known.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from heapq import merge
from typing import Any, Protocol

import msgspec

from agents.filtering import Filtering
from agents.risk.brain import Appraisal, Brain
from agents.risk.criteria import CriteriaBook
from agents.risk.profiles import Profiles
from agents.selection import Selection
from agents.step import Arrival, Output
from schemas.decisions import Reason, SelectionDecided
from schemas.items import ItemFiltered
from schemas.knowledge import CriterionPublished
from streams.partitioning import partition_of
from streams.simulate.candidates import Candidate

FROM_THE_BEGINNING = "1970-01-01T00:00:00Z"


class Choices(Protocol):
    """Takes what candidates decide."""

    def add(self, candidate: str, decision: SelectionDecided) -> None:
        """Take one decision."""


class Fired(Protocol):
    """Takes filtered items on which criteria fired."""

    def note(self, filtered: ItemFiltered) -> None:
        """Take one item as the candidate's criteria saw it; every item comes, with hits or without."""


class SharedScores:
    """The brain, asked once for each item whatever number of candidates want its score."""

    def __init__(self, brain: Brain) -> None:
        self.brain = brain
        self._scored: dict[int, Appraisal] = {}

    def appraise(self, filtered: ItemFiltered) -> Appraisal:
        """The score of an item of the batch in hand."""
        held = self._scored.get(id(filtered))
        if held is None:
            held = self._scored[id(filtered)] = self.brain.appraise(filtered)
        return held

    def explain(self, filtered: ItemFiltered, appraisal: Appraisal, limit: int = 5) -> tuple[Reason, ...]:
        """Nobody reads the reasons of a simulated decision."""
        return ()

    def forget(self) -> None:
        """A new batch begins."""
        self._scored.clear()


class TriedCriteria:
    """The recorded criteria, with those that are tried in force all the time in the place of their ids."""

    def __init__(self, tried: Iterable[CriterionPublished]) -> None:
        self.book = CriteriaBook()
        self._tried = {one.criterion_id: one for one in tried}
        for one in self._tried.values():
            settings = msgspec.to_builtins(one) | {"valid_from": FROM_THE_BEGINNING, "valid_until": None}
            self.book.fold(-1, one.criterion_id, msgspec.convert(settings, CriterionPublished))

    def fold(self, offset: int, key: str, event: Any) -> None:
        """Fold a recorded change, unless it is about a criterion that is tried."""
        if key in self._tried:
            self.book.version = offset + 1
        else:
            self.book.fold(offset, key, event)


class _Group:
    """Candidates that filter alike."""

    def __init__(self, candidates: Sequence[Candidate], scores: SharedScores, partitions: int) -> None:
        self.criteria = TriedCriteria(candidates[0].criteria)
        self._filtering = Filtering(candidates[0].policy, self.criteria.book)
        self._selections = [(one.name, Selection(one.policy, scores)) for one in candidates]
        self._partitions = partitions
        self._scores = scores
        self._filtering_states: dict[int, Any] = {}
        self._selection_states: dict[tuple[str, int], Any] = {}
        self._ends: dict[int, int] = {}

    def decide(
        self, batch: Mapping[int, Sequence[Arrival[Any]]], since_ms: int, to: Choices, fired: Fired | None
    ) -> None:
        """Filter screened items by partition; select what follows in the order of time, each partition's in its own."""
        following: dict[int, dict[int, list[Output]]] = {}
        for partition, arrivals in batch.items():
            state = self._filtering_states.get(partition)
            if state is None:
                state = self._filtering_states[partition] = self._filtering.begin(partition, arrivals[0].offset)
            for output in self._filtering.decide(state, arrivals).outputs:
                if output.topic != "filtered":
                    continue
                if fired is not None and output.at_ms >= since_ms:
                    event: Any = output.event
                    fired.note(event)
                place = partition_of(output.key, self._partitions)
                following.setdefault(place, {}).setdefault(partition, []).append(output)
        self._scores.forget()
        for place, outputs in following.items():
            end = self._ends.get(place, 0)
            filtered = [
                Arrival(output.event, "filtered", place, offset, output.at_ms, output.at_ms)
                for offset, output in enumerate(merge(*outputs.values(), key=lambda output: output.at_ms), end)
            ]
            self._ends[place] = end + len(filtered)
            self._select(place, filtered, since_ms, to)

    def _select(self, place: int, filtered: list[Arrival[Any]], since_ms: int, to: Choices) -> None:
        for name, selection in self._selections:
            held = self._selection_states.get((name, place))
            if held is None:
                held = self._selection_states[name, place] = selection.begin(place, 0)
            for output in selection.decide(held, filtered).outputs:
                if output.topic == "decisions" and output.at_ms >= since_ms:
                    decision: Any = output.event
                    to.add(name, decision)


class Simulation:
    """All candidates over one history. `candidates` need names of their own."""

    def __init__(self, candidates: Sequence[Candidate], partitions: int, *, learns: bool = True) -> None:
        self.brain = Brain(Profiles())
        self._learns = learns
        scores = SharedScores(self.brain)
        alike: dict[bytes, list[Candidate]] = {}
        for one in candidates:
            alike.setdefault(one.filters_as, []).append(one)
        self._groups = {key: _Group(members, scores, partitions) for key, members in alike.items()}

    def learn(self, topic: str, offset: int, key: str, event: Any) -> None:
        """Fold one recorded lesson or change of the criteria."""
        if topic == "labelled-examples":
            if self._learns:
                self.brain.fold(offset, key, event)
        elif topic == "criteria":
            for group in self._groups.values():
                group.criteria.fold(offset, key, event)

    def decide(
        self, batch: Sequence[Arrival[Any]], since_ms: int, to: Choices, watched: bytes | None = None,
        fired: Fired | None = None,
    ) -> None:  # fmt: skip
        """Decide screened items in order; decisions on those from `since_ms` on go to `to`.

        `fired` is told of the items of the group of candidates that filter as `watched`.
        """
        by_partition: dict[int, list[Arrival[Any]]] = {}
        for arrival in batch:
            by_partition.setdefault(arrival.partition, []).append(arrival)
        for key, group in self._groups.items():
            group.decide(by_partition, since_ms, to, fired if key == watched else None)
