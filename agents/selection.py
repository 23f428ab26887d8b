"""Selection, step 3 of the cycle: multilayered selectivity within the capacity of each control point.

Every item gets one decision. Its state for a partition (capacity accounts, bars, lanes, flows) is a fold of the
decisions that were published for that partition, and of nothing else: what decided and what is rebuilt are the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from math import isfinite
from typing import Any, Protocol

import msgspec

from agents import refusals
from agents.identity import record_id, unit_hash
from agents.marks import HighWater
from agents.risk import layers
from agents.risk.alerts import STEP, raise_alert
from agents.risk.control_point import ControlPointState
from agents.risk.flows import FlowTraffic
from agents.risk.learner import logistic
from agents.risk.policy import Policy
from agents.step import Arrival, Memory, Outcome, Output, Refusal
from schemas.decisions import Lane, Layer, Reason, SelectionDecided
from schemas.items import ItemFiltered
from schemas.marks import Upstream

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

REASONS = 5
"""The most reasons of the model that a decision carries beside those of its layers."""


class Appraisal(Protocol):
    """What the brain says of one item (agents/risk/brain.py). `learnt`: labels behind the model of its stream."""

    @property
    def log_odds(self) -> float: ...
    @property
    def probability(self) -> float | None: ...
    @property
    def features(self) -> dict[str, float]: ...
    @property
    def flows(self) -> tuple[str, ...]: ...
    @property
    def model_version(self) -> int: ...
    @property
    def learnt(self) -> int: ...


class Scorer(Protocol):
    """The part of the brain that selection needs."""

    def appraise(self, filtered: ItemFiltered) -> Any:
        """An `Appraisal`; it comes back in `explain`."""

    def explain(self, filtered: ItemFiltered, appraisal: Any, limit: int = 5) -> tuple[Reason, ...]:
        """At most `limit` reasons whose weights sum to the log-odds; asked for selected items only."""


class Restored:
    """What was decided already for an input that comes again: its alert and reports are sent again, nothing else."""

    __slots__ = ("decision", "reports")

    def __init__(self, decision: SelectionDecided, reports: list[msgspec.Struct] | None) -> None:
        self.decision = decision
        self.reports = reports


class SelectionState:
    """One partition of `filtered`: a fold of the same partition of `decisions`."""

    __slots__ = ("_policy", "control_points", "first_offset", "marks", "restored", "traffic")

    def __init__(self, policy: Policy, first_offset: int) -> None:
        self._policy = policy
        self.first_offset = first_offset
        self.control_points: dict[str, ControlPointState] = {}
        self.traffic = FlowTraffic()
        self.marks = HighWater()
        self.restored: dict[int, Restored] = {}

    def control_point(self, name: str) -> ControlPointState:
        """Its state, empty at first. Raises KeyError for one that the policy does not know."""
        held = self.control_points.get(name)
        if held is None:
            held = self.control_points[name] = ControlPointState(self._policy, name)
        return held

    def fold(self, decision: SelectionDecided) -> list[msgspec.Struct] | None:
        """Take in one decision, once. Returns the reports of a window that it closed."""
        if not self.marks.advance(decision.upstream):
            return None
        self.marks.advance(decision.screened)
        self.traffic.observe(decision)
        if decision.control_point not in self._policy.control_points:
            return None  # an office that a later policy closed: its past needs no controller
        at_ms = milliseconds(decision.lodged_at)
        return self.control_point(decision.control_point).fold(decision, at_ms)


class Selection:
    """Decides filtered items. `policy` and `brain` are shared by all partitions; the brain moves on between batches."""

    name = STEP
    inputs = ("filtered",)
    produces = ("decisions", "alerts", "monitoring")

    def __init__(self, policy: Policy, brain: Scorer) -> None:
        self._policy = policy
        self._brain = brain
        self._version = policy.policy_version
        self.memory = (Memory("decisions", policy.horizons.decisions, "end"),)

    def begin(self, partition: int, first_offset: int) -> SelectionState:
        """An empty state; the decisions on inputs from `first_offset` on will be kept, to send their alerts again."""
        return SelectionState(self._policy, first_offset)

    def remember(self, state: SelectionState, arrivals: Sequence[Arrival[SelectionDecided]]) -> None:
        """Fold published decisions."""
        for arrival in arrivals:
            decision = arrival.event
            fresh = not state.marks.is_redelivery(decision.upstream)
            reports = state.fold(decision)
            if fresh and decision.upstream.offset >= state.first_offset:
                state.restored[decision.upstream.offset] = Restored(decision, reports)

    def decide(self, state: SelectionState, arrivals: Sequence[Arrival[ItemFiltered]]) -> Outcome:
        """Decide a batch of one partition of `filtered`, in order."""
        outcome = Outcome()
        for arrival in arrivals:
            filtered = arrival.event
            upstream = Upstream(topic=arrival.topic, partition=arrival.partition, offset=arrival.offset)
            if state.restored:
                again = state.restored.pop(arrival.offset, None)
                if again is not None:
                    outcome.redelivered += 1
                    self._follow(outcome, again.decision, again.reports, filtered, arrival.partition)
                    continue
            if state.marks.is_redelivery(filtered.upstream):
                outcome.redelivered += 1
                continue
            item = filtered.item
            if not self._policy.admits(item.control_point, item.stream):
                outcome.refusals.append(_unknown_control_point(arrival))
                continue
            appraisal: Appraisal = self._brain.appraise(filtered)
            if not isfinite(appraisal.log_odds):
                outcome.refusals.append(_no_score(arrival))
                continue
            decision = self._decide(state, filtered, appraisal, upstream)
            outcome.outputs.append(
                Output(
                    "decisions",
                    decision.control_point,
                    decision,
                    decision.decision_id,
                    milliseconds(decision.lodged_at),
                    arrival.partition,
                )
            )
            reports = state.fold(decision)
            if decision.selected or reports:
                self._follow(outcome, decision, reports, filtered, arrival.partition)
        return outcome

    def entries(self, state: SelectionState) -> int:
        """Items in the windows of all control points, and flows."""
        return sum(len(held.account) for held in state.control_points.values()) + len(state.traffic)

    def _decide(
        self, state: SelectionState, filtered: ItemFiltered, appraisal: Appraisal, upstream: Upstream
    ) -> SelectionDecided:
        policy, item = self._policy, filtered.item
        held = state.control_point(item.control_point)
        account, shares = held.account, policy.layers
        ordered = layers.mandatory_hits(item.hits) if item.hits else []
        direct, boosts = [], []
        if filtered.criteria and not filtered.auto_cleared:
            direct = layers.effective(filtered.criteria, "direct")
            boosts = layers.effective(filtered.criteria, "boost")
        score = logistic(appraisal.log_odds + sum([hit.weight for hit in boosts]))

        spoken: list[Layer] = []
        layer: Layer | None = None
        surge, ratio = 0.0, 0.0
        threshold, surge_threshold = account.score_bar(), 0.0
        if ordered:
            spoken.append("mandatory")
            layer = "mandatory"
        if direct:
            spoken.append("criteria")
            layer = layer or "criteria"
        if not filtered.auto_cleared:
            if score >= threshold:
                spoken.append("model")
                if layer is None and account.affords():
                    layer = "model"
            if _on_record(filtered) and _is_offender(filtered, policy):
                spoken.append("profile")
                if layer is None and account.within_quota("profile", shares.profile, 1.0) and account.affords(1.0):
                    layer = "profile"
            if layers.is_unusual(filtered, policy.anomaly):
                spoken.append("anomaly")
                if layer is None and account.within_quota("anomaly", shares.anomaly) and account.affords(1.0):
                    layer = "anomaly"
            ratio = state.traffic.surge(appraisal.flows, item.lodged_at)
            if ratio >= policy.surge.at_least:
                surge = ratio * score**policy.surge.score_power / (1 + held.surge_picks.spent_on(appraisal.flows))
                surge_threshold = account.surge_bar(shares.surge)
                if surge >= surge_threshold:
                    spoken.append("surge")
                    if layer is None and account.within_quota("surge", shares.surge) and account.affords(1.0):
                        layer = "surge"
        rate = held.exploration_rate(appraisal.learnt)
        propensity = 1.0
        if unit_hash(policy.draws, item.item_id) < rate:
            spoken.append("exploration")
            if layer is None:
                layer = "exploration"
                propensity = rate
        elif layer is None:
            propensity = 1.0 - rate

        lane: Lane = "green"
        reasons: tuple[Reason, ...] = ()
        if layer is not None:
            lane = "red" if "profile" in spoken else self._lane(held, layer, direct, score, filtered)
            said = self._reasons(spoken, filtered, ordered, direct, ratio, rate)
            said.extend([layers.criterion_reason(hit) for hit in boosts])
            reasons = (*said, *self._brain.explain(filtered, appraisal, REASONS))
        origin = item.origin
        return SelectionDecided(
            decision_id=record_id("d", STEP, origin.topic, origin.partition, origin.offset, origin.index),
            item_id=item.item_id,
            revision=item.revision,
            stream=item.stream,
            control_point=item.control_point,
            subject=item.subject,
            lodged_at=item.lodged_at,
            due_at=item.due_at,
            lane=lane,
            selected=layer is not None,
            layer=layer,
            layers=tuple(spoken),
            score=score,
            probability=appraisal.probability if not boosts else None,
            surge=surge,
            threshold=threshold,
            surge_threshold=surge_threshold,
            propensity=propensity,
            exploration_rate=rate,
            balance=account.after(layer is not None),
            flows=appraisal.flows,
            features=appraisal.features if layer is not None else {},
            criteria=tuple([hit.criterion_id for hit in (*direct, *boosts)]),
            reasons=reasons,
            auto_cleared=filtered.auto_cleared,
            model_version=appraisal.model_version,
            profile_version=item.profile_version,
            criteria_version=filtered.criteria_version,
            risk_information_version=item.risk_information_version,
            policy_version=self._version,
            origin=origin,
            upstream=upstream,
            screened=filtered.upstream,
        )

    def _lane(
        self, held: ControlPointState, layer: Layer, direct: list[Any], score: float, filtered: ItemFiltered
    ) -> Lane:
        if layer == "mandatory":
            return "red"
        if layer == "criteria":
            return layers.direct_lane(direct)
        if layer == "exploration":
            return self._policy.lanes.exploration
        book = held.lanes_of(filtered.item.stream)
        return book.assign(book.position(layer, score))

    def _reasons(
        self,
        spoken: list[Layer],
        filtered: ItemFiltered,
        ordered: list[Any],
        direct: list[Any],
        ratio: float,
        rate: float,
    ) -> list[Reason]:
        said: list[Reason] = []
        for layer in spoken:
            if layer == "mandatory":
                said.extend([layers.mandatory_reason(hit) for hit in ordered])
            elif layer == "criteria":
                said.extend([layers.criterion_reason(hit) for hit in direct])
            elif layer == "profile":
                said.append(layers.profile_reason(filtered, self._policy.profile))
            elif layer == "anomaly":
                said.append(layers.anomaly_reason(filtered))
            elif layer == "surge":
                said.append(layers.surge_reason(ratio))
            elif layer == "exploration":
                said.append(layers.exploration_reason(rate))
        return said

    def _follow(
        self,
        outcome: Outcome,
        decision: SelectionDecided,
        reports: list[msgspec.Struct] | None,
        filtered: ItemFiltered,
        partition: int,
    ) -> None:
        """What follows from a decision, first and every later time: its alert, and the reports of a closed window."""
        at_ms = milliseconds(decision.lodged_at)
        if decision.selected:
            alert = raise_alert(decision, filtered, self._policy.deadlines)
            outcome.outputs.append(Output("alerts", decision.control_point, alert, alert.alert_id, at_ms, partition))
        origin = decision.origin
        for report in reports or ():
            kind = type(report).__name__
            ce_id = record_id("m", STEP, origin.topic, origin.partition, origin.offset, origin.index, kind)
            outcome.outputs.append(Output("monitoring", kind, report, ce_id, at_ms))


def milliseconds(at: datetime) -> int:
    """Milliseconds since the epoch, rounded down."""
    return int((at - EPOCH).total_seconds() * 1000.0)


def _on_record(filtered: ItemFiltered) -> bool:
    other = filtered.item.counterpart_prior
    return filtered.item.prior.seizures > 0 or (other is not None and other.seizures > 0)


def _is_offender(filtered: ItemFiltered, policy: Policy) -> bool:
    item = filtered.item
    return layers.is_repeat_offender(item.prior, policy.profile, item.lodged_at) or layers.is_repeat_offender(
        item.counterpart_prior, policy.profile, item.lodged_at
    )


def _unknown_control_point(arrival: Arrival[ItemFiltered]) -> Refusal:
    item = arrival.event.item
    return Refusal(
        offset=arrival.offset,
        reason=refusals.UNKNOWN_CONTROL_POINT,
        field="item.control_point",
        detail=f"no control point of the policy takes {item.stream} under this name",
        item_id=item.item_id,
    )


def _no_score(arrival: Arrival[ItemFiltered]) -> Refusal:
    item = arrival.event.item
    return Refusal(
        offset=arrival.offset,
        reason=refusals.NO_SCORE,
        field="",
        detail=f"the model of {item.stream} gave no finite score",
        item_id=item.item_id,
    )
