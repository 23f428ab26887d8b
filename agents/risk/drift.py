"""Drift: has the world left the model? ADWIN on the prediction error and on the label delay.

ADWIN (Bifet & Gavalda 2007, "Learning from time-changing data with adaptive windowing"; River's implementation) keeps
a window of a watched quantity in [0, 1] and cuts it where two parts of it differ by more than chance. One detector
watches each quantity of each control point and stream.
"""

from __future__ import annotations

from datetime import datetime
from math import isfinite
from typing import Any

from agents.risk.policy import Drift
from schemas.inspections import OutcomeLearned
from schemas.items import Stream
from schemas.monitoring import DriftDetected

PREDICTION_ERROR = "prediction-error"
LABEL_DELAY = "label-delay"


class Watch:
    """One quantity: ADWIN and the mean of the window before its latest cut."""

    __slots__ = ("_detector",)

    def __init__(self, drift: Drift) -> None:
        # With it comes SciPy, which takes a second: workers import both beside their start.
        from river.drift import ADWIN

        self._detector: Any = ADWIN(delta=drift.confidence, grace_period=drift.grace)  # type: ignore[no-untyped-call]  # River has no types here

    def see(self, value: float) -> tuple[float, float] | None:
        """Take in a value in [0, 1]. (mean before, mean after) when ADWIN cuts, else None."""
        detector = self._detector
        before = float(detector.estimation)
        detector.update(value)
        return (before, float(detector.estimation)) if detector.drift_detected else None


class DriftMonitor:
    """The watches of one partition, by control point and stream.

    `delay_scale_days` is the delay that counts as 1 (the age at which results no longer match).
    """

    __slots__ = ("_delay_scale_s", "_drift", "_watches")

    def __init__(self, drift: Drift, delay_scale_days: float) -> None:
        self._drift = drift
        self._delay_scale_s = delay_scale_days * 86400.0
        self._watches: dict[tuple[str, Stream, str], Watch] = {}

    def __len__(self) -> int:
        return len(self._watches)

    def fold(self, example: OutcomeLearned) -> list[DriftDetected]:
        """Watch one example. What changed with it, usually nothing."""
        delay = (example.inspected_at - example.lodged_at).total_seconds() / self._delay_scale_s
        found = [
            self._see(example, PREDICTION_ERROR, abs(example.label - example.score), example.inspected_at),
            self._see(example, LABEL_DELAY, delay, example.inspected_at),
        ]
        return [event for event in found if event is not None]

    def _see(self, example: OutcomeLearned, what: str, value: float, at: datetime) -> DriftDetected | None:
        if not isfinite(value):
            return None
        place = (example.control_point, example.stream, what)
        watch = self._watches.get(place)
        if watch is None:
            watch = self._watches[place] = Watch(self._drift)
        cut = watch.see(min(1.0, max(0.0, value)))
        if cut is None:
            return None
        return DriftDetected(
            what=what,
            control_point=example.control_point,
            stream=example.stream,
            at=at,
            before=cut[0],
            after=cut[1],
        )
