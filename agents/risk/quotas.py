"""How often a criterion may act: a share of the items of a control point in a day, spent on the strongest hits.

A stream cannot wait for the day's hits to rank them. So a hit acts when the share still has room for it AND its
strength is among the strongest so far: as many as the share allows of the hits seen. What is over is kept on the item
without effect and reported, at the first, tenth, hundredth... capped hit of the day.

A control point's items are spread over partitions that do not know of each other. Each rounds its part of the share up
or down by a draw, so that all of them together allow what the share is of all items, on average.

The day is that of the partition's watermark, so the counts are a function of the records since its beginning, and of
whatever the criteria looked at when those came.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

from agents.identity import unit_hash

DAY: Final = timedelta(days=1)
_DAY_MS = DAY // timedelta(milliseconds=1)
_STEPS = 1024
_COARSE = 32
_FEW = 512
"""Hits up to which each is kept, in order: most criteria fire on few items of a control point."""
_GOLDEN: Final = 0.618033988749895
"""Multiples of the golden ratio, without what is whole of them, lie evenly in [0, 1), however many there are."""


@dataclass(slots=True)
class Spent:
    """One version of a criterion in its day at one control point: its hits, by strength, and how many were capped.

    `part` is what this partition rounds with. Up to `_FEW` hits are kept as they are, more as counts by step.
    """

    part: float
    hits: int = 0
    capped: int = 0
    few: array[int] = field(default_factory=lambda: array("H"))
    fine: list[int] = field(default_factory=list)
    coarse: list[int] = field(default_factory=list)

    def stronger(self, strength: float) -> int:
        """Count a hit of strength 0 to 1, and tell how many were stronger."""
        step = min(int(strength * _STEPS), _STEPS - 1)
        before = self.hits
        self.hits = before + 1
        if before < _FEW:
            place = bisect_right(self.few, step)
            self.few.insert(place, step)
            return before - place
        if before == _FEW:
            self.fine, self.coarse = [0] * _STEPS, [0] * (_STEPS // _COARSE)
            for one in self.few:
                self.fine[one] += 1
                self.coarse[one // _COARSE] += 1
            self.few = array("H")
        coarse = step // _COARSE
        self.fine[step] += 1
        self.coarse[coarse] += 1
        return sum(self.fine[step + 1 : (coarse + 1) * _COARSE]) + sum(self.coarse[coarse + 1 :])

    def is_round(self) -> bool:
        """Whether the capped hits are 1, 10, 100...: when to report."""
        return self.capped == int("1".ljust(len(str(self.capped)), "0"))


class Quotas:
    """The quotas of one partition, by control point and criterion."""

    def __init__(self, partition: int) -> None:
        self._partition = partition
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

        What its earlier versions spent in the day is spent; a hit is ranked among those of its own version.
        """
        at = (criterion_id, version, control_point)
        spent = self._spent.get(at)
        if spent is None:
            drawn = unit_hash("cap", criterion_id, control_point, self._day)
            spent = self._spent[at] = Spent((drawn + _GOLDEN * self._partition) % 1.0)
        allowed = int(cap * self._items.get(control_point, 0) + spent.part)
        acted = self._acted.get((criterion_id, control_point), 0)
        if spent.stronger(strength) < allowed and acted < allowed:
            self._acted[criterion_id, control_point] = acted + 1
            return None
        spent.capped += 1
        return spent
