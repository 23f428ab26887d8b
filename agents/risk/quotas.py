"""How often a criterion may act: a share of the items of a control point in a day, spent on the strongest hits.

A stream cannot wait for the day's hits to rank them. So a hit acts when the share still has room for it AND its
strength is among the strongest so far: as many as the share allows of the hits seen. What is over is kept on the item
without effect and reported, at the first, tenth, hundredth... capped hit of the day.

The day is that of the partition's watermark, so the counts are a function of the records since its beginning, and of
whatever the criteria looked at when those came.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from math import ceil
from typing import Final

DAY: Final = timedelta(days=1)
_DAY_MS = DAY // timedelta(milliseconds=1)
_STEPS = 1024
_COARSE = 32


@dataclass(slots=True)
class Spent:
    """One version of a criterion in its day at one control point: its hits, by strength, and how many were capped."""

    hits: int = 0
    capped: int = 0
    fine: list[int] = field(default_factory=lambda: [0] * _STEPS)
    coarse: list[int] = field(default_factory=lambda: [0] * (_STEPS // _COARSE))

    def stronger(self, strength: float) -> int:
        """Count a hit of strength 0 to 1, and tell how many were stronger."""
        step = min(int(strength * _STEPS), _STEPS - 1)
        coarse = step // _COARSE
        self.hits += 1
        self.fine[step] += 1
        self.coarse[coarse] += 1
        return sum(self.fine[step + 1 : (coarse + 1) * _COARSE]) + sum(self.coarse[coarse + 1 :])

    def is_round(self) -> bool:
        """Whether the capped hits are 1, 10, 100...: when to report."""
        return self.capped == int("1".ljust(len(str(self.capped)), "0"))


class Quotas:
    """The quotas of one partition, by control point and criterion."""

    def __init__(self) -> None:
        self._day = -1
        self._items: dict[str, int] = {}
        self._spent: dict[tuple[str, int, str], Spent] = {}
        self._acted: dict[tuple[str, str], int] = {}

    def __len__(self) -> int:
        return len(self._spent)

    def count(self, control_point: str, watermark_ms: int) -> None:
        """Count an item of a control point; a new day begins with the first item after midnight, UTC."""
        day = watermark_ms // _DAY_MS
        if day != self._day:
            self._day = day
            self._items.clear()
            self._spent.clear()
            self._acted.clear()
        self._items[control_point] = self._items.get(control_point, 0) + 1

    def spend(self, criterion_id: str, version: int, control_point: str, cap: float, strength: float) -> Spent | None:
        """Spend one hit of strength 0 to 1. None when it acts, else the account that it would have overdrawn.

        A criterion with any cap at all may act once a day: a share of the day's first items would be nothing. What its
        earlier versions spent in the day is spent; a hit is ranked among those of its own version.
        """
        at = (criterion_id, version, control_point)
        spent = self._spent.get(at)
        if spent is None:
            spent = self._spent[at] = Spent()
        allowed = ceil(cap * self._items.get(control_point, 0))
        acted = self._acted.get((criterion_id, control_point), 0)
        if spent.stronger(strength) < allowed and acted < allowed:
            self._acted[criterion_id, control_point] = acted + 1
            return None
        spent.capped += 1
        return spent
