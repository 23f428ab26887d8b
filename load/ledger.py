"""The account of a run: what became of every item that was lodged, from the topics alone.

An item is known by where it was lodged: topic, partition, offset and its index in that record. Its decision carries
that origin; its dead letter names it. Every lodged item must end as exactly one of the two, and one that is selected
must have exactly one alert, no other has one. A record that cannot be read is one item. Records that come twice with
one `ce_id` are redeliveries and count once (the first one); a decision must say the same then.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, get_args

from hdrh.histogram import HdrHistogram  # type: ignore[import-untyped]  # the package ships no types

from load.seen import AlertSeen, DeadLetterSeen, DecisionSeen, ResultSeen
from schemas.decisions import Lane, Layer
from schemas.inspections import InspectionOutcome

_STRIDE = 1 << 15
_WHOLE = _STRIDE - 1
_INSPECTED = ("clear", "irregularity", "seizure")
_LONGEST_MS = 3_600_000
_LANES = get_args(Lane)
_WORDS = 2 * len(_LANES)
"""What a decision may say of its item: one of the lanes, and whether it is selected."""
_EXPLORATION: Layer = "exploration"


@dataclass(frozen=True, slots=True)
class Item:
    """Where one item was lodged."""

    topic: str
    partition: int
    offset: int
    index: int


@dataclass(frozen=True, slots=True)
class Arm:
    """What one layer selected, how much of that was inspected, and what was found."""

    selected: int = 0
    inspected: int = 0
    hits: int = 0
    seizures: int = 0

    @property
    def seizure_rate(self) -> float:
        """Seizures / inspected; 0 before the first inspection."""
        return self.seizures / self.inspected if self.inspected else 0.0

    @property
    def hit_rate(self) -> float:
        """Seizures and irregularities / inspected; 0 before the first inspection."""
        return self.hits / self.inspected if self.inspected else 0.0


class _Partition:
    """One lodgement partition: items by offset, and decisions and dead letters by offset * stride + index.

    `chosen` holds the decision ids of selected items, `alerted` where the items of alerts are, by decision id.
    """

    __slots__ = ("alerted", "chosen", "dead", "decided", "lodged")

    def __init__(self) -> None:
        self.alerted: dict[str, int] = {}
        self.lodged: dict[int, int] = {}
        self.decided: dict[int, int] = {}
        self.chosen: dict[int, str] = {}
        self.dead: dict[int, str] = {}


class Ledger:
    """Fed with what is lodged and with what is seen on the topics, in any order.

    `capacity_share` is the policy's, to be held against coverage. Coverage is counted over items lodged (event time)
    from `warm_up_until` on, when that is given; seizure rates are those of the whole run, and of the same items.
    Times are wall milliseconds; latencies are those of first sightings.
    """

    def __init__(self, capacity_share: float = 0.02, warm_up_until: datetime | None = None) -> None:
        self.capacity_share = capacity_share
        self.warm_up_until = warm_up_until
        self._partitions: dict[tuple[str, int], _Partition] = {}
        self._alerts: dict[str, tuple[Layer | None, tuple[Layer, ...], bool]] = {}  # the last: after the warm-up
        self._alert_marks: dict[str, int] = {}
        self._results: dict[str, tuple[str, InspectionOutcome]] = {}
        self._result_ids: set[str] = set()
        self._covered: Counter[str] = Counter()
        self._selected: Counter[str] = Counter()
        self._first_ms: float | None = None
        self._last_ms = 0.0
        self.lodged_items = 0
        self.decided_items = 0
        self.dead_items = 0
        self.selected_items = 0
        self.redelivered = 0
        self.repeated_decisions = 0
        self.doubled = 0
        self.contradicted = 0
        self.doubled_alerts = 0
        self.unreadable = 0
        """Records that the account could not read, so that it cannot say of what they are."""
        self.model_version = -1
        self.reasons: Counter[str] = Counter()
        self.results_refused: Counter[str] = Counter()
        self.lanes: Counter[str] = Counter()
        self.decision_latency = HdrHistogram(1, _LONGEST_MS, 3)
        self.alert_latency = HdrHistogram(1, _LONGEST_MS, 3)

    def lodged(self, topic: str, partition: int, offset: int, items: int = 1) -> None:
        """A lodgement record stands at this offset (an acknowledged send, or seen on the topic). Known ones pass."""
        held = self._partition(topic, partition)
        if offset not in held.lodged:
            held.lodged[offset] = items
            self.lodged_items += items
            if offset * _STRIDE + _WHOLE in held.dead:  # it counted as one so far
                self.dead_items += items - 1

    def saw_decision(self, decision: DecisionSeen, ce_id: str, wall_ms: float) -> bool:
        """A decision was read; False when it is not the first on its item."""
        origin = decision.origin
        decided = self._partition(origin.topic, origin.partition).decided
        slot = origin.offset * _STRIDE + origin.index
        mark = _fingerprint(ce_id) * _WORDS + _LANES.index(decision.lane) * 2 + decision.selected
        known = decided.get(slot)
        if known is not None:
            self.repeated_decisions += 1
            if known // _WORDS == mark // _WORDS:
                self.redelivered += 1
                self.contradicted += known != mark
            else:
                self.doubled += 1
            return False
        decided[slot] = mark
        self.decided_items += 1
        self.lanes[decision.lane] += 1
        if decision.selected:
            self.selected_items += 1
            self._partition(origin.topic, origin.partition).chosen[slot] = decision.decision_id
        if self._is_warm(decision.lodged_at):
            self._covered[decision.control_point] += 1
            self._selected[decision.control_point] += decision.selected
        if decision.model_version > self.model_version:
            self.model_version = decision.model_version
        self._first_ms = wall_ms if self._first_ms is None else min(self._first_ms, wall_ms)
        self._last_ms = max(self._last_ms, wall_ms)
        self.decision_latency.record_value(_bounded(wall_ms - origin.sent_ms))
        return True

    def saw_alert(self, alert: AlertSeen, wall_ms: float, ce_id: str = "") -> bool:
        """An alert was read; False for one on a decision whose alert was seen before."""
        decision, mark = alert.decision, _fingerprint(ce_id)
        if self._alert_marks.setdefault(decision.decision_id, mark) != mark:
            self.doubled_alerts += 1
            return False
        if decision.decision_id in self._alerts:
            self.redelivered += 1
            return False
        origin = decision.origin
        alerted = self._partition(origin.topic, origin.partition).alerted
        alerted[decision.decision_id] = origin.offset * _STRIDE + origin.index
        self._alerts[decision.decision_id] = (decision.layer, decision.layers, self._is_warm(decision.lodged_at))
        self.alert_latency.record_value(_bounded(wall_ms - origin.sent_ms))
        return True

    def saw_result(self, result: ResultSeen) -> bool:
        """A result was read. The first one of a decision counts, and one that corrects it; False for others."""
        if result.result_id in self._result_ids:
            self.redelivered += 1
            return False
        self._result_ids.add(result.result_id)
        known = self._results.get(result.decision_id)
        if known is not None and result.corrects != known[0]:
            return False
        self._results[result.decision_id] = (result.result_id, result.outcome)
        return True

    def saw_dead_letter(self, letter: DeadLetterSeen) -> bool:
        """A dead letter was read; False for one on the same item as another. Those of results are counted apart."""
        if letter.topic == "inspection-results":
            self.results_refused[letter.reason] += 1
            return True
        held = self._partition(letter.topic, letter.partition)
        index = _WHOLE if letter.index is None else letter.index
        slot = letter.offset * _STRIDE + index
        if slot in held.dead:
            self.redelivered += 1
            return False
        held.dead[slot] = letter.reason
        self.reasons[letter.reason] += 1
        self.dead_items += held.lodged.get(letter.offset, 1) if letter.index is None else 1
        return True

    @property
    def in_flight(self) -> int:
        """Items lodged and not settled, as far as counting goes; `missing` finds out which."""
        return max(0, self.lodged_items - self.decided_items - self.dead_items)

    @property
    def settled(self) -> bool:
        """Whether each lodged item has a decision or a dead letter, and no alert is awaited.

        Counting alone would be satisfied too early where others lodge as well: theirs are counted among the decided.
        """
        if self.in_flight or self.alerts < self.selected_items:
            return False
        return next(self.missing(), None) is None

    @property
    def alerts(self) -> int:
        """Distinct alerts."""
        return len(self._alerts)

    @property
    def results(self) -> int:
        """Decisions with a result."""
        return len(self._results)

    def missing(self) -> Iterator[Item]:
        """The lodged items that have neither a decision nor a dead letter."""
        for (topic, number), held in sorted(self._partitions.items()):
            for offset, items in held.lodged.items():
                first = offset * _STRIDE
                if first + _WHOLE in held.dead:
                    continue
                for index in range(items):
                    if first + index not in held.decided and first + index not in held.dead:
                        yield Item(topic, number, offset, index)

    def arms(self, *, warm: bool = False) -> dict[str, Arm]:
        """Selections, inspections and finds by the layer that selected; `warm`: of items after the warm-up only.

        `exploration` is the whole audit sample: the items that its draw chose, whichever layer came first, so that
        its rates are those of a uniform sample.
        """
        counts: dict[str, list[int]] = {}
        for decision_id, (layer, layers, is_warm) in self._alerts.items():
            if warm and not is_warm:
                continue
            known = self._results.get(decision_id)
            outcome = known[1] if known else None
            chosen = {layer or "none"}
            if _EXPLORATION in layers:
                chosen.add(_EXPLORATION)
            for name in sorted(chosen):
                count = counts.setdefault(name, [0, 0, 0, 0])
                count[0] += 1
                if outcome in _INSPECTED:
                    count[1] += 1
                    count[2] += outcome != "clear"
                    count[3] += outcome == "seizure"
        return {name: Arm(*counts[name]) for name in sorted(counts)}

    def whole(self) -> Arm:
        """All layers together, each item once: those of `arms` overlap where the draw chose what another layer did."""
        outcomes = [self._results[one][1] for one in self._alerts if one in self._results]
        inspected = [outcome for outcome in outcomes if outcome in _INSPECTED]
        clear, seizures = inspected.count("clear"), inspected.count("seizure")
        return Arm(len(self._alerts), len(inspected), len(inspected) - clear, seizures)

    def coverage(self) -> float:
        """Selected / decided after the warm-up, over all control points."""
        covered = sum(self._covered.values())
        return sum(self._selected.values()) / covered if covered else 0.0

    def items_per_second(self) -> float:
        """Decisions per wall second between the first and the last one seen."""
        if self._first_ms is None or self._last_ms <= self._first_ms:
            return 0.0
        return self.decided_items / (self._last_ms - self._first_ms) * 1000

    def summary(self) -> dict[str, Any]:
        """The whole account as plain values; exact, so it takes a second per million items."""
        decided = dead = missing = both = strays = unalerted = unfounded = 0
        for held in self._partitions.values():
            settled = 0
            for offset, items in held.lodged.items():
                first = offset * _STRIDE
                whole = first + _WHOLE in held.dead
                settled += whole
                for slot in range(first, first + items):
                    has, refused = slot in held.decided, slot in held.dead
                    settled += has + refused
                    decided += has
                    dead += (whole or refused) and not has
                    both += has and (whole or refused)
                    missing += not (has or whole or refused)
                    unalerted += slot in held.chosen and held.chosen[slot] not in self._alerts
            strays += len(held.decided) + len(held.dead) - settled
            for decision_id, slot in held.alerted.items():
                if held.chosen.get(slot) != decision_id:
                    known = slot in held.decided or slot // _STRIDE in held.lodged
                    unfounded += known
                    strays += not known
        arms, later = self.arms(), self.arms(warm=True)
        return {
            "lodged": self.lodged_items,
            "decided": decided,
            "dead_lettered": dead,
            "missing": missing,
            "doubled": self.doubled + both,
            "contradicted": self.contradicted,
            "doubled_raw": self.repeated_decisions,
            "redelivered": self.redelivered,
            "strays": strays,
            "unreadable": self.unreadable,
            "alerts": self.alerts,
            "alerts_missing": unalerted,
            "alerts_doubled": self.doubled_alerts,
            "alerts_unfounded": unfounded,
            "inspected": self.whole().inspected,
            "coverage": self.coverage(),
            "capacity_share": self.capacity_share,
            "coverage_by_control_point": {
                point: self._selected[point] / count for point, count in sorted(self._covered.items())
            },
            "seizure_rate": {name: arm.seizure_rate for name, arm in arms.items()},
            "hit_rate": {name: arm.hit_rate for name, arm in arms.items()},
            "seizure_rate_after_warm_up": {name: arm.seizure_rate for name, arm in later.items()},
            "inspected_after_warm_up": {name: arm.inspected for name, arm in later.items()},
            "selected_by_layer": {name: arm.selected for name, arm in arms.items()},
            "inspected_by_layer": {name: arm.inspected for name, arm in arms.items()},
            "model_version": self.model_version,
            "items_per_second": self.items_per_second(),
            "latency_ms": quantiles(self.alert_latency),
            "decision_latency_ms": quantiles(self.decision_latency),
            "dead_letters_by_reason": dict(sorted(self.reasons.items())),
            "results_refused_by_reason": dict(sorted(self.results_refused.items())),
            "lanes": dict(sorted(self.lanes.items())),
        }

    def _is_warm(self, lodged_at: datetime) -> bool:
        return self.warm_up_until is None or lodged_at >= self.warm_up_until

    def _partition(self, topic: str, partition: int) -> _Partition:
        held = self._partitions.get((topic, partition))
        if held is None:
            held = self._partitions[topic, partition] = _Partition()
        return held


def selection_faults(summary: Mapping[str, Any]) -> list[str]:
    """What is wrong with the records of an account that should say one thing each, in sentences."""
    said = []
    if summary["contradicted"]:
        said.append(f"{summary['contradicted']:,} decisions came again under their id and said something else")
    if summary["alerts_missing"]:
        said.append(f"{summary['alerts_missing']:,} selected items have no alert")
    if summary["alerts_doubled"]:
        said.append(f"{summary['alerts_doubled']:,} alerts are a second one on their decision")
    if summary["alerts_unfounded"]:
        said.append(f"{summary['alerts_unfounded']:,} alerts are on items that no decision selected")
    if summary["unreadable"]:
        said.append(f"{summary['unreadable']:,} decisions, alerts, results or dead letters could not be read")
    return said


def quantiles(histogram: HdrHistogram) -> dict[str, float | None]:
    """p50, p99, p99.9 and the largest value of a latency histogram in milliseconds; None when it is empty."""
    if not histogram.get_total_count():
        return {"p50": None, "p99": None, "p999": None, "max": None}
    return {
        "p50": float(histogram.get_value_at_percentile(50)),
        "p99": float(histogram.get_value_at_percentile(99)),
        "p999": float(histogram.get_value_at_percentile(99.9)),
        "max": float(histogram.get_max_value()),
    }


def _bounded(milliseconds: float) -> int:
    return min(_LONGEST_MS, max(1, round(milliseconds)))


def _fingerprint(ce_id: str) -> int:
    """The last 64 bits of an id that ends in a hash in hex; another id is folded by its bytes."""
    try:
        return int(ce_id[-16:], 16)
    except ValueError:
        return int.from_bytes(ce_id.encode()[:16], "big")
