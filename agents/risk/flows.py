"""Flows of traffic at one control-point partition: which ones surge, and what was spent on looking at them.

A flow is a pair of attributes (`hs6*origin=851712*CN`). New schemes bring new traffic before they bring any label, so
a share of the capacity goes to flows whose recent arrivals stand far above their own norm, less where inspections
have been spent already.

Counts are of whole days of event time, over windows and not decayed: what was decided before the longest window plays
no part, so a state that is rebuilt from the horizon of `decisions` equals the one that decided. State changes only by
`observe`, from decisions as they were published.
"""

from __future__ import annotations

from collections import deque
from datetime import datetime
from typing import Final

from schemas.decisions import SelectionDecided

RECENT_DAYS: Final = 3
SPENT_DAYS: Final = 12
NORM_DAYS: Final = 30
SPENT_WEIGHT: Final = 0.15
"""A surge that was inspected seven times in vain is worth half; one that found something is the model's by then."""
_DAY = 86400.0

_RECENT, _SPENT, _NORM = 0, 1, 2


class FlowTraffic:
    """Arrivals and inspections by flow. When flows and days come to more than `capacity` entries, the norm is taken
    over fewer days: memory is bounded, whatever is lodged."""

    __slots__ = ("_capacity", "_days", "_entries", "_first", "_flows")

    def __init__(self, capacity: int = 400_000) -> None:
        self._capacity = capacity
        self._flows: dict[str, list[float]] = {}  # [recent arrivals, recently spent, arrivals in the norm's window]
        self._days: deque[tuple[int, dict[str, list[float]]]] = deque()  # oldest first; [arrivals, spent] by flow
        self._entries = 0
        self._first: float | None = None

    def __len__(self) -> int:
        return len(self._flows)

    def surge(self, flows: tuple[str, ...], at: datetime) -> float:
        """How many times its norm the most surging of `flows` is; what is above 1 shrinks with what was spent on it."""
        if self._first is None:
            return 0.0
        now = at.timestamp() / _DAY
        today = self._days[-1][0]
        seen = max(now, today) - self._first
        recent_days = min(now - today + RECENT_DAYS if now > today else RECENT_DAYS, seen) + 0.25
        norm_days = min(float(NORM_DAYS), seen) + 0.25
        best = 0.0
        for flow in flows:
            held = self._flows.get(flow)
            if held is None:
                continue
            above = (held[_RECENT] / recent_days + 0.1) / (held[_NORM] / norm_days + 0.3)
            if above > 1.0:
                above = 1.0 + (above - 1.0) / (1.0 + SPENT_WEIGHT * held[_SPENT])
            if above > best:
                best = above
        return best

    def observe(self, decision: SelectionDecided) -> None:
        """Fold one decision: an arrival in each of its flows, and an inspection spent if it was selected."""
        moment = decision.lodged_at.timestamp() / _DAY
        day = int(moment)
        if not self._days or day > self._days[-1][0]:
            self._begin(day)
            if self._first is None or day - NORM_DAYS > self._first:
                self._first = moment if self._first is None else float(self._days[0][0])
        spent = 1.0 if decision.selected else 0.0
        today = self._days[-1][1]
        for flow in decision.flows:
            counted = today.get(flow)
            if counted is None:
                today[flow] = [1.0, spent]
                self._entries += 1
            else:
                counted[0] += 1.0
                counted[1] += spent
            held = self._flows.get(flow)
            if held is None:
                self._flows[flow] = [1.0, spent, 1.0]
            else:
                held[_RECENT] += 1.0
                held[_SPENT] += spent
                held[_NORM] += 1.0

    def _begin(self, day: int) -> None:
        before = self._days[-1][0] if self._days else day
        for past, counts in self._days:
            if past > before - RECENT_DAYS and past <= day - RECENT_DAYS:
                for flow, counted in counts.items():
                    self._flows[flow][_RECENT] -= counted[0]
            if past > before - SPENT_DAYS and past <= day - SPENT_DAYS:
                for flow, counted in counts.items():
                    self._flows[flow][_SPENT] -= counted[1]
        self._days.append((day, {}))
        while self._days[0][0] <= day - NORM_DAYS or (self._entries > self._capacity and len(self._days) > 1):
            self._forget_oldest_day(day)

    def _forget_oldest_day(self, today: int) -> None:
        past, counts = self._days.popleft()
        self._entries -= len(counts)
        for flow, counted in counts.items():
            held = self._flows[flow]
            held[_NORM] -= counted[0]
            if past > today - RECENT_DAYS:
                held[_RECENT] -= counted[0]
            if past > today - SPENT_DAYS:
                held[_SPENT] -= counted[1]
            if held[_NORM] <= 0.0:
                del self._flows[flow]
