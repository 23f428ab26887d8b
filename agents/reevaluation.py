"""Re-evaluation, step 4 of the cycle: inspection results meet the alerts that caused them and become lessons.

A result joins its alert by decision id; the example is made of the features as they were scored. A second result on
an alert is refused unless it corrects the first; what matches nothing is refused and can be re-driven. The state of a
partition is a fold of its alerts and of its own input.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec

from agents import refusals
from agents.identity import record_id
from agents.risk.drift import DriftMonitor
from agents.risk.effectiveness import Effectiveness
from agents.risk.lessons import OpenAlert, learn_from, teaches
from agents.risk.policy import Policy
from agents.risk.quarantine import Quarantine
from agents.step import Arrival, Memory, Outcome, Output, Refusal
from schemas.decisions import AlertRaised
from schemas.inspections import InspectionCompleted, OutcomeLearned
from schemas.marks import Upstream
from schemas.monitoring import LabelsQuarantined

STEP: Final = "reevaluation"
EXAMPLES_KEY: Final = "outcomes"
"""The one key of `labelled-examples`."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)


class Resolution:
    """The latest result on one alert. `closed` is False after it was passed on: its result is still to come.

    `counted` is the example that stands in the tallies, `taught` the result id of the latest example on this
    decision, also one that took a lesson back.
    """

    __slots__ = ("closed", "counted", "result_id", "taught")

    def __init__(self) -> None:
        self.result_id = ""
        self.closed = False
        self.counted: OutcomeLearned | None = None
        self.taught: str | None = None


class ReEvaluationState:
    """One partition: its open alerts, what became of them, and how well layers and criteria do."""

    __slots__ = (
        "_expiry",
        "_latest_ms",
        "_policy",
        "_told",
        "alerts",
        "drift",
        "effectiveness",
        "quarantine",
        "resolutions",
    )

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self.alerts: dict[str, OpenAlert] = {}
        self.resolutions: dict[str, Resolution] = {}
        self.effectiveness: dict[str, Effectiveness] = {}
        self.drift = DriftMonitor(policy.drift, policy.horizons.alerts_days)
        self.quarantine = Quarantine()
        self._told: dict[str, tuple[int, str]] = {}
        self._expiry: deque[tuple[int, str]] = deque()
        self._latest_ms = 0

    def open(self, alert: AlertRaised) -> None:
        """Take in an alert, once; alerts older than the horizon are forgotten with what became of them."""
        decision = alert.decision
        if decision.decision_id in self.alerts or decision.layer is None:
            return
        cargo = alert.filtered.item.cargo
        self.alerts[decision.decision_id] = OpenAlert(
            stream=decision.stream,
            control_point=decision.control_point,
            subject=decision.subject,
            counterpart=cargo.shipper if cargo is not None else None,
            layer=decision.layer,
            layers=decision.layers,
            lane=decision.lane,
            criteria=decision.criteria,
            flows=decision.flows,
            score=decision.score,
            features=alert.features,
            propensity=decision.propensity,
            exploration_rate=decision.exploration_rate,
            model_version=decision.model_version,
            lodged_at=decision.lodged_at,
        )
        at_ms = _milliseconds(decision.lodged_at)
        self._expiry.append((at_ms, decision.decision_id))
        self._latest_ms = max(self._latest_ms, at_ms)
        oldest = self._latest_ms - int(self._policy.horizons.alerts.total_seconds() * 1000.0)
        while self._expiry and self._expiry[0][0] < oldest:
            _, gone = self._expiry.popleft()
            del self.alerts[gone]
            self.resolutions.pop(gone, None)

    def held_back(self, example: OutcomeLearned) -> LabelsQuarantined | None:
        """Whether the models will hold this lesson back, as the brain decides by the same rule; told once a day.

        The example goes out all the same: the log is what was reported, and what is learnt of it is a fold's matter.
        """
        day = example.inspected_at.timestamp() / 86400.0
        why = self.quarantine.admit(example.control_point, example.label, example.score, day)
        if why is None or self._told.get(example.control_point) == (int(day), why):
            return None
        self._told[example.control_point] = (int(day), why)
        held = self.quarantine.sites[example.control_point].held
        return LabelsQuarantined(control_point=example.control_point, at=example.inspected_at, held=held, why=why)

    def effectiveness_of(self, control_point: str) -> Effectiveness:
        """The tallies of one control point."""
        held = self.effectiveness.get(control_point)
        if held is None:
            held = self.effectiveness[control_point] = Effectiveness(control_point, self._policy.reports.seizure_hours)
        return held


class Consequence:
    """What one result leads to: a refusal, or an example (or none) and reports."""

    __slots__ = ("example", "refusal", "reports")

    def __init__(self) -> None:
        self.refusal: tuple[str, str, str] | None = None  # reason, field, detail
        self.example: OutcomeLearned | None = None
        self.reports: list[msgspec.Struct] = []


class ReEvaluation:
    """Turns results into lessons and figures."""

    name = STEP
    inputs = ("inspection-results",)
    produces = ("labelled-examples", "monitoring")

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._ahead_ms = int(policy.clock_ahead_minutes * 60_000)
        self.memory = (
            Memory("alerts", policy.horizons.alerts, "end", following=True),
            Memory("inspection-results", policy.horizons.alerts, "batch"),
        )

    def begin(self, partition: int, first_offset: int) -> ReEvaluationState:
        """An empty state."""
        return ReEvaluationState(self._policy)

    def remember(self, state: ReEvaluationState, arrivals: Sequence[Arrival[Any]]) -> None:
        """Fold alerts, or results that were dealt with before."""
        for arrival in arrivals:
            if isinstance(arrival.event, AlertRaised):
                state.open(arrival.event)
            else:
                self._conclude(state, arrival)

    def decide(self, state: ReEvaluationState, arrivals: Sequence[Arrival[InspectionCompleted]]) -> Outcome:
        """Join a batch of results with their alerts."""
        outcome = Outcome()
        for arrival in arrivals:
            consequence = self._conclude(state, arrival)
            if consequence.refusal is not None:
                reason, field, detail = consequence.refusal
                outcome.refusals.append(Refusal(offset=arrival.offset, reason=reason, field=field, detail=detail))
                continue
            at_ms = _milliseconds(arrival.event.inspected_at)
            place = (arrival.topic, arrival.partition, arrival.offset)
            if consequence.example is not None:
                ce_id = record_id("l", STEP, *place)
                outcome.outputs.append(
                    Output("labelled-examples", EXAMPLES_KEY, consequence.example, ce_id, at_ms, partition=0)
                )
            for index, report in enumerate(consequence.reports):
                kind = type(report).__name__
                ce_id = record_id("m", STEP, *place, index, kind)
                outcome.outputs.append(Output("monitoring", kind, report, ce_id, at_ms))
        return outcome

    def entries(self, state: ReEvaluationState) -> int:
        """Alerts that a result may still join or correct."""
        return len(state.alerts)

    def _conclude(self, state: ReEvaluationState, arrival: Arrival[InspectionCompleted]) -> Consequence:
        consequence = Consequence()
        result = arrival.event
        at_ms = _milliseconds(result.inspected_at)
        alert = state.alerts.get(result.decision_id)
        refusal = self._refusal(state, arrival, alert)
        if refusal is not None or alert is None:
            consequence.refusal = refusal
            return consequence
        resolution = state.resolutions.setdefault(result.decision_id, Resolution())
        resolution.result_id = result.result_id
        resolution.closed = result.outcome != "passed-on"
        book = state.effectiveness_of(alert.control_point)
        undone, resolution.counted = resolution.counted, None
        reports: list[msgspec.Struct | None] = []
        if undone is not None:
            reports.append(book.undo(undone, at_ms))
        if teaches(result):
            upstream = Upstream(topic=arrival.topic, partition=arrival.partition, offset=arrival.offset)
            example = learn_from(result, alert, self._policy.lessons, resolution.taught, upstream)
            resolution.counted = consequence.example = example
            resolution.taught = result.result_id
            reports.append(book.fold(example, at_ms))
            reports.extend(state.drift.fold(example))
            reports.append(state.held_back(example))
        elif undone is not None:
            upstream = Upstream(topic=arrival.topic, partition=arrival.partition, offset=arrival.offset)
            consequence.example = learn_from(result, alert, self._policy.lessons, resolution.taught, upstream)
            resolution.taught = result.result_id
        consequence.reports = [report for report in reports if report is not None]
        return consequence

    def _refusal(
        self, state: ReEvaluationState, arrival: Arrival[InspectionCompleted], alert: OpenAlert | None
    ) -> tuple[str, str, str] | None:
        result = arrival.event
        if alert is None:
            return refusals.NO_MATCHING_ALERT, "decision_id", "no alert of this partition has this decision id"
        if alert.control_point != result.control_point:
            return refusals.OTHER_CONTROL_POINT, "control_point", "the alert went to another control point"
        if _milliseconds(result.inspected_at) > arrival.timestamp_ms + self._ahead_ms:
            return refusals.CLOCK_AHEAD, "inspected_at", "ahead of the record's own timestamp"
        if result.inspected_at - alert.lodged_at > self._policy.horizons.alerts:
            return refusals.NO_MATCHING_ALERT, "inspected_at", "the alert is older than results may join"
        earlier = state.resolutions.get(result.decision_id)
        if result.corrects is not None:
            if earlier is None or earlier.result_id != result.corrects:
                return refusals.NOTHING_TO_CORRECT, "corrects", "not the latest result on this alert"
        elif earlier is not None and earlier.closed:
            return refusals.ALREADY_RESOLVED, "decision_id", "the alert has a result, and this one does not correct it"
        return None


def _milliseconds(at: datetime) -> int:
    return (at - _EPOCH) // _MILLISECOND
