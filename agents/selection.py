"""Selection, step 3 of the cycle: multilayered selectivity within the capacity of each control point.

Every item gets one decision. Its state for a partition (capacity accounts, bars, lanes, flows) is a fold of the
decisions that were published for that partition, and of nothing else: what decided and what is rebuilt are the same.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from agents import refusals
from agents.epoch import epoch_ms
from agents.identity import record_id
from agents.marks import HighWater
from agents.risk.alerts import STEP, raise_alert
from agents.risk.control_point import ControlPointState
from agents.risk.flows import FlowTraffic
from agents.risk.policy import Policy
from agents.risk.selectivity import Scorer, Selectivity
from agents.risk.unscored import Scores
from agents.step import Arrival, Memory, Outcome, Output, Refusal
from schemas.decisions import SelectionDecided
from schemas.items import ItemFiltered
from schemas.marks import Upstream


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

    def control_point_at(self, name: str, at_ms: int) -> ControlPointState:
        """The same as an item of this event time finds it: what is too old by then is forgotten first."""
        held = self.control_points.get(name) or self.control_point(name)
        held.advance(at_ms)
        return held

    def fold(self, decision: SelectionDecided, at_ms: int) -> list[msgspec.Struct] | None:
        """Take in one decision, once; `at_ms` is its `lodged_at`. Returns the reports of a window that it closed."""
        if not self.marks.advance(decision.upstream):
            return None
        self.marks.advance(decision.screened)
        self.traffic.observe(decision, at_ms)
        held = self.control_points.get(decision.control_point)
        if held is None:
            if decision.control_point not in self._policy.control_points:
                return None  # an office that a later policy closed: its past needs no controller
            held = self.control_point(decision.control_point)
        return held.fold(decision, at_ms)


class Selection:
    """Decides filtered items. `policy` and `brain` are shared by all partitions; the brain moves on between batches.

    Decisions name `software`, the version of borderflow, where a host gives it.
    """

    name = STEP
    inputs = ("filtered",)
    produces = ("decisions", "alerts", "monitoring")

    def __init__(self, policy: Policy, brain: Scorer, software: str | None = None) -> None:
        self._policy = policy
        self._scores = Scores(brain)
        self._selectivity = Selectivity(policy, self._scores, software)
        self.memory = (Memory("decisions", policy.horizons.decisions, "end"),)

    def begin(self, partition: int, first_offset: int) -> SelectionState:
        """An empty state; the decisions on inputs from `first_offset` on will be kept, to send their alerts again."""
        return SelectionState(self._policy, first_offset)

    def remember(self, state: SelectionState, arrivals: Sequence[Arrival[SelectionDecided]]) -> None:
        """Fold published decisions."""
        for arrival in arrivals:
            decision = arrival.event
            fresh = not state.marks.is_redelivery(decision.upstream)
            reports = state.fold(decision, epoch_ms(decision.lodged_at))
            if fresh and decision.upstream.offset >= state.first_offset:
                state.restored[decision.upstream.offset] = Restored(decision, reports)

    def decide(self, state: SelectionState, arrivals: Sequence[Arrival[ItemFiltered]]) -> Outcome:
        """Decide a batch of one partition of `filtered`, in order."""
        outcome = Outcome()
        outputs, marks = outcome.outputs, state.marks
        for arrival in arrivals:
            filtered = arrival.event
            upstream = Upstream(topic=arrival.topic, partition=arrival.partition, offset=arrival.offset)
            if state.restored:
                again = state.restored.pop(arrival.offset, None)
                if again is not None:
                    outcome.redelivered += 1
                    self._follow(outcome, again.decision, again.reports, filtered, arrival.partition)
                    continue
            if marks.is_redelivery(filtered.upstream):
                outcome.redelivered += 1
                continue
            item = filtered.item
            if not self._policy.admits(item.control_point, item.stream):
                outcome.refusals.append(_unknown_control_point(arrival))
                continue
            appraisal = self._scores.appraise(filtered)
            if appraisal is None:
                outcome.refusals.append(_no_score(arrival))
                continue
            at_ms = epoch_ms(item.lodged_at)
            held = state.control_point_at(item.control_point, at_ms)
            decision = self._selectivity.decide(held, state.traffic, filtered, appraisal, upstream)
            outputs.append(
                Output("decisions", item.control_point, decision, decision.decision_id, at_ms, arrival.partition)
            )
            reports = state.fold(decision, at_ms)
            if decision.selected or reports:
                self._follow(outcome, decision, reports, filtered, arrival.partition)
        return outcome

    def entries(self, state: SelectionState) -> int:
        """Items in the windows of all control points, and flows."""
        return sum(len(held.account) for held in state.control_points.values()) + len(state.traffic)

    def _follow(
        self,
        outcome: Outcome,
        decision: SelectionDecided,
        reports: list[msgspec.Struct] | None,
        filtered: ItemFiltered,
        partition: int,
    ) -> None:
        """What follows from a decision, first and every later time: its alert, and the reports of a closed window."""
        at_ms = epoch_ms(decision.lodged_at)
        if decision.selected:
            alert = raise_alert(decision, filtered, self._policy.deadlines)
            outcome.outputs.append(Output("alerts", decision.control_point, alert, alert.alert_id, at_ms, partition))
        origin = decision.origin
        for report in reports or ():
            kind = type(report).__name__
            ce_id = record_id("m", STEP, origin.topic, origin.partition, origin.offset, origin.index, kind)
            outcome.outputs.append(Output("monitoring", kind, report, ce_id, at_ms))


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
