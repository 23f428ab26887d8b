"""Filtering and selection of several candidates over one history, side by side.

What screening made of a lodgement stands as it was recorded: no policy changes it. Candidates that filter alike share
the filtering and the score of each item, so a sweep costs little more than one candidate. Models learn the recorded
lessons only: what else a candidate would have taught them is not known.

Items come in the order in which selection took them, at the model version that decided them then (`taken.py`): so the
policy that ran chooses again what it chose, and what another chooses otherwise is its own doing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import msgspec
from msgspec import structs

from agents.epoch import epoch_ms
from agents.filtering import Filtering, FilteringState
from agents.marks import HighWater
from agents.risk.brain import Appraisal, Brain
from agents.risk.criteria import CriteriaBook
from agents.selection import Selection, SelectionState
from agents.step import Arrival
from schemas.decisions import Reason, SelectionDecided
from schemas.items import ItemFiltered, ItemScreened
from schemas.knowledge import CriterionPublished
from schemas.marks import Upstream
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
        self._brain = brain
        self._scored: dict[int, Appraisal] = {}

    def appraise(self, filtered: ItemFiltered) -> Appraisal:
        """The score of an item of the batch in hand."""
        held = self._scored.get(id(filtered))
        if held is None:
            held = self._scored[id(filtered)] = self._brain.appraise(filtered)
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

    def fold(self, offset: int, key: str, event: Any, sent_ms: int) -> None:
        """Fold a recorded change, unless it is about a criterion that is tried."""
        if key in self._tried:
            self.book.version = offset + 1
        else:
            self.book.fold(offset, key, event, sent_ms)


class _EachOnce(HighWater):
    """For records that are known to come once, and in almost the order in which they came."""

    def advance(self, upstream: Upstream) -> bool:
        """Note nothing."""
        return True


class _Group:
    """Candidates that filter and score alike. With `as_recorded`, what filtering made stands as it is."""

    def __init__(self, candidates: Sequence[Candidate], brain: Brain, *, as_recorded: bool) -> None:
        self.criteria = TriedCriteria(candidates[0].criteria)
        self._policy = candidates[0].policy
        self._filtering: Filtering | None = None
        self._scores = SharedScores(brain)
        self._selections = [(one.name, Selection(one.policy, self._scores)) for one in candidates]
        self._filtering_states: dict[int, FilteringState] = {}
        self._selection_states: dict[tuple[str, int], SelectionState] = {}
        if not as_recorded:
            self.filter_again()

    def filter_again(self) -> None:
        """Filter, from now on, whatever is recorded."""
        if self._filtering is None:
            self._filtering = Filtering(self._policy, self.criteria.book)

    def recall(self, arrivals: Sequence[Arrival[ItemFiltered]]) -> None:
        """Remember items that are not decided."""
        if self._filtering is not None:
            for arrival in arrivals:
                again = _screened(arrival)
                self._filtering.remember(self._filtering_of(again), [again])

    def fold(self, place: int, decision: SelectionDecided) -> None:
        """Take a recorded decision for every candidate's own."""
        at_ms = epoch_ms(decision.lodged_at)
        for name, selection in self._selections:
            self._selection_of(name, selection, place).fold(decision, at_ms)

    def decide(self, place: int, arrivals: Sequence[Arrival[ItemFiltered]], to: Choices, fired: Fired | None) -> None:
        """Decide filtered items of one partition, in order."""
        self._scores.forget()
        taken = arrivals if self._filtering is None else [again for one in arrivals for again in self._filtered(one)]
        if fired is not None:
            for arrival in taken:
                fired.note(arrival.event)
        for name, selection in self._selections:
            for output in selection.decide(self._selection_of(name, selection, place), taken).outputs:
                if output.topic == "decisions":
                    decision: Any = output.event
                    to.add(name, decision)

    def _filtered(self, arrival: Arrival[ItemFiltered]) -> Iterator[Arrival[ItemFiltered]]:
        """The item as these candidates filter it; nothing where they refuse it."""
        assert self._filtering is not None  # noqa: S101 - asked by those who filter only
        again = _screened(arrival)
        for output in self._filtering.decide(self._filtering_of(again), [again]).outputs:
            if output.topic == "filtered":
                event: Any = output.event
                yield structs.replace(arrival, event=event)

    def _filtering_of(self, arrival: Arrival[ItemScreened]) -> FilteringState:
        held = self._filtering_states.get(arrival.partition)
        if held is None:
            assert self._filtering is not None  # noqa: S101 - asked by those who filter only
            held = self._filtering_states[arrival.partition] = self._filtering.begin(arrival.partition, arrival.offset)
            held.marks = _EachOnce()
        return held

    def _selection_of(self, name: str, selection: Selection, place: int) -> SelectionState:
        held = self._selection_states.get((name, place))
        if held is None:
            held = self._selection_states[name, place] = selection.begin(place, 0)
        return held


class Simulation:
    """All candidates over one history. `candidates` need names of their own.

    Items are those that filtering made, in the order of their partitions. Those who filter `as_recorded` (as the
    policies that ran did) take them as they are; others filter what was screened again. `brains` are the models of the
    versions that candidates name.
    """

    def __init__(
        self, candidates: Sequence[Candidate], brains: Mapping[int | None, Brain], as_recorded: bytes | None = None
    ) -> None:
        alike: dict[tuple[bytes, int | None], list[Candidate]] = {}
        for one in candidates:
            alike.setdefault(one.shares, []).append(one)
        self._groups = {
            key: _Group(members, brains[key[1]], as_recorded=key[0] == as_recorded) for key, members in alike.items()
        }

    def fold_criteria(self, offset: int, key: str, event: Any, sent_ms: int) -> None:
        """Fold one recorded change of the criteria."""
        for group in self._groups.values():
            group.criteria.fold(offset, key, event, sent_ms)

    def filter_again(self) -> None:
        """Filter again for all candidates: how the policies that ran did it is not known."""
        for group in self._groups.values():
            group.filter_again()

    def recall(self, arrivals: Sequence[Arrival[ItemFiltered]]) -> None:
        """Remember items from before the span, as a worker does when it starts."""
        for group in self._groups.values():
            group.recall(arrivals)

    def fold(self, place: int, decision: SelectionDecided) -> None:
        """Take in a decision from before the span: from there on the candidates are in charge."""
        for group in self._groups.values():
            group.fold(place, decision)

    def decide(
        self, place: int, arrivals: Sequence[Arrival[ItemFiltered]], to: Choices, watched: Candidate | None = None,
        fired: Fired | None = None,
    ) -> None:  # fmt: skip
        """Decide items of one partition with the models as they are; decisions go to `to`.

        `fired` is told of the items as they are filtered for the candidate that is `watched`.
        """
        shares = None if watched is None else watched.shares
        for key, group in self._groups.items():
            group.decide(place, arrivals, to, fired if key == shares else None)


def _screened(arrival: Arrival[ItemFiltered]) -> Arrival[ItemScreened]:
    """What filtering took."""
    item, upstream = arrival.event.item, arrival.event.upstream
    return Arrival(item, "screened", upstream.partition, upstream.offset, arrival.timestamp_ms, arrival.sent_ms)
