"""What the account needs of decisions, alerts, results and dead letters: small views of the events of `schemas`.

msgspec skips the fields that a view does not name, which makes reading a decision several times cheaper.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import msgspec

from schemas.decisions import Lane, Layer
from schemas.inspections import InspectionOutcome
from schemas.marks import Origin


class DecisionSeen(msgspec.Struct, frozen=True, gc=False):
    """Of `SelectionDecided`."""

    decision_id: str
    control_point: str
    lodged_at: datetime
    lane: Lane
    selected: bool
    model_version: int
    origin: Origin
    layer: Layer | None = None
    layers: tuple[Layer, ...] = ()


class AlertSeen(msgspec.Struct, frozen=True):
    """Of `AlertRaised`."""

    decision: DecisionSeen


class ResultSeen(msgspec.Struct, frozen=True):
    """Of `InspectionCompleted`."""

    result_id: str
    decision_id: str
    outcome: InspectionOutcome
    corrects: str | None = None


@dataclass(frozen=True, slots=True)
class DeadLetterSeen:
    """What a dead letter's headers say. `topic` is the source's; `index` None stands for the whole record."""

    topic: str
    partition: int
    offset: int
    index: int | None
    reason: str
