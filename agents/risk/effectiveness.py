"""What inspections of one control point found, by layer and criterion, in windows of event time.

A find is a seizure or an irregularity; the seizure rate that is published counts seizures only.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from agents.epoch import EPOCH, epoch_ms
from agents.risk.layers import LAYERS
from schemas.decisions import Layer
from schemas.inspections import OutcomeLearned
from schemas.monitoring import SeizureRateReported


class Tally:
    """Inspections of one layer or criterion, and seizures among them."""

    __slots__ = ("inspected", "seizures")

    def __init__(self) -> None:
        self.inspected = 0
        self.seizures = 0

    def count(self, seizure: bool, sign: int = 1) -> None:
        """One more inspection, or with `sign` -1 one less (a correction)."""
        self.inspected += sign
        self.seizures += sign if seizure else 0


class Effectiveness:
    """The open window of one control point: whatever is reported while it is open, late or not.

    It begins at `since_ms`. `by_layer` counts under the layer that selected. `released` are alerts that were closed
    without an inspection: no rate counts them.
    """

    __slots__ = ("_control_point", "_length_ms", "by_criterion", "by_layer", "released", "since_ms", "total")

    def __init__(self, control_point: str, hours: float) -> None:
        self._control_point = control_point
        self._length_ms = max(1, int(hours * 3_600_000))
        self.since_ms: int | None = None
        self._open()

    def _open(self) -> None:
        self.total = Tally()
        self.released = 0
        self.by_layer: dict[Layer, Tally] = {}
        self.by_criterion: dict[str, Tally] = {}

    def fold(self, example: OutcomeLearned, at_ms: int) -> SeizureRateReported | None:
        """Count one outcome. The report of the window that it closes, None when it closes none."""
        report = self._turn(at_ms)
        self._count(example, 1)
        return report

    def undo(self, example: OutcomeLearned, at_ms: int, counted_in: int | None) -> SeizureRateReported | None:
        """Take back an outcome that was counted in the window that began at `counted_in`.

        What was reported in an earlier window stays in that report.
        """
        report = self._turn(at_ms)
        if counted_in == self.since_ms:
            self._count(example, -1)
        return report

    def release(self, at_ms: int) -> SeizureRateReported | None:
        """Count an alert that was released without an inspection."""
        report = self._turn(at_ms)
        self.released += 1
        return report

    def undo_release(self, at_ms: int, counted_in: int | None) -> SeizureRateReported | None:
        """Take back a release that was counted in the window that began at `counted_in`."""
        report = self._turn(at_ms)
        self.released -= counted_in == self.since_ms
        return report

    def _count(self, example: OutcomeLearned, sign: int) -> None:
        seizure = example.outcome == "seizure"
        self.total.count(seizure, sign)
        self.by_layer.setdefault(example.layer, Tally()).count(seizure, sign)
        for criterion in example.criteria:
            self.by_criterion.setdefault(criterion, Tally()).count(seizure, sign)

    def _turn(self, at_ms: int) -> SeizureRateReported | None:
        report = None
        if self.since_ms is not None:
            if at_ms < self.since_ms + self._length_ms:
                return None
            if self.total.inspected > 0 or self.released > 0:
                report = self._report(self.since_ms)
        self.since_ms = at_ms - at_ms % self._length_ms
        self._open()
        return report

    def _report(self, since_ms: int) -> SeizureRateReported:
        layers = self.by_layer
        return SeizureRateReported(
            control_point=self._control_point,
            since=_time(since_ms),
            until=_time(since_ms + self._length_ms),
            inspected=self.total.inspected,
            seizures=self.total.seizures,
            by_layer={
                layer: (layers[layer].inspected, layers[layer].seizures)
                for layer in LAYERS
                if layer in layers and layers[layer].inspected > 0
            },
            by_criterion={
                name: (tally.inspected, tally.seizures)
                for name, tally in sorted(self.by_criterion.items())
                if tally.inspected > 0
            },
            released=self.released,
        )


def _time(at_ms: int) -> datetime:
    """The same as a date. A window that begins or ends outside of the calendar is cut off there."""
    first, last = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
    return EPOCH + timedelta(milliseconds=min(max(at_ms, epoch_ms(first)), epoch_ms(last)))
