"""What border control centres report back, and what is learnt from it."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from schemas.decisions import Lane, Layer
from schemas.items import Stream, Subject
from schemas.marks import (
    Code,
    ControlPoint,
    Count,
    Fact,
    Fraction,
    Id,
    PersonalId,
    PersonalText,
    Upstream,
    Utc,
)

Method = Literal["documents", "x-ray", "physical", "canine", "laboratory", "interview", "search", "none"]
InspectionOutcome = Literal["clear", "irregularity", "seizure", "not-inspected", "passed-on"]


class InspectionCompleted(Fact, tag_field="event", tag="InspectionCompleted", frozen=True, kw_only=True):
    """A centre finished with one alert. Keyed by the alert's control point, whoever inspected.

    `seizure` and `irregularity` teach a positive label, `clear` a negative one; `not-inspected` (released with a
    reason) and `passed-on` teach nothing. `corrects` names the result_id that this one replaces. A `result_id` that
    came before on the same alert is the same result sent again, and has no second effect.
    """

    result_id: Id
    decision_id: Id
    control_point: ControlPoint
    inspected_at: Utc
    method: Method
    outcome: InspectionOutcome
    categories: tuple[Code, ...] = ()
    severity: Annotated[int, Meta(ge=0, le=3)] = 0
    quantity: Annotated[float, Meta(ge=0, le=1e12)] | None = None
    quantity_unit: Code | None = None
    reason: Code | None = None
    passed_to: ControlPoint | None = None
    officer: PersonalId | None = None
    note: PersonalText | None = None
    corrects: Id | None = None


class InspectionWithdrawn(Fact, tag_field="event", tag="InspectionWithdrawn", frozen=True, kw_only=True):
    """A result was filed by mistake: what it taught is taken back, and the alert is open again.

    `result_id` is the latest result on the alert; anything else is refused. To put another result in its place at
    once, send an `InspectionCompleted` that `corrects` it instead.
    """

    withdrawal_id: Id
    result_id: Id
    decision_id: Id
    control_point: ControlPoint
    withdrawn_at: Utc
    reason: Code | None = None
    officer: PersonalId | None = None
    note: PersonalText | None = None


class OutcomeLearned(Fact, tag_field="event", tag="OutcomeLearned", frozen=True, kw_only=True):
    """One labelled example, in the one log that every worker folds. The log's offset is the model version.

    `features` are those that were scored, `score` the model's own, without what criteria added. `label` is 1 for a
    seizure or irregularity. `weight` scales the lesson (severity); `layers`, `propensity` and `exploration_rate` are
    the decision's. `corrects` names the earlier `result_id` of this decision, whose lesson is taken back before this
    one is learnt (exactly in the profiles, as docs/models.md says in the models). With `corrects` and an outcome that
    teaches nothing (`not-inspected`, `passed-on`) the earlier lesson is taken back and nothing is put in its place.
    """

    decision_id: Id
    result_id: Id
    stream: Stream
    control_point: ControlPoint
    subject: Subject
    counterpart: Subject | None = None
    layer: Layer
    layers: tuple[Layer, ...] = ()
    lane: Lane
    criteria: tuple[Id, ...] = ()
    flows: tuple[str, ...] = ()
    score: float
    features: dict[str, float]
    label: Annotated[int, Meta(ge=0, le=1)]
    outcome: InspectionOutcome
    severity: Annotated[int, Meta(ge=0, le=3)] = 0
    categories: tuple[Code, ...] = ()
    weight: Annotated[float, Meta(gt=0, le=10)] = 1.0
    propensity: Fraction
    exploration_rate: Fraction = 0.0
    model_version: int
    lodged_at: Utc
    inspected_at: Utc
    corrects: Id | None = None
    upstream: Upstream


class ModelPromoted(Fact, tag_field="event", tag="ModelPromoted", frozen=True, kw_only=True):
    """A person (or a rule they set) made `model` the one that decides for `stream`, as it stands at this offset."""

    stream: Stream
    model: Code
    by: PersonalId
    why: PersonalText = ""
    at: Utc


class ModelFrozen(Fact, tag_field="event", tag="ModelFrozen", frozen=True, kw_only=True):
    """Decisions for `stream` stay on the champion as it stands at this offset; learning goes on beside it."""

    stream: Stream
    by: PersonalId
    why: PersonalText = ""
    at: Utc


class ModelRolledBack(Fact, tag_field="event", tag="ModelRolledBack", frozen=True, kw_only=True):
    """Decisions for `stream` go back to the activation at `to_version`, an offset in this log."""

    stream: Stream
    to_version: Count
    by: PersonalId
    why: PersonalText = ""
    at: Utc
