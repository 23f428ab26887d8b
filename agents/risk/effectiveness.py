"""How well each criterion and each layer does: inspections, seizures and hit rates of one control point.

A hit is a seizure or an irregularity; the seizure rate that is published counts seizures only. Rates come with
Wilson's score interval (Wilson 1927), which stays inside [0, 1] and is honest at small counts.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from math import sqrt

from agents.epoch import EPOCH, epoch_ms
from agents.risk.layers import LAYERS
from schemas.decisions import Layer
from schemas.inspections import OutcomeLearned
from schemas.monitoring import SeizureRateReported

Z95 = 1.959963984540054
"""The normal quantile of a two-sided 95% interval."""


def wilson(hits: int, trials: int, z: float = Z95) -> tuple[float, float]:
    """Wilson's score interval of a rate, (0, 1) without trials. Raises ValueError unless 0 <= hits <= trials."""
    if not 0 <= hits <= trials:
        raise ValueError("hits must be between 0 and trials")
    if trials == 0:
        return 0.0, 1.0
    rate = hits / trials
    spread = z * z / trials
    centre = rate + spread / 2.0
    half = z * sqrt(rate * (1.0 - rate) / trials + spread / (4.0 * trials))
    low = 0.0 if hits == 0 else max(0.0, (centre - half) / (1.0 + spread))
    high = 1.0 if hits == trials else min(1.0, (centre + half) / (1.0 + spread))
    return low, high


class Tally:
    """Inspections of one layer or criterion, hits and seizures among them."""

    __slots__ = ("hits", "inspected", "seizures")

    def __init__(self) -> None:
        self.inspected = 0
        self.hits = 0
        self.seizures = 0

    def count(self, label: int, seizure: bool, sign: int = 1) -> None:
        """One more inspection, or with `sign` -1 one less (a correction)."""
        self.inspected += sign
        self.hits += sign * label
        self.seizures += sign if seizure else 0

    @property
    def hit_rate(self) -> tuple[float, float, float]:
        """(rate, low, high) of hits at 95%; (0, 0, 1) before the first inspection."""
        low, high = wilson(self.hits, self.inspected)
        return (self.hits / self.inspected if self.inspected else 0.0), low, high


class Effectiveness:
    """Tallies of one control point over the horizon that is remembered, and over the window that is open.

    The open window, which begins at `since_ms`, counts whatever is reported while it is open, late or not.
    `by_layer` counts under the layer that selected. `audit` is the audit sample: whatever the exploration draw hit,
    also when another layer selected it; its hit rate, each item weighted by 1 / exploration_rate, is that of all
    traffic (Horvitz & Thompson 1952). `delay_days` is the decayed mean from lodgement to inspection. `released` are
    alerts that were closed without an inspection: no rate counts them.
    """

    __slots__ = (
        "_audit_hits",
        "_audit_weight",
        "_control_point",
        "_length_ms",
        "_window",
        "_window_criteria",
        "_window_layers",
        "_window_released",
        "by_criterion",
        "by_layer",
        "delay_days",
        "released",
        "since_ms",
        "total",
    )

    def __init__(self, control_point: str, hours: float) -> None:
        self._control_point = control_point
        self._length_ms = max(1, int(hours * 3_600_000))
        self.total = Tally()
        self.by_layer: dict[Layer, Tally] = {}
        self.by_criterion: dict[str, Tally] = {}
        self.delay_days = 0.0
        self.released = 0
        self._audit_weight = 0.0
        self._audit_hits = 0.0
        self.since_ms: int | None = None
        self._window = Tally()
        self._window_released = 0
        self._window_layers: dict[Layer, Tally] = {}
        self._window_criteria: dict[str, Tally] = {}

    @property
    def base_rate(self) -> float | None:
        """The estimated share of illicit items among ALL items, from the audit sample; None while it is empty."""
        return self._audit_hits / self._audit_weight if self._audit_weight > 0.0 else None

    def fold(self, example: OutcomeLearned, at_ms: int) -> SeizureRateReported | None:
        """Count one outcome. The report of the window that it closes, None when it closes none."""
        report = self._turn(at_ms)
        self._count(example, 1)
        delay = max(0.0, (example.inspected_at - example.lodged_at).total_seconds() / 86400.0)
        step = 1.0 / min(self.total.inspected, 100) if self.total.inspected else 1.0
        self.delay_days += step * (delay - self.delay_days)
        return report

    def undo(self, example: OutcomeLearned, at_ms: int, counted_in: int | None) -> SeizureRateReported | None:
        """Take back an outcome that was counted in the window that began at `counted_in`.

        What was reported in an earlier window stays in that report.
        """
        report = self._turn(at_ms)
        self._count(example, -1, in_window=counted_in == self.since_ms)
        return report

    def release(self, at_ms: int) -> SeizureRateReported | None:
        """Count an alert that was released without an inspection."""
        report = self._turn(at_ms)
        self.released += 1
        self._window_released += 1
        return report

    def undo_release(self, at_ms: int, counted_in: int | None) -> SeizureRateReported | None:
        """Take back a release that was counted in the window that began at `counted_in`."""
        report = self._turn(at_ms)
        self.released -= 1
        self._window_released -= counted_in == self.since_ms
        return report

    def _count(self, example: OutcomeLearned, sign: int, *, in_window: bool = True) -> None:
        seizure = example.outcome == "seizure"
        label = example.label
        self.total.count(label, seizure, sign)
        self.by_layer.setdefault(example.layer, Tally()).count(label, seizure, sign)
        for criterion in example.criteria:
            self.by_criterion.setdefault(criterion, Tally()).count(label, seizure, sign)
        if "exploration" in example.layers and example.exploration_rate > 0.0:
            weight = sign / example.exploration_rate
            self._audit_weight += weight
            self._audit_hits += weight * label
        if in_window:
            self._window.count(label, seizure, sign)
            self._window_layers.setdefault(example.layer, Tally()).count(label, seizure, sign)
            for criterion in example.criteria:
                self._window_criteria.setdefault(criterion, Tally()).count(label, seizure, sign)

    def _turn(self, at_ms: int) -> SeizureRateReported | None:
        report = None
        if self.since_ms is not None:
            if at_ms < self.since_ms + self._length_ms:
                return None
            if self._window.inspected > 0 or self._window_released > 0:
                report = self._close(self.since_ms)
        self.since_ms = at_ms - at_ms % self._length_ms
        self._window = Tally()
        self._window_released = 0
        self._window_layers = {}
        self._window_criteria = {}
        return report

    def _close(self, since_ms: int) -> SeizureRateReported:
        layers, criteria = self._window_layers, self._window_criteria
        return SeizureRateReported(
            control_point=self._control_point,
            since=_time(since_ms),
            until=_time(since_ms + self._length_ms),
            inspected=self._window.inspected,
            seizures=self._window.seizures,
            by_layer={
                layer: (layers[layer].inspected, layers[layer].seizures)
                for layer in LAYERS
                if layer in layers and layers[layer].inspected > 0
            },
            by_criterion={
                name: (tally.inspected, tally.seizures)
                for name, tally in sorted(criteria.items())
                if tally.inspected > 0
            },
            released=self._window_released,
        )


def _time(at_ms: int) -> datetime:
    """The same as a date. A window that begins or ends outside of the calendar is cut off there."""
    first, last = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
    return EPOCH + timedelta(milliseconds=min(max(at_ms, epoch_ms(first)), epoch_ms(last)))
