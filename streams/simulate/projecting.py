"""What a criterion will do before it is in force: hits a day and a control point, overlap, load against its cap."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from math import ceil
from typing import Final

import numpy as np

from agents.identity import record_id
from agents.risk.alerts import STEP
from agents.risk.policy import Policy
from schemas.items import ItemFiltered
from schemas.knowledge import CriterionPublished
from streams.simulate.assessing import Record
from streams.simulate.estimate import Sample, estimate
from streams.simulate.findings import Counted, Overlap, Projected

DAY_S: Final = 86_400
Day = int


@dataclass(slots=True)
class _Hits:
    decisions: list[str] = field(default_factory=list)
    points: list[str] = field(default_factory=list)
    per_day: dict[tuple[str, Day], int] = field(default_factory=lambda: defaultdict(int))
    others: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    capped: int = 0


class Projector:
    """Counts what criteria fire on. Every item of the span must come, with hits or without."""

    def __init__(self, criteria: Iterable[CriterionPublished], policy: Policy) -> None:
        self.criteria = {one.criterion_id: one for one in criteria}
        self._caps = {name: min(one.cap, policy.criterion_cap) for name, one in self.criteria.items()}
        self._items: dict[tuple[str, Day], int] = defaultdict(int)
        self._hits = {name: _Hits() for name in self.criteria}

    def note(self, filtered: ItemFiltered) -> None:
        """Take one filtered item with the hits of these criteria on it."""
        self.take(filtered, [(hit.criterion_id, hit.capped) for hit in filtered.criteria])

    def take(self, filtered: ItemFiltered, fired: Sequence[tuple[str, bool]]) -> None:
        """Take one item and the criteria that fired on it: id, and whether the hit was over its cap."""
        item = filtered.item
        place = (item.control_point, int(item.lodged_at.timestamp()) // DAY_S)
        self._items[place] += 1
        for name, capped in fired:
            held = self._hits.get(name)
            if held is None:
                continue
            origin = item.origin
            held.decisions.append(record_id("d", STEP, origin.topic, origin.partition, origin.offset, origin.index))
            held.points.append(item.control_point)
            held.per_day[place] += 1
            held.capped += capped
            for other, _ in fired:
                if other != name:
                    held.others[other] += 1

    def projected(self, record: Record | None = None) -> list[Projected]:
        """What there is to say; with the record of decisions also what the hits turned out to be."""
        days = max(1, len({day for _, day in self._items}))
        items = sum(self._items.values())
        said = []
        for name, held in self._hits.items():
            cap, hits = self._caps[name], len(held.decisions)
            points = self._points(held, cap)
            worst = max(points, key=lambda one: (one.selected / one.items, one.name), default=None)
            projected = Projected(
                criterion_id=name, version=self.criteria[name].version, action=self.criteria[name].action, hits=hits,
                hits_per_day=hits / days, share=hits / items if items else 0.0, cap=cap,
                worst=worst.name if worst else "", worst_share=worst.selected / worst.items if worst else 0.0,
                capped=held.capped, by_control_point=points,
                overlaps=[Overlap(other, count, count / hits) for other, count in sorted(held.others.items())],
                selected_already=0, known=0, seizures=0,
            )  # fmt: skip
            if record is not None and hits:
                found = record.outcomes_of(held.decisions)
                everything = np.ones(hits, np.bool_)
                sample = Sample(everything, np.zeros(hits), *(np.ma.filled(found[column], 0) for column in
                                ("sure", "rate", "drawn", "inspected", "seized")))  # fmt: skip
                projected.hit_rate = estimate(sample)
                projected.selected_already = int(found["selected"].sum())
                projected.known = int(found["inspected"].sum())
                projected.seizures = int(found["seized"].sum())
            said.append(projected)
        return said

    def over_cap(self, name: str) -> tuple[str, int, int] | None:
        """The control point at which a criterion fires most above what its cap lets act: its name, hits, room.

        The room of a day is the cap's share of its items, rounded up.
        """
        held, cap = self._hits[name], self._caps[name]
        room: dict[str, int] = defaultdict(int)
        hits: dict[str, int] = defaultdict(int)
        for (point, day), items in self._items.items():
            room[point] += ceil(cap * items)
            hits[point] += held.per_day.get((point, day), 0)
        over = [(hits[point] / room[point], point) for point in room if hits[point] > room[point]]
        if not over:
            return None
        point = max(over)[1]
        return point, hits[point], room[point]

    @property
    def days(self) -> int:
        """Days with items."""
        return len({day for _, day in self._items})

    def _points(self, held: _Hits, cap: float) -> list[Counted]:
        """For each control point: items, hits, and (as `known`) the hits that its cap has room for."""
        items: dict[str, int] = defaultdict(int)
        hits: dict[str, int] = defaultdict(int)
        room: dict[str, int] = defaultdict(int)
        for (point, day), count in self._items.items():
            fired = held.per_day.get((point, day), 0)
            items[point] += count
            hits[point] += fired
            room[point] += min(fired, ceil(cap * count))
        return [
            Counted(name=point, items=items[point], selected=hits[point], known=room[point], seizures=0)
            for point in sorted(items)
        ]
