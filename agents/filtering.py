"""Step 2, filtering: what the subject did lately, which criteria fire, how unusual it is; plainly low risk clears.

State is a fold of one partition of `screened` over the policy's horizon and a day. Everything that arrives is folded
the same way, whether it is decided, refused as a duplicate or only remembered, so that a state rebuilt from the horizon
decides like one that never stopped. Deliveries that come again are dropped by their upstream mark.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from agents import refusals
from agents.identity import record_id, unit_hash
from agents.marks import HighWater
from agents.risk.anomaly import Anomaly
from agents.risk.criteria import CriteriaBook
from agents.risk.indicators import indicators, just_below
from agents.risk.policy import Policy
from agents.risk.quotas import DAY, Quotas, Spent
from agents.risk.windows import SubjectWindows
from agents.step import Arrival, Memory, Outcome, Output, Refusal
from schemas.items import CriterionHit, ItemFiltered, ItemScreened
from schemas.knowledge import CriterionPublished
from schemas.marks import Upstream
from schemas.monitoring import CriterionSuppressed


class FilteringState:
    """What filtering remembers of one partition."""

    __slots__ = ("anomaly", "marks", "quotas", "windows")

    def __init__(self, horizon_ms: int, partition: int) -> None:
        self.marks = HighWater()
        self.windows = SubjectWindows(horizon_ms)
        self.anomaly = Anomaly(horizon_ms)
        self.quotas = Quotas(partition)


class Filtering:
    """Filters screened items into `ItemFiltered`, keyed by control point."""

    name = "filtering"
    inputs = ("screened",)
    produces = ("filtered", "monitoring")

    def __init__(self, policy: Policy, criteria: CriteriaBook) -> None:
        self._policy = policy
        self._criteria = criteria
        self._horizon_ms = policy.horizons.filtering // timedelta(milliseconds=1)
        # The day's hits count towards caps, and each of them fired on what its own horizon held.
        self.memory = (Memory("screened", policy.horizons.filtering + DAY, "batch"),)

    def begin(self, partition: int, first_offset: int) -> FilteringState:
        """Nothing seen yet."""
        return FilteringState(self._horizon_ms, partition)

    def entries(self, state: FilteringState) -> int:
        """Subjects, items and counts that the state holds."""
        return len(state.windows) + state.anomaly.entries() + len(state.quotas)

    def remember(self, state: FilteringState, arrivals: Sequence[Arrival[Any]]) -> None:
        """Fold a batch as `decide` did when it came, by the criteria that stood then, without saying anything."""
        unsaid = Outcome()
        for arrival in arrivals:
            self._fold(state, arrival, unsaid, arrival.sent_ms)

    def decide(self, state: FilteringState, arrivals: Sequence[Arrival[Any]]) -> Outcome:
        """Filter a batch of screened items."""
        outcome = Outcome()
        for arrival in arrivals:
            self._fold(state, arrival, outcome)
        return outcome

    def _fold(
        self, state: FilteringState, arrival: Arrival[Any], outcome: Outcome, as_of_ms: int | None = None
    ) -> None:
        item: ItemScreened = arrival.event
        if not state.marks.advance(item.upstream):
            outcome.redelivered += 1
            return
        at_ms = arrival.timestamp_ms
        windows = state.windows
        windows.advance(at_ms)
        highest = windows.highest_revision(item.item_id)
        cargo = item.cargo
        cents, shipper, below = 0, "", False
        if cargo is not None:
            value = cargo.goods.value_usd
            cents, shipper, below = int(value * 100.0 + 0.5), cargo.shipper, just_below(value, self._policy)
        place = item.control_point
        seen = windows.observe(item.subject, item.item_id, item.revision, at_ms, cents, shipper, place, below)
        state.anomaly.advance(windows.watermark_ms)
        anomaly = state.anomaly.score(item, at_ms)
        if highest is not None and item.revision <= highest:
            outcome.refusals.append(_seen_before(arrival.offset, item, highest))
            return
        state.quotas.count(place, windows.watermark_ms)
        fired = self._criteria.evaluate(item, seen, anomaly, at_ms, as_of_ms)
        hits = self._ranked(state, arrival, fired, anomaly, outcome) if fired else ()
        filtered = ItemFiltered(
            item=item,
            monitored=seen,
            indicators=indicators(item, seen),
            criteria=hits,
            anomaly=anomaly,
            auto_cleared=self._is_cleared(item, hits, anomaly) if hits else self._is_plainly_low_risk(item, anomaly),
            criteria_version=self._criteria.version,
            upstream=Upstream(topic=arrival.topic, partition=arrival.partition, offset=arrival.offset),
        )
        origin = item.origin
        ce_id = record_id("f", self.name, origin.topic, origin.partition, origin.offset, origin.index)
        outcome.outputs.append(Output("filtered", place, filtered, ce_id, at_ms))

    def _ranked(
        self,
        state: FilteringState,
        arrival: Arrival[Any],
        fired: list[CriterionPublished],
        anomaly: float,
        outcome: Outcome,
    ) -> tuple[CriterionHit, ...]:
        """The hits of an item; those over their criterion's cap are marked, and reported now and then."""
        item: ItemScreened = arrival.event
        against = hit_strength(item, anomaly)
        hits = []
        for criterion in fired:
            cap = min(criterion.cap, self._policy.criterion_cap)
            relieves = criterion.action == "whitelist" or (criterion.action == "boost" and criterion.weight < 0.0)
            strength = 1.0 - against if relieves else against
            over = state.quotas.spend(criterion.criterion_id, criterion.version, item.control_point, cap, strength)
            if over is not None and over.is_round():
                outcome.outputs.append(self._suppressed(arrival, criterion, over, cap))
            hits.append(
                CriterionHit(
                    criterion_id=criterion.criterion_id,
                    version=criterion.version,
                    title=criterion.title,
                    action=criterion.action,
                    weight=criterion.weight,
                    category=criterion.category,
                    lane=criterion.lane,
                    capped=over is not None,
                )
            )
        return tuple(hits)

    def _suppressed(self, arrival: Arrival[Any], criterion: CriterionPublished, over: Spent, cap: float) -> Output:
        item: ItemScreened = arrival.event
        event = CriterionSuppressed(
            criterion_id=criterion.criterion_id,
            version=criterion.version,
            control_point=item.control_point,
            at=item.lodged_at,
            hits=over.hits,
            capped=over.capped,
            cap=cap,
        )
        origin = item.origin
        ce_id = record_id(
            "m", self.name, origin.topic, origin.partition, origin.offset, origin.index, criterion.criterion_id
        )
        return Output("monitoring", "CriterionSuppressed", event, ce_id, arrival.timestamp_ms, partition=0)

    def _is_cleared(self, item: ItemScreened, hits: tuple[CriterionHit, ...], anomaly: float) -> bool:
        """Whether an item with criteria hits is cleared: by a whitelist, unless a mandatory hit or a direct criterion
        speaks. What is over its cap is without effect; where all is, the item is judged as if nothing had fired.
        """
        acting = [hit.action for hit in hits if not hit.capped]
        if not acting:
            return self._is_plainly_low_risk(item, anomaly)
        return "whitelist" in acting and "direct" not in acting and not _is_named(item)

    def _is_plainly_low_risk(self, item: ItemScreened, anomaly: float) -> bool:
        """Whether an item on which no criterion acts may be cleared: nothing speaks against it, and something for it.

        For it speaks that its consignee is a trusted trader, or has a clean record and declares a low value.
        """
        rule, prior, other = self._policy.auto_clear, item.prior, item.counterpart_prior
        if item.quality or anomaly >= rule.anomaly_below or prior.seizures or prior.irregularities:
            return False
        if other is not None and (other.seizures or other.irregularities):
            return False
        if _is_named(item):
            return False
        if item.trusted:
            return rule.trusted_traders
        if item.cargo is None or prior.inspections < rule.clean_inspections:
            return False
        return item.cargo.goods.value_usd <= rule.value_usd


def hit_strength(item: ItemScreened, anomaly: float) -> float:
    """How much else speaks for an item that a criterion names, in [0, 1]: which hits a cap leaves to act.

    What is known counts most, then what is unusual; the rest is drawn by hash and tells apart what is otherwise equal.
    For a criterion that relieves an item, the complement of it is what counts.
    """
    known = 0.4 * (item.prior.seizures > 0) + 0.2 * _is_named(item)
    return known + 0.3 * anomaly + 0.1 * unit_hash("strength", item.item_id)


def _is_named(item: ItemScreened) -> bool:
    """Whether the watchlist or intelligence names the item: a trusted-trader entry does not count."""
    return item.hits != () and any(hit.kind != "trusted-trader" for hit in item.hits)


def _seen_before(offset: int, item: ItemScreened, highest: int) -> Refusal:
    if item.revision == highest:
        reason, detail = refusals.DUPLICATE_LODGEMENT, "this revision of the item was lodged before"
    else:
        reason, detail = refusals.SUPERSEDED_REVISION, f"revision {item.revision}; revision {highest} came before"
    return Refusal(offset, reason, "revision", detail, item.upstream.index, item.item_id)
