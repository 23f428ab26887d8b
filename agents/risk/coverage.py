"""Inspection coverage of one control point by windows of event time: the first figure that everyone watches."""

from __future__ import annotations

from datetime import UTC, datetime
from math import ceil

import msgspec

from agents.risk.layers import LAYERS
from schemas.decisions import Layer, SelectionDecided
from schemas.monitoring import CapacityExceeded, CoverageReported


class CoverageWindow:
    """Counts of the open window. An item that is decided late counts in the window that is open then."""

    __slots__ = ("_control_point", "_length_ms", "_picks", "_share", "items", "selected", "since_ms")

    def __init__(self, control_point: str, share: float, minutes: float) -> None:
        self._control_point = control_point
        self._share = share
        self._length_ms = max(1, int(minutes * 60_000))
        self.since_ms = -1  # no window is open
        self.items = 0
        self.selected = 0
        self._picks: dict[Layer, int] = {}

    def fold(self, decision: SelectionDecided, at_ms: int) -> list[msgspec.Struct] | None:
        """Count one decision. What there is to report of the window that it closes, None when it closes none."""
        reports = None
        if at_ms >= self.since_ms + self._length_ms or self.since_ms < 0:
            if self.items:
                reports = self._close()
            self.since_ms = at_ms - at_ms % self._length_ms
        self.items += 1
        layer = decision.layer
        if layer is not None:
            self.selected += 1
            self._picks[layer] = self._picks.get(layer, 0) + 1
        return reports

    def _close(self) -> list[msgspec.Struct]:
        until = datetime.fromtimestamp((self.since_ms + self._length_ms) / 1000.0, UTC)
        reports: list[msgspec.Struct] = [
            CoverageReported(
                control_point=self._control_point,
                since=datetime.fromtimestamp(self.since_ms / 1000.0, UTC),
                until=until,
                items=self.items,
                selected=self.selected,
                capacity_share=self._share,
                by_layer={layer: self._picks[layer] for layer in LAYERS if layer in self._picks},
            )
        ]
        ordered = self._picks.get("mandatory", 0) + self._picks.get("criteria", 0)
        capacity = ceil(self._share * self.items)
        if ordered > capacity:
            reports.append(
                CapacityExceeded(control_point=self._control_point, at=until, selected=ordered, capacity=capacity)
            )
        self.items = self.selected = 0
        self._picks = {}
        return reports
