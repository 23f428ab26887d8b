"""What a result teaches: the label and weight of an inspection, joined with the alert as it was raised."""

from __future__ import annotations

from datetime import datetime
from typing import Final

import msgspec

from agents.risk.policy import Lessons
from schemas.decisions import Lane, Layer
from schemas.inspections import InspectionCompleted, InspectionWithdrawn, OutcomeLearned
from schemas.items import Stream
from schemas.marks import Upstream

_LABELS: Final = {"seizure": 1, "irregularity": 1, "clear": 0}


class OpenAlert(msgspec.Struct, frozen=True, gc=False):
    """What of an alert its outcome needs."""

    stream: Stream
    control_point: str
    subject: str
    counterpart: str | None
    layer: Layer
    layers: tuple[Layer, ...]
    lane: Lane
    criteria: tuple[str, ...]
    flows: tuple[str, ...]
    score: float
    features: dict[str, float]
    propensity: float
    exploration_rate: float
    model_version: int
    lodged_at: datetime


def teaches(result: InspectionCompleted) -> bool:
    """Whether a result is a label: something was found, or somebody looked and nothing was."""
    return result.outcome in _LABELS and not (result.outcome == "clear" and result.method == "none")


def learn_from(
    result: InspectionCompleted, alert: OpenAlert, lessons: Lessons, corrects: str | None, upstream: Upstream
) -> OutcomeLearned:
    """The example that a result makes of its alert; without a label in it, only what `corrects` names is undone."""
    label = _LABELS.get(result.outcome, 0)
    weight = 1.0
    if label:
        weight += lessons.severity * result.severity
    elif result.method == "documents":
        weight = lessons.documents_clear
    return OutcomeLearned(
        decision_id=result.decision_id,
        result_id=result.result_id,
        stream=alert.stream,
        control_point=alert.control_point,
        subject=alert.subject,
        counterpart=alert.counterpart,
        layer=alert.layer,
        layers=alert.layers,
        lane=alert.lane,
        criteria=alert.criteria,
        flows=alert.flows,
        score=alert.score,
        features=alert.features,
        label=label,
        outcome=result.outcome if teaches(result) else "not-inspected",
        severity=result.severity,
        categories=result.categories,
        weight=weight,
        propensity=alert.propensity,
        exploration_rate=alert.exploration_rate,
        model_version=alert.model_version,
        lodged_at=alert.lodged_at,
        inspected_at=result.inspected_at,
        corrects=corrects,
        upstream=upstream,
    )


def unlearn(
    withdrawal: InspectionWithdrawn, wrong: OutcomeLearned, corrects: str | None, upstream: Upstream
) -> OutcomeLearned:
    """The example that takes the lesson of a withdrawn result back and puts nothing in its place."""
    return msgspec.structs.replace(
        wrong,
        result_id=withdrawal.withdrawal_id,
        label=0,
        outcome="not-inspected",
        severity=0,
        categories=(),
        weight=1.0,
        inspected_at=withdrawal.withdrawn_at,
        corrects=corrects,
        upstream=upstream,
    )
