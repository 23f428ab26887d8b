"""Keeping inspections on capacity: one account and one moving bar for each control point.

Every item earns its control point `capacity_share` of an inspection, every selection spends one. The bar for the
rank is a quantile of the latest ranks, taken at the share that mandatory hits, direct criteria, quotas and chance
have left over, and moved by what the account holds: a surplus is spent, a debt is saved, over a few windows. So the
bar follows any distribution of scores (it only ranks them), and the account bounds how far the selected share can be
from the capacity whatever the scores do: score layers never run more than `slack` ahead of what was earned, and what
was not spent is not forgotten. The idea is that of adaptive conformal inference (Gibbs & Candes 2021, "Adaptive
conformal inference under distribution shift"; with a quantile of recent scores in front, Angelopoulos, Candes &
Tibshirani 2023, "Conformal PID control"), with a share of selections in the place of an error rate.

State changes in `CapacityAccount.fold` only, and only by what a published decision says.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import deque
from itertools import islice
from typing import Final

from agents.risk.policy import Controller
from schemas.decisions import Layer, SelectionDecided

DAY_MS = 86_400_000
BY_RANK: Final = frozenset(("model", "surge"))
"""Layers that the bar selects for: the score of an item, or what a look at its flow is worth, is one rank."""
NO_RANK = -1.0
"""In the window: the item did not compete."""

_CUT_AT = 0.15
"""Surplus, in shares of a window's capacity, at which the bar is out of touch with the scores of today."""
_OPEN_AT = 0.5
"""Surplus, in the same measure, at which every candidate passes."""


Seen = tuple[int, float, Layer | None]
"""One decided item in the window: its time (ms), its rank (or NO_RANK), and the layer that selected it."""


class RankWindow:
    """The ranks of the latest competitors, sorted, oldest first out."""

    __slots__ = ("ascending",)

    def __init__(self) -> None:
        self.ascending: list[float] = []

    def __len__(self) -> int:
        return len(self.ascending)

    def drop(self, rank: float) -> None:
        del self.ascending[bisect_left(self.ascending, rank)]

    def bar(self, places: float) -> float:
        """The rank that so many of the window reach, between its neighbours if `places` is not whole.

        With less than one place, only what is above the whole window passes; over an empty window, everything.
        """
        ascending = self.ascending
        held = len(ascending)
        if not held:
            return 0.0
        if places >= held:
            return ascending[0]
        if places < 1.0:
            return ascending[-1] + 1e-12
        whole = int(places)
        upper = ascending[held - whole]
        if whole == held:
            return upper
        # A whole number of places passes exactly at `upper`; a fraction more lowers the bar towards the next rank.
        part = places - whole
        if part < 1e-9:
            return upper
        return upper - part * (upper - ascending[held - whole - 1])


class CapacityAccount:
    """The account and the window of one control point."""

    __slots__ = (
        "_horizon_ms",
        "_limit",
        "_response",
        "_slack",
        "_unranked",
        "balance",
        "latest_ms",
        "oldest_ms",
        "picks",
        "ranks",
        "seen",
        "share",
        "taken",
    )

    def __init__(self, controller: Controller, share: float) -> None:
        self._limit = controller.window_items
        self._horizon_ms = int(controller.window_days * DAY_MS)
        self._slack = controller.slack
        self._response = controller.response
        self.share = share
        self.balance = 0.0
        self.seen: deque[Seen] = deque()
        self.ranks = RankWindow()
        self.picks: dict[Layer, int] = {}
        self.taken = 0  # selections in the window that were not by rank
        self.latest_ms = 0
        self.oldest_ms = -self._horizon_ms  # what is older is forgotten, by the control point's own watermark
        self._unranked = 0  # oldest items of the window whose ranks were cut from the rank windows

    def __len__(self) -> int:
        return len(self.seen)

    def affords(self, ahead: float = 0.0) -> bool:
        """Whether a score layer may spend one inspection on the item in hand, which earns its share first."""
        return self.balance + self.share - 1.0 >= -(self._slack * self.share * len(self.seen) + ahead)

    def score_bar(self) -> float:
        """What the score must reach: the quantile at the share that is left for the model.

        With a surplus of half a window's capacity there is no bar: no order of scores can starve a control point.
        """
        seen = len(self.seen)
        capacity = self.share * seen
        if not seen or self.balance > 1.0 + _OPEN_AT * capacity:
            return 0.0
        places = capacity - self.taken + self.balance / self._response
        if self._unranked:
            places *= (seen - self._unranked) / seen
        return self.ranks.bar(places)

    def within_quota(self, layer: Layer, share_of_capacity: float, at_least: float = 0.0) -> bool:
        """Whether `layer` has a slot left of its share of the window's capacity (rounded to the nearest)."""
        quota = share_of_capacity * self.share * len(self.seen) + 0.5
        return self.picks.get(layer, 0) + 1 <= (quota if quota > at_least else at_least)

    def after(self, selected: bool) -> float:
        """The balance after the item in hand. Bounded by a window's capacity: no debt or surplus lasts longer."""
        balance = self.balance + self.share
        if selected:
            balance -= 1.0
        bound = 2.0 + self.share * len(self.seen)
        return bound if balance > bound else -bound if balance < -bound else balance

    def window_after(self, balance: float) -> int:
        """How many of the latest items, the one in hand among them, stay ranked when the account comes to `balance`.

        Normally all of the window. When the bar selects too little for too long, today's scores are below those of the
        window: then its newest quarter, but so much that the capacity's quantile is in it, and cuts are as far apart.
        """
        seen = len(self.seen) + 1
        ranked = seen - self._unranked
        if balance > 2.0 and balance > _CUT_AT * self.share * seen:
            enough = max(20, int(2.0 / self.share))
            if ranked >= 2 * enough:
                return max(ranked // 4, enough)
        return ranked

    def advance(self, at_ms: int) -> None:
        """Forget what is too old for an item of this event time; of an account that is empty then, the balance too.

        Before it is decided, not after: what was decided before an office closed for months is in no horizon, and an
        account that was rebuilt must stand as the one that lived.
        """
        if at_ms <= self.latest_ms:
            return
        self.latest_ms = at_ms
        self.oldest_ms = oldest = at_ms - self._horizon_ms
        seen = self.seen
        while seen and seen[0][0] < oldest:
            self._leave()
        if not seen:
            self.balance = 0.0

    def fold(self, decision: SelectionDecided, at_ms: int) -> None:
        """Take in one decision of this control point. `at_ms` is the item's event time, to which it has advanced."""
        self.balance = decision.balance
        layer = decision.layer
        rank = NO_RANK
        if not decision.auto_cleared and layer != "mandatory" and layer != "criteria":
            rank = decision.score if decision.rank is None else decision.rank
            if decision.surge > rank:
                rank = decision.surge
            insort(self.ranks.ascending, rank)
        seen = self.seen
        seen.append((at_ms, rank, layer))
        if layer is not None:
            self.picks[layer] = self.picks.get(layer, 0) + 1
            if layer not in BY_RANK:
                self.taken += 1
        if len(seen) > self._limit:
            self._leave()
        if decision.window and len(seen) - decision.window > self._unranked:
            self._rank_latest(decision.window)

    def _leave(self) -> None:
        _, rank, layer = self.seen.popleft()
        if self._unranked:
            self._unranked -= 1
        elif rank >= 0.0:
            self.ranks.drop(rank)
        if layer is not None:
            if self.picks[layer] == 1:
                del self.picks[layer]
            else:
                self.picks[layer] -= 1
            if layer not in BY_RANK:
                self.taken -= 1

    def _rank_latest(self, window: int) -> None:
        """Let go of the ranks of all but the latest `window` items."""
        unranked = len(self.seen) - window
        for _, rank, _ in islice(self.seen, self._unranked, unranked):
            if rank >= 0.0:
                self.ranks.drop(rank)
        self._unranked = unranked
