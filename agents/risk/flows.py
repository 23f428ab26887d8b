"""Flows of traffic at one control-point partition: which ones surge, and which nobody has looked at for long.

A flow is what of its kind takes the same way: goods of one subheading and origin, loaded at one port, through one
channel to one control point (`Description.flows`). Two things about it are worth an inspection before any label
speaks:

- It *surges*: more of it came lately than its norm explains. What speaks is the log-likelihood ratio of a Poisson count
  against the norm (as in the scan statistic of Kulldorff 1997), against the odds that a flow surges; what is worth a
  look is the part of its traffic that is new, less where looks were spent already. It counts as far as there is a
  norm: in the first days of a border, or where few days can be remembered, everything seems new.
- It was not *looked at*: a scheme in old traffic shows in nothing else. A look finds only a part of the flows that have
  turned, so each leaves a part of what the next is worth, and what was taken comes back with the days since the last
  one, wholly after `SPENT_DAYS`: every busy flow is sampled within a known time.

Counts are of whole days of event time, over windows and not decayed: what was decided before the longest window plays
no part, so a state that is rebuilt from the horizon of `decisions` (`LEAST_HORIZON_DAYS`) says what the one that
decided says. State changes only by `observe`, from decisions as they were published.
"""

from __future__ import annotations

from collections import deque
from datetime import datetime
from math import exp, log
from typing import Final

import msgspec

from agents.risk.features import EVIDENCE, TIMES
from schemas.decisions import SelectionDecided

RECENT_DAYS: Final = 3
SPENT_DAYS: Final = 12
NORM_DAYS: Final = 30
LEAST_HORIZON_DAYS: Final = NORM_DAYS + 1
"""What a rebuilt state must have read: days are whole, and the last one is not over."""
SPENT_WEIGHT: Final = 0.3
"""A surge that was looked at three times is worth half; one in which something was found is the model's by then."""
SURGE_ODDS: Final = 7.0
"""Log-odds against a flow surging at a given time: some one in a thousand does."""
PRIOR_ARRIVALS: Final = 0.3
PRIOR_DAYS: Final = 3.0
"""What stands beside a flow's norm: a new flow is taken for one of an item in ten days."""
MISSED: Final = 0.45
"""Share of the flows that have turned in which one look finds nothing: not all items are illicit, nor all found."""
BUSY: Final = 3.0
"""Items a day from which a flow counts as busy: what a scheme brings is bounded, so larger flows are not worth more."""
_NEVER = -1e9
_NOBODY: Final = (0.0, 0.0, 0.0, _NEVER)
_DAY, _DAY_MS = 86400.0, 86_400_000

_RECENT, _SPENT, _NORM, _LOOKED = 0, 1, 2, 3


class Promise(msgspec.Struct, frozen=True, gc=False):
    """What speaks for a look at a flow: of the widest, `times` its norm; of the narrowest, its items a day (`daily`).

    `surging`, 0 to 1: the part of its recent traffic that is surely new, less what was spent on it. `unseen`, 0 to 1:
    how much of what may have turned the latest looks have left, 1 for a busy one that nobody looks at. `busy`, 0 to 1:
    how much comes in the narrowest, now or as a norm, of what a busy one brings.
    """

    surging: float
    unseen: float
    times: float
    daily: float
    busy: float


NOTHING: Final = Promise(0.0, 0.0, 0.0, 0.0, 1.0)
MOST_EVIDENCE: Final = 20.0
"""Of a surge, to the model: there is no more to be said by then."""


class Windows(msgspec.Struct, frozen=True, gc=False):
    """A moment, in days since the epoch, and how many days of recent traffic and of the norm were seen by then.

    `usual_days` are those of the norm before the recent ones, with those that stand beside them. `known`, 0 to 1, is
    how far there is a norm at all: 1 once it was watched for as many days before the recent ones.
    """

    now: float
    recent_days: float
    norm_days: float
    usual_days: float
    known: float


class FlowTraffic:
    """Arrivals and inspections by flow. When flows and days come to more than `capacity` entries, the norm is taken
    over fewer days, and within the one that is left new flows are not counted: memory is bounded, whatever is lodged.
    """

    __slots__ = ("_capacity", "_days", "_entries", "_first", "_flows")

    def __init__(self, capacity: int = 400_000) -> None:
        self._capacity = capacity
        # [recent arrivals, recently spent, arrivals in the norm's window, day of the last look]
        self._flows: dict[str, list[float]] = {}
        self._days: deque[tuple[int, dict[str, list[float]]]] = deque()  # oldest first; [arrivals, spent] by flow
        self._entries = 0
        self._first: float | None = None

    def __len__(self) -> int:
        return len(self._flows)

    def windows(self, at: datetime) -> Windows | None:
        """What was seen until an item comes; None before the first item, and after a norm's days without any."""
        if self._first is None:
            return None
        now = _days(at)
        today = self._days[-1][0]
        late = now - today if now > today else 0.0
        if late >= NORM_DAYS:
            return None  # nothing of it counts, and whoever reads the horizon may not have seen it
        seen = (now if now > today else today) - self._first
        if seen < 0.0:
            seen = 0.0
        # A day more than the counts hold: of what is a little above its norm, less surges (docs/models-tried.md).
        recent_days = (late + RECENT_DAYS if late + RECENT_DAYS < seen else seen) + 0.25
        norm_days = (NORM_DAYS if seen > NORM_DAYS else seen) + 0.25
        before = norm_days - recent_days
        if before < 0.0:  # a silence that leaves nothing of the norm
            before = 0.0
        known = before / RECENT_DAYS
        return Windows(now, recent_days, norm_days, before + PRIOR_DAYS, known if known < 1.0 else 1.0)

    def promise(self, flows: tuple[str, ...], seen: Windows | None, patrol_days: float) -> Promise:
        """What speaks for a look at an item: the first of its flows, the widest, may surge; the last may be unseen.

        A flow that was looked at `patrol_days` ago has regained 63% of what these looks took from its worth.
        """
        if seen is None:
            return NOTHING
        recent_days, norm_days = seen.recent_days, seen.norm_days
        recent, spent, norm, _ = self._flows.get(flows[0], _NOBODY)
        surging = 0.0
        arrived = recent + 1.0  # with the item in hand
        usual = _usual(recent, norm, seen)
        times = arrived / usual
        if arrived > usual:
            evidence = seen.known * _evidence(arrived, usual, log(times))
            surging = (1.0 - usual / arrived) / (1.0 + exp(SURGE_ODDS - evidence)) / (1.0 + SPENT_WEIGHT * spent)
        recent, spent, norm, looked = self._flows.get(flows[-1], _NOBODY)
        daily, lately = norm / norm_days, recent / recent_days
        unseen = daily / BUSY if daily < BUSY else 1.0
        if spent:
            unseen *= 1.0 - (1.0 - MISSED**spent) * exp(-max(seen.now - looked, 0.0) / patrol_days)
        most = daily if daily > lately else lately
        return Promise(surging, unseen, times, daily, most / BUSY if most < BUSY else 1.0)

    def quantities(self, flows: tuple[str, ...], seen: Windows | None) -> dict[str, float]:
        """What an item's narrowest flow says to the model: its recent traffic over its norm, and how surely it surges.

        0 for a flow that comes as ever or less than that; nothing before the first item.
        """
        if seen is None or not flows:
            return {}
        recent, _, norm, _ = self._flows.get(flows[-1], _NOBODY)
        arrived = recent + 1.0
        usual = _usual(recent, norm, seen)
        if arrived <= usual:
            return {TIMES: 0.0, EVIDENCE: 0.0}
        times = log(arrived / usual)
        evidence = _evidence(arrived, usual, times)
        return {TIMES: times, EVIDENCE: evidence if evidence < MOST_EVIDENCE else MOST_EVIDENCE}

    def observe(self, decision: SelectionDecided, at_ms: int) -> None:
        """Fold one decision: an arrival in each of its flows, and an inspection spent if it was selected.

        `at_ms` is its `lodged_at`.
        """
        day = at_ms // _DAY_MS
        if not self._days or day > self._days[-1][0]:
            self._begin(day)
            if self._first is None or len(self._days) == 1:  # nothing before it counts
                self._first = _days(decision.lodged_at)
            else:
                self._first = max(self._first, day - NORM_DAYS + 1.0)
        today = self._days[-1][1]
        selected = decision.selected
        for flow in decision.flows:
            counted = today.get(flow)
            if counted is None:
                if self._entries >= self._capacity and not self._made_room():
                    continue
                counted = today[flow] = [0.0, 0.0]
                self._entries += 1
            held = self._flows.get(flow)
            if held is None:
                held = self._flows[flow] = [0.0, 0.0, 0.0, _NEVER]
            counted[0] += 1.0
            held[_RECENT] += 1.0
            held[_NORM] += 1.0
            if selected:
                counted[1] += 1.0
                held[_SPENT] += 1.0
                held[_LOOKED] = max(held[_LOOKED], _days(decision.lodged_at))

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
        while self._days[0][0] <= day - NORM_DAYS:
            self._forget_oldest_day(day)

    def _made_room(self) -> bool:
        """Take the norm over a day less. False when there is only today."""
        if len(self._days) == 1:
            return False
        self._forget_oldest_day(self._days[-1][0])
        self._first = max(self._first or 0.0, float(self._days[0][0]))
        return True

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


def _usual(recent: float, norm: float, seen: Windows) -> float:
    """How many recent arrivals the norm explains."""
    return (norm - recent + PRIOR_ARRIVALS) / seen.usual_days * seen.recent_days


def _evidence(arrived: float, usual: float, log_times: float) -> float:
    """Log-likelihood ratio of a Poisson count against its norm, of which it is so many times (in logarithms)."""
    return arrived * log_times - (arrived - usual)


def _days(at: datetime) -> float:
    """Days since the epoch."""
    return at.timestamp() / _DAY
