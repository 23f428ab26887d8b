"""What officers do with an alert before they report on it: take it in, claim it, give it up, answer a criterion.

What ends an alert is not here: an inspection, a release without one and a passing on are `InspectionCompleted`, so that
one partition of one topic holds the one order in which an alert's endings came.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from schemas.marks import Code, ControlPoint, Fact, Id, PersonalId, PersonalText, Utc

Verdict = Literal["useful", "too-broad", "too-narrow", "wrong-target", "outdated", "unclear"]


class AlertAcknowledged(Fact, tag_field="event", tag="AlertAcknowledged", frozen=True, kw_only=True):
    """A centre's system has taken an alert in. Keyed by the alert's control point, as all casework."""

    decision_id: Id
    control_point: ControlPoint
    acknowledged_at: Utc
    system: Code
    officer: PersonalId | None = None


class AlertClaimed(Fact, tag_field="event", tag="AlertClaimed", frozen=True, kw_only=True):
    """An officer wants to work on an alert, until `until` at the latest, which is a day after `claimed_at` at most.

    A claim stands when no claim of somebody else stands at `claimed_at` before it in the log
    (`agents.casework.CaseBook`). The claim of an officer who holds the alert already prolongs it. A result on the alert
    ends the claims whose `claimed_at` is not after the time it was sent (`ce_time`), whichever is read first.
    """

    claim_id: Id
    decision_id: Id
    control_point: ControlPoint
    officer: PersonalId
    claimed_at: Utc
    until: Utc


class ClaimGivenUp(Fact, tag_field="event", tag="ClaimGivenUp", frozen=True, kw_only=True):
    """An officer lets go of an alert; it is open to others. `by` is somebody else when a supervisor took it away."""

    claim_id: Id
    decision_id: Id
    control_point: ControlPoint
    officer: PersonalId
    given_up_at: Utc
    by: PersonalId | None = None


class CriterionFeedbackGiven(Fact, tag_field="event", tag="CriterionFeedbackGiven", frozen=True, kw_only=True):
    """What a centre has to tell the author of a criterion: "fires on every shipment of X".

    `decision_id` is the alert that it was noticed on, if there was one.
    """

    feedback_id: Id
    criterion_id: Id
    criterion_version: Annotated[int, Meta(ge=1)]
    control_point: ControlPoint
    verdict: Verdict
    given_at: Utc
    decision_id: Id | None = None
    officer: PersonalId | None = None
    note: PersonalText | None = None
