"""An oracle that knows the true probabilities: how much the best possible selection would find."""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from load.truth import Fate

Budget = Literal["day", "point-day"]


@dataclass(frozen=True, slots=True)
class OracleResult:
    """What the oracle inspected and found. `expected` is the sum of the probabilities it picked (no luck in it)."""

    items: int
    inspected: int
    illicit: int
    expected: float
    found: int

    @property
    def seizure_rate(self) -> float:
        """Found per inspected, 0 when nothing was inspected."""
        return self.found / self.inspected if self.inspected else 0.0


def oracle(
    fates: Iterable[Fate], coverage: float, *, budget: Budget = "day", miss_rate: float = 0.0, kind: str | None = None
) -> OracleResult:
    """Pick the `coverage` share of each day's items (or each control point's day) with the highest true probability.

    `miss_rate` scales what is found to inspections that miss (in expectation). With `kind` only finds of schemes of
    that kind count, but the budget is still spent on everything: the share a strategy can be held against.
    """
    groups: dict[tuple[datetime | str, ...], list[Fate]] = defaultdict(list)
    for fate in fates:
        day = fate.lodged_at.replace(hour=0, minute=0, second=0, microsecond=0)
        groups[(day, fate.control_point) if budget == "point-day" else (day,)].append(fate)
    items = inspected = illicit = found = 0
    expected, owed = 0.0, 0.0
    for _, group in sorted(groups.items(), key=lambda entry: tuple(map(str, entry[0]))):
        owed += coverage * len(group)
        take = int(owed)
        owed -= take
        picked = heapq.nlargest(take, group, key=lambda fate: fate.probability)
        items += len(group)
        inspected += len(picked)
        illicit += sum(fate.illicit for fate in group if kind is None or fate.kind == kind)
        counted = [fate for fate in picked if kind is None or fate.kind == kind]
        expected += sum(fate.probability for fate in counted)
        found += sum(fate.illicit for fate in counted)
    hit = 1.0 - miss_rate
    return OracleResult(items, inspected, illicit, expected * hit, round(found * hit))
