"""Simulated border control centres: they take alerts, inspect after a while, miss some of what is there, and report.

Pure: alerts in, results out by event time. All chance is drawn from the decision's id, so a result does not depend
on the order in which alerts arrive, and a redelivered alert leads to the same result.
"""

from __future__ import annotations

import heapq
from datetime import datetime, timedelta
from hashlib import blake2b

import msgspec

from load.truth import Fate, Truth
from schemas.decisions import AlertRaised, Lane
from schemas.inspections import InspectionCompleted, Method
from schemas.items import Stream

_METHODS: dict[tuple[bool, Lane], tuple[Method, ...]] = {
    (False, "red"): ("physical", "physical", "x-ray", "canine", "laboratory"),
    (False, "yellow"): ("documents", "documents", "x-ray"),
    (False, "blue"): ("documents",),
    (False, "green"): ("documents",),
    (True, "red"): ("search", "search", "x-ray", "canine"),
    (True, "yellow"): ("interview", "documents"),
    (True, "blue"): ("documents",),
    (True, "green"): ("interview",),
}
_SEIZED = 2
"""From this severity on a find is a seizure, below an irregularity."""
_REMEMBERED = 500_000
"""How many alerts an inspector recognises when they are delivered again."""


class Inspector:
    """All inspectors of the border. `miss_rate` of what is there is not found; results take `delay` (least, most).

    With `dirt`, that share of results is odd: very late, reported twice under two ids, not inspected, or passed on to
    another control point.
    """

    def __init__(
        self,
        truth: Truth,
        seed: int,
        miss_rate: float = 0.1,
        delay: tuple[timedelta, timedelta] = (timedelta(days=1), timedelta(days=3)),
        dirt: float = 0.0,
    ) -> None:
        self._truth = truth
        self._seed = seed
        self._miss_rate = miss_rate
        self._delay = delay
        self._dirt = dirt
        self._seen: dict[str, None] = {}
        self._waiting: list[tuple[datetime, str, InspectionCompleted]] = []
        self.redelivered = 0

    @property
    def waiting(self) -> int:
        """Results that are not due yet."""
        return len(self._waiting)

    def take(self, alert: AlertRaised, ce_id: str) -> bool:
        """Take an alert to inspect; False for one that was taken before (by its `ce_id`)."""
        if ce_id in self._seen:
            self.redelivered += 1
            return False
        self._seen[ce_id] = None
        if len(self._seen) > _REMEMBERED:
            del self._seen[next(iter(self._seen))]
        for result in self.inspect(alert):
            heapq.heappush(self._waiting, (result.inspected_at, result.result_id, result))
        return True

    def due(self, now: datetime) -> list[InspectionCompleted]:
        """Results up to `now` (event time), in order of time. Each is handed out once."""
        ready: list[InspectionCompleted] = []
        while self._waiting and self._waiting[0][0] <= now:
            ready.append(heapq.heappop(self._waiting)[2])
        return ready

    def inspect(self, alert: AlertRaised) -> tuple[InspectionCompleted, ...]:
        """What is reported on one alert: one result, or two when an officer reports twice."""
        decision = alert.decision
        methods = _METHODS[decision.stream == "passengers", decision.lane]
        method = methods[int(self._draw(decision.decision_id, "method") * len(methods))]
        least, most = self._delay
        inspected_at = alert.raised_at + least + (most - least) * self._draw(decision.decision_id, "delay")
        result = InspectionCompleted(
            result_id=_result_id(decision.decision_id, 0),
            decision_id=decision.decision_id,
            control_point=decision.control_point,
            inspected_at=inspected_at,
            method=method,
            outcome="clear",
            officer=f"OF{int(self._draw(decision.decision_id, 'officer') * 400):03d}",
        )
        odd = self._draw(decision.decision_id, "odd")
        if odd < self._dirt / 4 or not self._truth.knows(decision.item_id):
            return (_replace(result, method="none", outcome="not-inspected", reason="released-before"),)
        if odd < self._dirt / 2:
            other = "KRICN-EXP" if decision.control_point != "KRICN-EXP" else "KRPUS-SEA"
            return (_replace(result, method="none", outcome="passed-on", passed_to=other),)
        fate = self._truth.of_item(decision.item_id)
        if fate.illicit and self._draw(decision.decision_id, "miss") >= self._miss_rate:
            result = _found(result, fate, decision.stream)
        if odd < self._dirt * 3 / 4:
            return (_replace(result, inspected_at=inspected_at + 5 * most),)
        if odd < self._dirt:
            return result, _replace(
                result, result_id=_result_id(decision.decision_id, 1), inspected_at=inspected_at + timedelta(hours=1)
            )
        return (result,)

    def would_seize(self, decision_id: str, item_id: str) -> bool:
        """Whether an inspection on this decision would end in a seizure: for benchmarks that hold estimates to it."""
        fate = self._truth.of_item(item_id)
        return fate.illicit and fate.severity >= _SEIZED and self._draw(decision_id, "miss") >= self._miss_rate

    def _draw(self, decision_id: str, what: str) -> float:
        digest = blake2b(f"{self._seed}|{what}|{decision_id}".encode(), digest_size=8).digest()
        return int.from_bytes(digest, "big") / 2**64


def _found(result: InspectionCompleted, fate: Fate, stream: Stream) -> InspectionCompleted:
    """A find: a seizure from severity 2 on, an irregularity below."""
    return _replace(
        result,
        outcome="seizure" if fate.severity >= _SEIZED else "irregularity",
        categories=(fate.category,) if fate.category else (),
        severity=fate.severity,
        quantity=1.0,
        quantity_unit="C62" if stream == "passengers" else "PK",
    )


def _result_id(decision_id: str, again: int) -> str:
    return f"r-{blake2b(f'{decision_id}|{again}'.encode(), digest_size=16).hexdigest()}"


def _replace(result: InspectionCompleted, **changes: object) -> InspectionCompleted:
    return msgspec.structs.replace(result, **changes)
