"""Re-evaluation, step 4 of the cycle: inspection results meet the alerts that caused them and become lessons.

A result joins its alert by decision id; the example is made of the features as they were scored. A second result on
an alert is refused unless it corrects the first; a withdrawal takes the latest back and opens the alert again; what
matches nothing is refused and can be re-driven. What is sent again says the same again, and nobody learns it twice.
The state of a partition is a fold of its alerts and of its own input.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final, Protocol

import msgspec

from agents import refusals
from agents.epoch import epoch_ms
from agents.identity import record_id
from agents.risk.drift import DriftMonitor
from agents.risk.effectiveness import Effectiveness
from agents.risk.lessons import OpenAlert, learn_from, teaches, unlearn
from agents.risk.policy import Policy
from agents.risk.quarantine import Quarantine, Why
from agents.standing import Report, Said, Standing
from agents.step import Arrival, Memory, Outcome, Output, Refusal
from schemas.decisions import AlertRaised
from schemas.inspections import InspectionCompleted, InspectionWithdrawn, OutcomeLearned
from schemas.marks import Upstream
from schemas.monitoring import LabelsQuarantined, SeizureRateReported

STEP: Final = "reevaluation"
EXAMPLES_KEY: Final = "outcomes"
"""The one key of `labelled-examples`."""

EARLY: Final = timedelta(days=1)
"""How long before the lodgement of its item a result may be dated: clocks differ, and some lodge after the fact."""

MOST_CATEGORIES: Final = 99
"""Of one result: a lesson is kept for ever, and every worker folds it."""


class Joined(Protocol):
    """What of an alert decides whether a report may join it."""

    @property
    def control_point(self) -> str: ...
    @property
    def lodged_at(self) -> datetime: ...


class Resolution:
    """What became of one alert.

    `counted` is the example that stands in the tallies, `latest` the latest example on this decision, also one that
    took a lesson back; `held` is whether the quarantine held the counted one back. `released` is where the alert was
    released without an inspection, None otherwise. `window` is the beginning of the window that either was counted in.
    """

    __slots__ = ("counted", "held", "latest", "released", "standing", "window")

    def __init__(self) -> None:
        self.standing = Standing()
        self.held = False
        self.counted: OutcomeLearned | None = None
        self.latest: OutcomeLearned | None = None
        self.released: str | None = None
        self.window: int | None = None

    @property
    def taught(self) -> str | None:
        """The id of the latest example."""
        return None if self.latest is None else self.latest.result_id

    def repeated(self, said: Said, upstream: Upstream) -> OutcomeLearned | None:
        """The example of the latest report, when it is that one which comes again, as following from `upstream`.

        Nobody learns it twice. But the log that this was folded from does not tell which reports were refused when
        they came, before their alert or under another policy: for those, this is the first time that it is said.
        """
        if self.latest is None or not said.report_id == self.standing.latest == self.latest.result_id:
            return None
        return msgspec.structs.replace(self.latest, upstream=upstream)


class ReEvaluationState:
    """One partition: its open alerts, what became of them, and what inspections found in the open windows."""

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
            score=decision.score if decision.unboosted is None else decision.unboosted,
            features=alert.features,
            propensity=decision.propensity,
            exploration_rate=decision.exploration_rate,
            model_version=decision.model_version,
            lodged_at=decision.lodged_at,
        )
        at_ms = epoch_ms(decision.lodged_at)
        self._expiry.append((at_ms, decision.decision_id))
        self._latest_ms = max(self._latest_ms, at_ms)
        oldest = self._latest_ms - int(self._policy.horizons.alerts.total_seconds() * 1000.0)
        while self._expiry and self._expiry[0][0] < oldest:
            _, gone = self._expiry.popleft()
            del self.alerts[gone]
            self.resolutions.pop(gone, None)

    def count(self, resolution: Resolution, example: OutcomeLearned, at_ms: int) -> list[msgspec.Struct | None]:
        """Count a lesson in the rates, the drift and the quarantine of its control point; what there is to report.

        The quarantine goes by the brain's rule and is told of once a day, but knows what scores have meant in this
        partition only, so it may tell of what was learnt, or miss what was held (docs/models.md). The example goes out
        all the same: the log is what was reported, and what is learnt of it is a fold's matter.
        """
        book = self.effectiveness_of(example.control_point)
        report = book.fold(example, at_ms)
        why = self.quarantine.admit(example.control_point, example.label, example.score, _day(example))
        resolution.counted, resolution.held, resolution.window = example, why is not None, book.since_ms
        return [report, *self.drift.fold(example), self._tell(example, why)]

    def take_back(self, resolution: Resolution, at_ms: int) -> list[msgspec.Struct | None]:
        """Take what stands on an alert out of the rates and the quarantine; a drift that was detected stays so."""
        reports: list[msgspec.Struct | None] = []
        if resolution.released is not None:
            reports.append(self.effectiveness_of(resolution.released).undo_release(at_ms, resolution.window))
        if (wrong := resolution.counted) is not None:
            reports.append(self.effectiveness_of(wrong.control_point).undo(wrong, at_ms, resolution.window))
            self.quarantine.take_back(
                wrong.control_point, wrong.label, wrong.score, _day(wrong), held=resolution.held
            )  # fmt: skip
        resolution.released, resolution.counted, resolution.held = None, None, False
        return reports

    def release(self, resolution: Resolution, control_point: str, at_ms: int) -> SeizureRateReported | None:
        """Count an alert that was closed without an inspection: selected, and nobody looked."""
        book = self.effectiveness_of(control_point)
        report = book.release(at_ms)
        resolution.released, resolution.window = control_point, book.since_ms
        return report

    def _tell(self, example: OutcomeLearned, why: Why | None) -> LabelsQuarantined | None:
        day = int(_day(example))
        if why is None or self._told.get(example.control_point) == (day, why):
            return None
        self._told[example.control_point] = (day, why)
        held = self.quarantine.sites[example.control_point].held
        return LabelsQuarantined(control_point=example.control_point, at=example.inspected_at, held=held, why=why)

    def effectiveness_of(self, control_point: str) -> Effectiveness:
        """The tallies of one control point."""
        held = self.effectiveness.get(control_point)
        if held is None:
            held = self.effectiveness[control_point] = Effectiveness(control_point, self._policy.reports.seizure_hours)
        return held


class Consequence:
    """What one report leads to: a refusal, or an example (or none) and reports. `again` is one that came before."""

    __slots__ = ("again", "example", "refusal", "reports")

    def __init__(self) -> None:
        self.refusal: tuple[str, str, str] | None = None  # reason, field, detail
        self.again = False
        self.example: OutcomeLearned | None = None
        self.reports: list[msgspec.Struct] = []


class ReEvaluation:
    """Turns results into lessons and figures."""

    name = STEP
    inputs = ("inspection-results",)
    produces = ("labelled-examples", "monitoring")

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
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

    def decide(self, state: ReEvaluationState, arrivals: Sequence[Arrival[Report]]) -> Outcome:
        """Join a batch of results with their alerts."""
        outcome = Outcome()
        for arrival in arrivals:
            consequence = self._conclude(state, arrival)
            if consequence.refusal is not None:
                reason, field, detail = consequence.refusal
                outcome.refusals.append(Refusal(offset=arrival.offset, reason=reason, field=field, detail=detail))
                continue
            outcome.redelivered += consequence.again
            at_ms = epoch_ms(_reported_at(arrival.event))
            place = (arrival.topic, arrival.partition, arrival.offset)
            if consequence.example is not None:
                ce_id = record_id("l", STEP, *place)
                told_ms = max(at_ms, arrival.timestamp_ms)  # a lesson is known when it is reported, and not before
                outcome.outputs.append(
                    Output("labelled-examples", EXAMPLES_KEY, consequence.example, ce_id, told_ms, partition=0)
                )
            for index, report in enumerate(consequence.reports):
                kind = type(report).__name__
                ce_id = record_id("m", STEP, *place, index, kind)
                outcome.outputs.append(Output("monitoring", kind, report, ce_id, at_ms))
        return outcome

    def entries(self, state: ReEvaluationState) -> int:
        """Alerts that a result may still join or correct."""
        return len(state.alerts)

    def _conclude(self, state: ReEvaluationState, arrival: Arrival[Report]) -> Consequence:
        consequence = Consequence()
        report = arrival.event
        said = Said.by(report)
        resolution = state.resolutions.get(report.decision_id) or Resolution()
        upstream = Upstream(topic=arrival.topic, partition=arrival.partition, offset=arrival.offset)
        if resolution.standing.knows(said):
            consequence.again, consequence.example = True, resolution.repeated(said, upstream)
            return consequence
        alert = state.alerts.get(report.decision_id)
        refusal = refusal_of(report, arrival.timestamp_ms, alert, resolution.standing, self._policy)
        if refusal is not None or alert is None:
            consequence.refusal = refusal
            return consequence
        state.resolutions[report.decision_id] = resolution
        resolution.standing.take(said)
        at_ms = epoch_ms(_reported_at(report))
        undone = resolution.counted
        reports = state.take_back(resolution, at_ms)
        if isinstance(report, InspectionWithdrawn):
            if undone is not None:
                consequence.example = resolution.latest = unlearn(report, undone, resolution.taught, upstream)
        else:
            if report.outcome == "not-inspected":
                reports.append(state.release(resolution, alert.control_point, at_ms))
            if teaches(report) or undone is not None:
                example = learn_from(report, alert, self._policy.lessons, resolution.taught, upstream)
                consequence.example = resolution.latest = example
                if teaches(report):
                    reports.extend(state.count(resolution, example, at_ms))
        consequence.reports = [one for one in reports if one is not None]
        return consequence


def refusal_of(
    report: Report, timestamp_ms: int, alert: Joined | None, standing: Standing, policy: Policy
) -> tuple[str, str, str] | None:
    """Why a report cannot join its alert: reason, field and detail; None when it can. The console judges by it, too.

    `timestamp_ms` is the record's own, `alert` None when its partition has none of this decision, `standing` what
    stands on it.
    """
    at, field = _reported_at(report), "inspected_at" if isinstance(report, InspectionCompleted) else "withdrawn_at"
    if alert is None:
        return refusals.NO_MATCHING_ALERT, "decision_id", "no alert of this partition has this decision id"
    if alert.control_point != report.control_point:
        return refusals.OTHER_CONTROL_POINT, "control_point", "the alert went to another control point"
    if epoch_ms(at) > timestamp_ms + int(policy.clock_ahead_minutes * 60_000):
        return refusals.CLOCK_AHEAD, field, "ahead of the record's own timestamp"
    if alert.lodged_at - at > EARLY:
        return refusals.IMPOSSIBLE_DATE, field, "more than a day before the item was lodged"
    if at - alert.lodged_at > policy.horizons.alerts:
        return refusals.NO_MATCHING_ALERT, field, "the alert is older than results may join"
    if isinstance(report, InspectionCompleted) and len(report.categories) > MOST_CATEGORIES:
        return "out-of-bounds", "categories", f"more than {MOST_CATEGORIES}"
    return standing.refusal(Said.by(report))


def _reported_at(report: Report) -> datetime:
    return report.inspected_at if isinstance(report, InspectionCompleted) else report.withdrawn_at


def _day(example: OutcomeLearned) -> float:
    return example.inspected_at.timestamp() / 86400.0
