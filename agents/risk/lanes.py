"""Lanes: green release, blue audit after clearance, yellow documents, red physical inspection or secondary.

What must go somewhere goes there: mandatory hits and repeat offenders to red, direct criteria where they say, the
audit sample where the policy says. The rest is spread by rank, the highest scores to red, so that over the latest
selected items each lane gets the share that the policy expects: what the fixed ones took too much of, the others
leave.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections import deque

from agents.adding import added
from agents.risk.policy import LaneShares, Policy
from schemas.decisions import Lane, Layer, SelectionDecided
from schemas.items import Stream

_ORDER: tuple[Lane, ...] = ("red", "yellow", "blue")
_NO_RANK = -1.0
_RESPONSE = 10.0
"""Items in which a lane that is behind its share is brought back to it."""


class LaneBook:
    """The lanes of the latest selected items of one control point and stream."""

    __slots__ = ("_limit", "_ranks", "counts", "latest", "shares")

    def __init__(self, policy: Policy, stream: Stream) -> None:
        self.shares: LaneShares = policy.lanes.of(stream)
        self._limit = policy.lanes.window_selected
        self.latest: deque[tuple[int, Lane, float]] = deque()
        self.counts: dict[Lane, int] = {"red": 0, "yellow": 0, "blue": 0}
        self._ranks: list[float] = []  # ascending, of those that the model selected

    def position(self, layer: Layer, rank: float) -> float:
        """Where an item stands among the latest selections of the model: 0 the top, 1 the bottom.

        Surge and anomaly do not select by the score; their items stand in the middle.
        """
        held = len(self._ranks)
        if layer != "model" or not held:
            return 0.5
        above = held - bisect_right(self._ranks, rank)
        ties = held - above - bisect_left(self._ranks, rank)
        return (above + 0.5 * ties + 0.5) / (held + 1)

    def assign(self, position: float) -> Lane:
        """The lane of an item that may go to any, so that each lane comes to its expected share."""
        after = len(self.latest) + 1
        wanted = [max(0.0, share + (share * after - self.counts[lane]) / _RESPONSE) for lane, share in self._expected()]
        total = added(wanted)
        reached, last = 0.0, _ORDER[0]
        for lane, want in zip(_ORDER, wanted, strict=True):
            if want > 0.0:
                reached, last = reached + want, lane
                if position * total < reached:
                    return lane
        return last

    def fold(self, decision: SelectionDecided, at_ms: int) -> None:
        """Take in one selected item."""
        rank = decision.competed_as if decision.layer == "model" else _NO_RANK
        self.latest.append((at_ms, decision.lane, rank))
        self.counts[decision.lane] += 1
        if rank >= 0.0:
            insort(self._ranks, rank)
        if len(self.latest) > self._limit:
            self._leave()

    @property
    def front_ms(self) -> int | None:
        """When the first selection in mind was lodged, None without one."""
        return self.latest[0][0] if self.latest else None

    def expire(self, oldest_ms: int) -> None:
        """Forget selections of items lodged before `oldest_ms`."""
        while self.latest and self.latest[0][0] < oldest_ms:
            self._leave()

    def _leave(self) -> None:
        _, lane, rank = self.latest.popleft()
        self.counts[lane] -= 1
        if rank >= 0.0:
            del self._ranks[bisect_left(self._ranks, rank)]

    def _expected(self) -> tuple[tuple[Lane, float], ...]:
        return (("red", self.shares.red), ("yellow", self.shares.yellow), ("blue", self.shares.blue))
