"""What borderflow notices about itself: drift, caps, capacity, coverage, quarantine."""

from __future__ import annotations

from typing import Literal

from schemas.items import Stream
from schemas.marks import Code, ControlPoint, Count, Fact, Id, Utc


class CoverageReported(Fact, tag_field="event", tag="CoverageReported", frozen=True, kw_only=True):
    """Items and selections of one control point over one window of event time; the selections by layer."""

    control_point: ControlPoint
    since: Utc
    until: Utc
    items: Count
    selected: Count
    capacity_share: float
    by_layer: dict[str, int]


class SeizureRateReported(Fact, tag_field="event", tag="SeizureRateReported", frozen=True, kw_only=True):
    """Inspections and seizures of one control point over one window of event time, by layer and by criterion.

    `released` are alerts that were closed without an inspection: selected, and not among `inspected`.
    """

    control_point: ControlPoint
    since: Utc
    until: Utc
    inspected: Count
    seizures: Count
    by_layer: dict[str, tuple[int, int]]
    by_criterion: dict[str, tuple[int, int]]
    released: Count = 0


class CapacityExceeded(Fact, tag_field="event", tag="CapacityExceeded", frozen=True, kw_only=True):
    """Mandatory and direct selections alone went over a control point's capacity in a window."""

    control_point: ControlPoint
    at: Utc
    selected: Count
    capacity: Count


class CriterionSuppressed(Fact, tag_field="event", tag="CriterionSuppressed", frozen=True, kw_only=True):
    """A criterion fired on more than its cap at a control point; hits over the cap had no effect."""

    criterion_id: Id
    version: int
    control_point: ControlPoint
    at: Utc
    hits: Count
    capped: Count
    cap: float


class DriftDetected(Fact, tag_field="event", tag="DriftDetected", frozen=True, kw_only=True):
    """ADWIN found a change in a watched quantity (Bifet & Gavalda 2007)."""

    what: Code
    control_point: ControlPoint | None = None
    stream: Stream | None = None
    at: Utc
    before: float
    after: float


class LabelsQuarantined(Fact, tag_field="event", tag="LabelsQuarantined", frozen=True, kw_only=True):
    """Results from one control point came in a way that would move the models too far; they are held back."""

    control_point: ControlPoint
    at: Utc
    held: Count
    why: Literal["rate", "burst-of-clear", "burst-of-seizures"]


Monitoring = (
    CoverageReported | SeizureRateReported | CapacityExceeded | CriterionSuppressed | DriftDetected | LabelsQuarantined
)
