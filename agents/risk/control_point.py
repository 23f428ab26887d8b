"""One control point as selection knows it: its capacity account, its lanes, its latest surge picks, its coverage.

All of it is a fold of the decisions that were published for it.
"""

from __future__ import annotations

from collections import deque

import msgspec

from agents.risk.capacity import CapacityAccount
from agents.risk.coverage import CoverageWindow
from agents.risk.lanes import LaneBook
from agents.risk.policy import Policy
from schemas.decisions import SelectionDecided
from schemas.items import Stream

_NEVER = 1 << 62


class SurgePicks:
    """Flows of the latest items that a surge slot went to: the next slots should go elsewhere."""

    __slots__ = ("_counts", "_latest", "_limit")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._latest: deque[tuple[int, tuple[str, ...]]] = deque()
        self._counts: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._latest)

    def spent_on(self, flows: tuple[str, ...]) -> int:
        """How many of the latest surge picks shared a flow with these, by the flow that most did."""
        counts = self._counts
        return max((counts.get(flow, 0) for flow in flows), default=0) if counts else 0

    def fold(self, flows: tuple[str, ...], at_ms: int) -> None:
        """Remember one pick."""
        self._latest.append((at_ms, flows))
        for flow in flows:
            self._counts[flow] = self._counts.get(flow, 0) + 1
        if len(self._latest) > self._limit:
            self._leave()

    @property
    def front_ms(self) -> int | None:
        """When the first pick in mind was lodged, None without one."""
        return self._latest[0][0] if self._latest else None

    def expire(self, oldest_ms: int) -> None:
        """Forget picks of items lodged before `oldest_ms`."""
        while self._latest and self._latest[0][0] < oldest_ms:
            self._leave()

    def _leave(self) -> None:
        for flow in self._latest.popleft()[1]:
            if self._counts[flow] == 1:
                del self._counts[flow]
            else:
                self._counts[flow] -= 1


class ControlPointState:
    """What selection remembers of one control point, with what the policy says of it."""

    __slots__ = ("_front_ms", "_policy", "account", "cold_rate", "coverage", "lanes", "rate", "share", "surge_picks")

    def __init__(self, policy: Policy, name: str) -> None:
        self._policy = policy
        self.share = policy.capacity_of(name)
        self.rate = policy.exploration_rate(name, policy.cold_start.labels)
        self.cold_rate = policy.exploration_rate(name, 0)
        self.account = CapacityAccount(policy.controller, self.share)
        self.coverage = CoverageWindow(name, self.share, policy.reports.coverage_minutes)
        self.surge_picks = SurgePicks(policy.surge.diversify_over)
        self.lanes: dict[Stream, LaneBook] = {}
        self._front_ms = _NEVER  # when the first selection that is remembered was lodged

    def exploration_rate(self, learnt: int) -> float:
        """As `Policy.exploration_rate`, without looking the control point up again."""
        labels = self._policy.cold_start.labels
        if learnt >= labels:
            return self.rate
        return self.rate + (self.cold_rate - self.rate) * (1.0 - learnt / labels)

    def lanes_of(self, stream: Stream) -> LaneBook:
        """The lanes of one stream."""
        book = self.lanes.get(stream)
        if book is None:
            book = self.lanes[stream] = LaneBook(self._policy, stream)
        return book

    def advance(self, at_ms: int) -> None:
        """Forget what is too old for an item of this event time, before it is decided."""
        account = self.account
        if at_ms > account.latest_ms:
            account.advance(at_ms)
            if account.oldest_ms > self._front_ms:
                self._forget()

    def fold(self, decision: SelectionDecided, at_ms: int) -> list[msgspec.Struct] | None:
        """Take in one decision; reports of the window that it closed, None when it closed none.

        While everything is inspected (`cold_start.everything_until`) the account stands still.
        """
        account = self.account
        if at_ms > account.latest_ms:  # not so where it was decided: its item found this state advanced
            self.advance(at_ms)
        if decision.exploration_rate < 1.0:
            account.fold(decision, at_ms)
        if decision.selected:
            self.lanes_of(decision.stream).fold(decision, at_ms)
            if decision.layer == "surge":
                self.surge_picks.fold(decision.flows[:1], at_ms)
            self._forget()
        return self.coverage.fold(decision, at_ms)

    def _forget(self) -> None:
        """Forget selections that are older than the account's window."""
        oldest_ms = self.account.oldest_ms
        self.surge_picks.expire(oldest_ms)
        for book in self.lanes.values():
            book.expire(oldest_ms)
        fronts = [self.surge_picks.front_ms, *(book.front_ms for book in self.lanes.values())]
        self._front_ms = min((front for front in fronts if front is not None), default=_NEVER)
