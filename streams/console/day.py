"""The centre's day: coverage, seizure rates, capacity, per control point, layer and criterion, and how models learn."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable
from typing import Any, Final

from schemas.inspections import OutcomeLearned
from schemas.knowledge import CriterionPublished
from streams.console.traffic import BUCKET_MS, Traffic

DAY_MS: Final = 86_400_000
_INSPECTED: Final = ("clear", "irregularity", "seizure")
_ROLLING: Final = 100
"""Inspections that one point of the learning curve is a mean of."""
_POINTS: Final = 240
_NOTHING: Final = {"items": 0, "selected": 0, "inspected": 0, "seizures": 0, "finds": 0}
_RECORDS: Final = 50_000
_PER_SUBJECT: Final = 5


class Learning:
    """A fold of labelled-examples: the day's outcomes, the learning curve, and what was last found on a subject."""

    def __init__(self) -> None:
        self.version = 0
        self.outcomes: dict[str, tuple[int, OutcomeLearned]] = {}
        self._arms: dict[str, deque[bool]] = {}
        self._curves: dict[str, list[tuple[int, float]]] = {}
        self._every: dict[str, int] = {}
        self._counted: dict[str, int] = {}
        self._subjects: OrderedDict[str, list[dict[str, Any]]] = OrderedDict()

    def fold(self, offset: int, event: object, at_ms: int) -> None:
        """Fold one record, sent at `at_ms`. An outcome that corrects another takes its place; one that is said again
        counts once."""
        self.version = offset + 1
        if not isinstance(event, OutcomeLearned):
            return
        before = self.outcomes.pop(event.decision_id, None)
        self.outcomes[event.decision_id] = (at_ms, event)
        self._remember(event, at_ms)
        said_before = before is not None and before[1].result_id == event.result_id
        if event.outcome not in _INSPECTED or event.corrects is not None or said_before:
            return
        arm = "exploration" if event.layer == "exploration" else "model" if event.layer == "model" else "other"
        recent = self._arms.setdefault(arm, deque(maxlen=_ROLLING))
        recent.append(event.label == 1)
        count = self._counted[arm] = self._counted.get(arm, 0) + 1
        every = self._every.setdefault(arm, 1)
        if len(recent) >= 20 and count % every == 0:
            curve = self._curves.setdefault(arm, [])
            curve.append((self.version, round(sum(recent) / len(recent), 4)))
            if len(curve) > _POINTS:  # half the points, twice as far apart
                self._curves[arm], self._every[arm] = curve[::2], every * 2

    def forget_before(self, ms: int) -> None:
        """Drop the day's outcomes from before a time."""
        for key in [key for key, (at, _) in self.outcomes.items() if at < ms]:
            del self.outcomes[key]

    def known_of(self, subject: str) -> list[dict[str, Any]]:
        """The latest outcomes on a subject, newest first."""
        return list(reversed(self._subjects.get(subject, ())))

    def curves(self) -> dict[str, list[tuple[int, float]]]:
        """Rolling share of finds by arm: points of (model version, share)."""
        return {arm: list(points) for arm, points in sorted(self._curves.items())}

    def _remember(self, event: OutcomeLearned, at_ms: int) -> None:
        for subject in (event.subject, event.counterpart):
            if subject is None:
                continue
            held = [one for one in self._subjects.pop(subject, []) if one["decision"] != event.decision_id]
            if event.outcome in _INSPECTED:
                held.append(
                    {"decision": event.decision_id, "at": at_ms, "outcome": event.outcome, "severity": event.severity,
                     "categories": list(event.categories), "cp": event.control_point}
                )  # fmt: skip
            if held:
                self._subjects[subject] = held[-_PER_SUBJECT:]
        while len(self._subjects) > _RECORDS:
            del self._subjects[next(iter(self._subjects))]


def centres_day(
    traffic: Traffic,
    learning: Learning,
    criteria: dict[str, CriterionPublished],
    capacity_of: Callable[[str], float],
    now_ms: int,
    serves: Callable[[str], bool],
) -> dict[str, Any]:
    """The figures of the last 24 hours at the control points that `serves` is true of."""
    since = now_ms - DAY_MS
    points: dict[str, dict[str, Any]] = {}
    layers: dict[str, dict[str, int]] = {}
    hours: dict[int, dict[str, int]] = {}
    for (bucket, point), counts in traffic.counts.items():
        if bucket * BUCKET_MS < since - BUCKET_MS or not serves(point):
            continue
        held = points.setdefault(point, dict(_NOTHING))
        hour = hours.setdefault(bucket * BUCKET_MS // 3_600_000 * 3_600_000, {"items": 0, "selected": 0})
        for name in ("items", "selected"):
            held[name] += counts.get(name, 0)
            hour[name] += counts.get(name, 0)
        for layer, count in counts.items():
            if layer not in ("items", "selected"):
                _row(layers, layer)["selected"] += count
    by_criterion: dict[str, dict[str, int]] = {}
    for at, event in learning.outcomes.values():
        if at < since or event.outcome not in _INSPECTED or not serves(event.control_point):
            continue
        seized, found = int(event.outcome == "seizure"), event.label
        rows: list[dict[str, Any]] = [points.setdefault(event.control_point, dict(_NOTHING)), _row(layers, event.layer)]
        rows += [_row(by_criterion, one) for one in event.criteria]
        for row in rows:
            row["inspected"] += 1
            row["seizures"] += seized
            row["finds"] += found
    for point, held in points.items():
        held["capacity"] = held["items"] * capacity_of(point)
    return {
        "now": now_ms,
        "points": points,
        "layers": layers,
        "hours": [{"at": at, **counts} for at, counts in sorted(hours.items())],
        "criteria": {
            name: {**row, "title": criteria[name].title if name in criteria else name,
                   "version": criteria[name].version if name in criteria else 0}
            for name, row in by_criterion.items()
        },
        "curves": learning.curves(),
        "model_version": learning.version,
        "rolling": _ROLLING,
    }  # fmt: skip


def _row(table: dict[str, dict[str, int]], name: str) -> dict[str, int]:
    return table.setdefault(name, {"selected": 0, "inspected": 0, "seizures": 0, "finds": 0})
