"""What happens in a demo, gathered into snapshots for its view: from the driver, the ledger, alerts and results."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass

from load.demo_view import LAYERS, AlertLine, DemoSnapshot, LayerRate
from load.driver import Driver
from load.ledger import quantiles
from schemas.decisions import AlertRaised
from schemas.inspections import InspectionCompleted

RATE_OVER_S = 3.0
"""Items per second are those of the latest so many seconds."""
ALERT_EVERY_S = 1.2
"""At most one alert a so many seconds joins the list, so that each stays long enough to be read."""
HISTORY_EVERY_S = 1.5
REMAINDER = "remainder"
"""The reason that sums up everything not worth a line."""
_RECENT_RESULTS = 150
_LIST = 40
_FINDS = ("seizure", "irregularity")


@dataclass(slots=True)
class _Listed:
    decision_id: str
    line: AlertLine


class Feed:
    """Watches one demo. `alerted` and `reported` are the driver's callbacks."""

    def __init__(self, duration_s: float | None, brokers: str) -> None:
        self.phase = "starting"
        self.news = ""
        self.console = ""
        self._duration_s = duration_s
        self._brokers = brokers
        self._began = time.monotonic()
        self._listed: deque[_Listed] = deque(maxlen=_LIST)
        self._listed_at = float("-inf")
        self._finds: deque[bool] = deque(maxlen=_RECENT_RESULTS)
        self._history: list[float] = []
        self._history_at = self._began
        self._counts: deque[tuple[float, int, int]] = deque()

    def at(self, brokers: str) -> None:
        """Where the brokers are."""
        self._brokers = brokers

    def begin(self) -> None:
        """Lodging begins: the clock of the view starts."""
        self._began = self._history_at = time.monotonic()
        self.phase = "running"

    def alerted(self, alert: AlertRaised, _ce_id: str) -> None:
        """An alert was raised."""
        now = time.monotonic()
        if now - self._listed_at < ALERT_EVERY_S:
            return
        self._listed_at = now
        decision = alert.decision
        told = [reason.text for reason in decision.reasons if reason.code != REMAINDER][:4]
        why = "; ".join(told) or alert.headline
        line = AlertLine(decision.control_point, decision.lane, decision.layer or "", alert.priority, why)
        self._listed.appendleft(_Listed(decision.decision_id, line))

    def reported(self, result: InspectionCompleted) -> None:
        """An officer reported back."""
        if result.outcome in (*_FINDS, "clear"):
            self._finds.append(result.outcome == "seizure")
        for listed in self._listed:
            if listed.decision_id == result.decision_id:
                was = listed.line
                listed.line = AlertLine(
                    was.control_point, was.lane, was.layer, was.priority, was.why, result.outcome
                )  # fmt: skip

    def snapshot(self, driver: Driver | None) -> DemoSnapshot:
        """The state of the demo now; `driver` is None before lodging begins."""
        now = time.monotonic()
        if driver is None:
            return DemoSnapshot(
                self.phase, now - self._began, self._duration_s,
                brokers=self._brokers, news=self.news, console=self.console,
            )  # fmt: skip
        ledger = driver.ledger
        lodged_per_s, decided_per_s = self._rates(now, driver.sent.items, ledger.decided_items)
        if now - self._history_at >= HISTORY_EVERY_S and self._finds:
            self._history_at = now
            self._history.append(sum(self._finds) / len(self._finds))
        arms, whole = ledger.arms(), ledger.whole()
        latency = quantiles(ledger.alert_latency)
        coverage = ledger.coverage() or (ledger.selected_items / ledger.decided_items if ledger.decided_items else 0.0)
        return DemoSnapshot(
            phase=self.phase,
            elapsed_s=now - self._began,
            duration_s=self._duration_s,
            simulated_now=driver.sent.simulated_now,
            brokers=self._brokers,
            lodged=driver.sent.items,
            decided=ledger.decided_items,
            dead_lettered=ledger.dead_items,
            lodged_per_s=lodged_per_s,
            decided_per_s=decided_per_s,
            in_flight=max(0, driver.sent.items - ledger.decided_items - ledger.dead_items),
            latency_p50_ms=latency["p50"],
            latency_p99_ms=latency["p99"],
            alerts=ledger.alerts,
            results=ledger.results,
            coverage=coverage,
            capacity_share=ledger.capacity_share,
            whole=LayerRate(whole.selected, whole.inspected, whole.seizures),
            layers={
                name: LayerRate(arms[name].selected, arms[name].inspected, arms[name].seizures)
                for name in LAYERS
                if name in arms
            },
            model_version=ledger.model_version,
            refusals=ledger.reasons + ledger.results_refused,
            last_alerts=[listed.line for listed in self._listed],
            seizure_history=self._history,
            news=self.news,
            console=self.console,
        )

    def _rates(self, now: float, lodged: int, decided: int) -> tuple[float, float]:
        counts = self._counts
        counts.append((now, lodged, decided))
        while len(counts) > 2 and now - counts[1][0] >= RATE_OVER_S:
            counts.popleft()
        then, lodged_then, decided_then = counts[0]
        span = now - then
        if span <= 0:
            return 0.0, 0.0
        return (lodged - lodged_then) / span, (decided - decided_then) / span
