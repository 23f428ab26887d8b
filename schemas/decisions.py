"""What borderflow says: one decision for every item, one alert for every selected item."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, field

from schemas.items import ItemFiltered, Stream, Subject
from schemas.marks import Code, ControlPoint, Count, Fact, Fraction, Id, Origin, Text, Upstream, Utc

Lane = Literal["green", "blue", "yellow", "red"]
"""green release, blue post-clearance audit, yellow documents, red physical inspection / secondary."""

Layer = Literal["mandatory", "criteria", "model", "profile", "anomaly", "surge", "exploration"]


class Reason(Fact, frozen=True, kw_only=True):
    """Why, in words an officer understands. `weight` is the share of the score's log-odds that `code` contributed.

    Weights of layer reasons (a watchlist hit, a criterion) are 0: they do not go through the score.
    """

    code: Code
    text: Text
    weight: float = 0.0


class SelectionDecided(Fact, tag_field="event", tag="SelectionDecided", frozen=True, kw_only=True):
    """The decision on one item. `decision_id` is equal after any redelivery: a hash of the origin and the step.

    `score` ranks within its stream (logistic of the model's log-odds and of the criteria that boost); where criteria
    boosted it, `unboosted` is the model's own. `rank` is what the score competed as where that is not the score itself:
    in a flow in which nothing was found lately, the score that has led to as many finds in flows in which something was
    (docs/policy.md). `probability` is published only inside the inspected band, where scores are calibrated. `layers`
    are all that would have selected the item by themselves, `layer` the first of them, which did. `threshold` is what
    the score, as it competed, had to reach at this control point at that moment; `surge` is what a look at the item's
    flow is worth, in the same measure, and `surge_threshold` what that had to reach (0 when there was no such slot).

    `exploration_rate` is the probability with which the uniform draw alone selects this item, whatever its score:
    the audit sample is the items with `exploration` among their `layers`, each with that inclusion probability.
    `propensity` is the probability of what was decided: 1 when a layer other than exploration selected the item,
    `exploration_rate` when only the draw did, and 1 - `exploration_rate` when nothing did (docs/policy.md).

    `balance` is the control point's capacity account after this decision: inspections earned and not yet spent.
    `window` is how many of its latest items, this one among them, the next threshold is a quantile of (0: of all).
    `features` are those that were scored, of selected items only: an alert that is sent again after a restart, when
    the models have moved on, still carries what the decision saw.
    `software` is the version of borderflow that decided: at the same model and policy another one may decide otherwise.
    `upstream` is the filtered record, `screened` the screened record that the filtered one follows from.
    """

    decision_id: Id
    item_id: Id
    revision: Count = 0
    stream: Stream
    control_point: ControlPoint
    subject: Subject
    lodged_at: Utc
    due_at: Utc
    lane: Lane
    selected: bool
    layer: Layer | None = None
    layers: tuple[Layer, ...] = ()
    score: float
    rank: float | None = None
    unboosted: float | None = None
    probability: Fraction | None = None
    surge: float = 0.0
    threshold: float
    surge_threshold: float = 0.0
    propensity: Annotated[float, Meta(gt=0, le=1)]
    exploration_rate: Fraction = 0.0
    balance: float = 0.0
    window: Count = 0
    flows: tuple[str, ...] = ()
    features: dict[str, float] = field(default_factory=dict)
    criteria: tuple[Id, ...] = ()
    reasons: tuple[Reason, ...] = ()
    auto_cleared: bool = False
    model_version: int
    profile_version: int
    criteria_version: int
    risk_information_version: int
    policy_version: Code
    software: Id | None = None
    origin: Origin
    upstream: Upstream
    screened: Upstream

    @property
    def competed_as(self) -> float:
        """What its score competed as with `threshold`: `rank`, or the score itself."""
        return self.score if self.rank is None else self.rank


class AlertRaised(Fact, tag_field="event", tag="AlertRaised", frozen=True, kw_only=True):
    """Work for a border control centre: one per selected item. `priority` 1 is the most urgent, 5 the least.

    `features` are those that were scored: the outcome is learnt from them, never from a later recomputation.
    """

    alert_id: Id
    decision: SelectionDecided
    filtered: ItemFiltered
    features: dict[str, float]
    priority: Annotated[int, Meta(ge=1, le=5)]
    headline: Text
    raised_at: Utc
    deadline: Utc
