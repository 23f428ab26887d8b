"""Flows of traffic at one control-point partition: which ones surge, and what has been spent on looking at them.

A flow is a pair of attributes (`hs4*origin=8517*CN`). New schemes bring new traffic before they bring any label, so a
share of the capacity goes to flows whose recent arrivals stand far above their own norm, less where inspections
have been spent already. State changes only by `observe`, from decisions as they were published.
"""

from __future__ import annotations

from datetime import datetime
from math import exp, log

from schemas.decisions import SelectionDecided

_LOG_2 = log(2.0)
_DAY = 86400.0


class FlowTraffic:
    """Decayed arrivals and inspections by flow. `recent` halves in 3 days, the norm in 30, `spent` in 10."""

    __slots__ = ("_flows", "_norm_tau", "_recent_tau", "_since", "_spent_tau", "capacity")

    def __init__(
        self,
        recent_half_life_days: float = 3.0,
        norm_half_life_days: float = 30.0,
        spent_half_life_days: float = 10.0,
        capacity: int = 50_000,
    ) -> None:
        self._recent_tau = recent_half_life_days / _LOG_2
        self._norm_tau = norm_half_life_days / _LOG_2
        self._spent_tau = spent_half_life_days / _LOG_2
        self._since: float | None = None
        self._flows: dict[str, list[float]] = {}  # [recent, norm, spent, day]
        self.capacity = capacity

    def __len__(self) -> int:
        return len(self._flows)

    def surge(self, flows: tuple[str, ...], at: datetime) -> float:
        """How far the most surging of `flows` stands above its norm, damped by what was spent on it; 0 for none."""
        if self._since is None:
            return 0.0
        day = at.timestamp() / _DAY
        seen_days = max(day - self._since, 0.0)
        # Decayed sums are brought to arrivals a day; while the log is young, by the time that it has really seen.
        recent_span = self._recent_tau * (1.0 - exp(-seen_days / self._recent_tau)) + 0.25
        norm_span = self._norm_tau * (1.0 - exp(-seen_days / self._norm_tau)) + 0.25
        best = 0.0
        for flow in flows:
            held = self._flows.get(flow)
            if held is None:
                continue
            elapsed = max(day - held[3], 0.0)
            recent = held[0] * exp(-elapsed / self._recent_tau) / recent_span
            norm = held[1] * exp(-elapsed / self._norm_tau) / norm_span
            spent = held[2] * exp(-elapsed / self._spent_tau)
            above = (recent + 0.1) / (norm + 0.5)
            best = max(best, above / (1.0 + spent))
        return best

    def observe(self, decision: SelectionDecided) -> None:
        """Fold one decision: an arrival in each of its flows, and an inspection spent if it was selected."""
        day = decision.lodged_at.timestamp() / _DAY
        if self._since is None:
            self._since = day
        spent = 1.0 if decision.selected else 0.0
        for flow in decision.flows:
            held = self._flows.get(flow)
            if held is None:
                self._flows[flow] = [1.0, 1.0, spent, day]
                continue
            elapsed = day - held[3]
            if elapsed > 0.0:
                held[0] *= exp(-elapsed / self._recent_tau)
                held[1] *= exp(-elapsed / self._norm_tau)
                held[2] *= exp(-elapsed / self._spent_tau)
                held[3] = day
            held[0] += 1.0
            held[1] += 1.0
            held[2] += spent
        if len(self._flows) > self.capacity:
            self._shed()

    def _shed(self) -> None:
        flows = self._flows
        latest = max(held[3] for held in flows.values())
        strength = {flow: held[1] * exp(-(latest - held[3]) / self._norm_tau) for flow, held in flows.items()}
        order = sorted(flows, key=strength.__getitem__)  # stable: among equals the oldest goes first
        for flow in order[: len(flows) - int(self.capacity * 0.9)]:
            del flows[flow]
