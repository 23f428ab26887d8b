"""The selection policy: what may be inspected where, how much, and by which rules. Every threshold of steps 2 to 4.

A policy is data: a frozen value, read from YAML by `streams.policies`, named in every decision by `policy_version`.
Shares are of items (capacity) or of the capacity (layers), never counts an hour: a control point's capacity grows
with its traffic, as staffing plans do. docs/policy.md is generated from the descriptions below.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import cached_property
from hashlib import blake2b
from typing import Annotated, Any, get_args

import msgspec
from msgspec import Meta

from agents.risk.flows import LEAST_HORIZON_DAYS
from schemas.decisions import Lane
from schemas.items import Stream
from schemas.marks import ControlPoint

Share = Annotated[float, Meta(ge=0, le=1)]
STREAMS: tuple[Stream, ...] = get_args(Stream)


class PolicyRefusedError(ValueError):
    """The policy cannot be used; the message names the field and what is wrong with it."""


class Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A part of the policy. Unknown keys are refused, so that a misspelt setting is never silently the default."""


class ControlPointPolicy(Section, frozen=True, kw_only=True):
    """One customs office where items are inspected."""

    streams: Annotated[tuple[Stream, ...], Meta(min_length=1, description="What is lodged for this control point.")]
    capacity_share: Annotated[
        Annotated[float, Meta(gt=0, le=1)] | None,
        Meta(description="Share of its items that it can inspect; without it the policy's `capacity_share`."),
    ] = None
    title: Annotated[str, Meta(description="Its name, for people.")] = ""

    def __post_init__(self) -> None:
        if len(set(self.streams)) < len(self.streams):
            raise ValueError("a stream stands in `streams` twice")


class LayerShares(Section, frozen=True, kw_only=True):
    """Shares of a control point's capacity. What mandatory hits, direct criteria and these leave goes to the model."""

    exploration: Annotated[
        Share, Meta(description="Uniform draw over ALL items: the audit sample that every honest rate rests on.")
    ] = 0.10
    surge: Annotated[
        Share, Meta(description="Most, for flows that surge and for those at which nobody looked for long.")
    ] = 0.15
    profile: Annotated[Share, Meta(description="Most, for repeat offenders below the model's bar.")] = 0.05
    anomaly: Annotated[Share, Meta(description="Most, for items that are unlike recent traffic.")] = 0.05

    def __post_init__(self) -> None:
        total = self.exploration + self.profile + self.anomaly  # looks at flows compete with the model
        if total > 0.95:
            raise ValueError(f"the shares of capacity sum to {total:.2f}; at most 0.95, the rest is the model's")


class ColdStart(Section, frozen=True, kw_only=True):
    """Before the model of a stream has learnt, a larger part of the capacity is drawn by chance."""

    exploration: Annotated[Share, Meta(description="Exploration's share of capacity while nothing is learnt.")] = 0.5
    labels: Annotated[
        int,
        Meta(ge=0, description="Labels of the stream at which it has fallen, in a straight line, to the usual share."),
    ] = 200
    everything_until: Annotated[
        Annotated[datetime, Meta(tz=True)] | None,
        Meta(
            description="Items lodged before this time are all inspected, by chance with probability 1 and beside the "
            "capacity: how a service begins that has no record of inspections.",
        ),
    ] = None


class Controller(Section, frozen=True, kw_only=True):
    """How the bar for the score is kept on capacity, one controller for each control point."""

    window_items: Annotated[
        int, Meta(ge=50, le=200_000, description="Scores that the bar is a quantile of: the latest so many items ...")
    ] = 2000
    window_days: Annotated[
        float, Meta(ge=0.01, le=366, description="... of the latest so many days of event time, whichever is fewer.")
    ] = 30.0
    slack: Annotated[
        float,
        Meta(
            ge=0,
            le=1,
            description="How far score layers may run ahead of the capacity earned, in shares of a window's capacity.",
        ),
    ] = 0.15
    response: Annotated[
        float,
        Meta(gt=0, le=10, description="In how many windows the bar spends what is left over, or saves what is owed."),
    ] = 0.1


class SurgeRule(Section, frozen=True, kw_only=True):
    """What a look at a flow is worth before any label speaks, in the measure of the score that it competes with."""

    worth: Annotated[
        float,
        Meta(
            ge=0,
            le=100,
            description="A flow that surely surges, in multiples of the share of finds in the latest looks at surges.",
        ),
    ] = 4.0
    patrol_worth: Annotated[
        float,
        Meta(
            ge=0,
            le=100,
            description="A busy flow at which nobody looked lately, in multiples of the share of finds in the latest "
            "looks at such flows.",
        ),
    ] = 4.0
    patrol_days: Annotated[
        float,
        Meta(
            gt=0,
            le=30,
            description="Days after a look in which a flow regains 63% of what the look took from its worth.",
        ),
    ] = 20.0
    diversify_over: Annotated[
        int,
        Meta(
            ge=0,
            le=1000,
            description="Latest surge selections in mind: each that shares a flow divides what its surge is worth.",
        ),
    ] = 20


class ProfileRule(Section, frozen=True, kw_only=True):
    """When the record of a consignee, shipper or traveller speaks for an inspection by itself."""

    seizures: Annotated[int, Meta(ge=1, description="Seizures on record, at least.")] = 1
    hit_rate: Annotated[Share, Meta(description="Seizures over inspections, at least.")] = 0.2
    within_days: Annotated[float, Meta(gt=0, le=36_500, description="The latest seizure is no older than this.")] = (
        730.0
    )


class AnomalyRule(Section, frozen=True, kw_only=True):
    """When being unusual speaks for an inspection by itself."""

    at_least: Annotated[Share, Meta(description="Share of recent traffic of its kind that is less unusual.")] = 0.98


class AutoClear(Section, frozen=True, kw_only=True):
    """What is plainly low risk. Never an item with a hit, an acting criterion, a failed check, or a find on record."""

    trusted_traders: Annotated[bool, Meta(description="Clear what is consigned to a trusted trader.")] = True
    clean_inspections: Annotated[
        int, Meta(ge=1, description="Inspections of the consignee on record, all clear, at least; and ...")
    ] = 3
    value_usd: Annotated[float, Meta(ge=0, le=1e9, description="... a declared value of at most this.")] = 150.0
    anomaly_below: Annotated[
        Share, Meta(description="Only items less unusual than this, as a share of recent traffic.")
    ] = 0.9


class LaneShares(Section, frozen=True, kw_only=True):
    """Where selected items go, in shares of them."""

    red: Annotated[Share, Meta(description="Physical inspection; secondary inspection of travellers.")]
    yellow: Annotated[Share, Meta(description="Documents; interview of travellers.")]
    blue: Annotated[Share, Meta(description="Released, audited after clearance.")] = 0.0

    def __post_init__(self) -> None:
        total = self.red + self.yellow + self.blue
        if abs(total - 1.0) > 1e-9:
            raise ValueError(f"the lanes' shares sum to {total:g}, not to 1")


class LaneRule(Section, frozen=True, kw_only=True):
    """Lanes by stream. Mandatory hits and repeat offenders go to red, direct criteria where they say."""

    manifests: Annotated[LaneShares, Meta(description="Sea and air cargo.")] = LaneShares(
        red=0.5, yellow=0.35, blue=0.15
    )
    express_cargo: Annotated[LaneShares, Meta(description="Parcels.")] = LaneShares(red=0.6, yellow=0.3, blue=0.1)
    passengers: Annotated[LaneShares, Meta(description="Travellers: nobody is audited after entry.")] = LaneShares(
        red=0.6, yellow=0.4
    )
    exploration: Annotated[
        Lane,
        Meta(
            description="The lane of the audit sample. Its rates are honest only if it is inspected thoroughly. Never "
            "`green`, and not `blue` where there are travellers."
        ),
    ] = "red"
    window_selected: Annotated[
        int, Meta(ge=10, le=10_000, description="Latest selected items of a control point over which shares are kept.")
    ] = 200

    def __post_init__(self) -> None:
        if self.passengers.blue > 0.0:
            raise ValueError("a traveller cannot be sent to the blue lane")
        if self.exploration == "green":
            raise ValueError("the audit sample must be inspected: exploration cannot be sent to the green lane")

    def of(self, stream: Stream) -> LaneShares:
        """The shares of one stream."""
        if stream == "manifests":
            return self.manifests
        return self.express_cargo if stream == "express-cargo" else self.passengers


class Deadlines(Section, frozen=True, kw_only=True):
    """By when a centre must have acted. Red and yellow: before the item is released or arrives (`due_at`)."""

    audit_days: Annotated[float, Meta(gt=0, description="Blue lane: days after lodgement.")] = 14.0
    pressing_minutes: Annotated[
        float, Meta(ge=0, le=525_600, description="An alert with less time than this is one step more urgent.")
    ] = 60.0


class Lessons(Section, frozen=True, kw_only=True):
    """What an outcome weighs when it is learnt."""

    severity: Annotated[
        float, Meta(ge=0, le=3, description="Added to a positive label's weight of 1 for each step of severity (0-3).")
    ] = 0.25
    documents_clear: Annotated[
        float,
        Meta(gt=0, le=1, description="Weight of `clear` after documents alone: a look at papers misses more."),
    ] = 0.5


class Drift(Section, frozen=True, kw_only=True):
    """ADWIN on the prediction error and the label delay of each control point and stream (Bifet & Gavalda 2007)."""

    confidence: Annotated[
        float, Meta(gt=0, lt=1, description="ADWIN's delta: the smaller, the fewer false alarms.")
    ] = 0.002
    grace: Annotated[int, Meta(ge=10, description="Labels of a control point and stream before it may alarm.")] = 50


class Horizons(Section, frozen=True, kw_only=True):
    """How far back each step remembers, in event time. A topic's retention must be at least its horizon."""

    filtering_hours: Annotated[
        float,
        Meta(
            ge=0.1,
            le=168,
            description="Subject windows, and how long after it came a lodgement that comes again is refused "
            "(filtering; a day more is read of `screened`).",
        ),
    ] = 24.0
    decisions_days: Annotated[
        float,
        Meta(
            ge=LEAST_HORIZON_DAYS,
            le=366,
            description="Capacity controllers and flows (selection, `decisions`); flows look back 30 days.",
        ),
    ] = 35.0
    alerts_days: Annotated[
        float, Meta(gt=0, le=366, description="A result joins an alert no older than this (re-evaluation, `alerts`).")
    ] = 30.0

    @property
    def filtering(self) -> timedelta:
        return timedelta(hours=self.filtering_hours)

    @property
    def decisions(self) -> timedelta:
        return timedelta(days=self.decisions_days)

    @property
    def alerts(self) -> timedelta:
        return timedelta(days=self.alerts_days)


class Reports(Section, frozen=True, kw_only=True):
    """Windows of event time over which figures are reported to `monitoring`, for each control point."""

    coverage_minutes: Annotated[
        float, Meta(ge=0.1, le=10_080, description="CoverageReported and CapacityExceeded.")
    ] = 60.0
    seizure_hours: Annotated[
        float, Meta(ge=0.1, le=8_784, description="SeizureRateReported. No longer than `horizons.alerts_days`.")
    ] = 24.0


class Policy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, dict=True):
    """A selection policy. Raises ValueError (msgspec names the path) when its parts contradict each other."""

    version: Annotated[
        str,
        Meta(
            min_length=1,
            max_length=20,
            pattern=r"^[A-Za-z0-9._-]+$",
            description="Its name; decisions carry it with a hash of the contents.",
        ),
    ]
    control_points: Annotated[
        dict[ControlPoint, ControlPointPolicy],
        Meta(min_length=1, description="Every office where items are inspected; an item for another one is refused."),
    ]
    capacity_share: Annotated[
        float,
        Meta(gt=0, le=1, description="Share of its items that a control point can inspect unless it says."),
    ] = 0.02
    draw_key: Annotated[
        str,
        Meta(
            description="Key of the exploration draw; empty: `version`. Keep it secret where lodgers choose their "
            "item ids, and keep it over a change of policy to keep the draws."
        ),
    ] = ""
    de_minimis_usd: Annotated[
        float, Meta(gt=0, le=1e9, description="Value below which parcels pay no duty; splitting below it is watched.")
    ] = 150.0
    clock_ahead_minutes: Annotated[
        float,
        Meta(
            ge=0,
            le=1440,
            description="How far `lodged_at`, `inspected_at` or `withdrawn_at` may be ahead of its record's timestamp.",
        ),
    ] = 15.0
    criterion_cap: Annotated[
        Share,
        Meta(description="Most of a control point's items in a day that a criterion may touch, beside its own cap."),
    ] = 0.01
    layers: Annotated[LayerShares, Meta(description="What each layer may take of the capacity.")] = LayerShares()
    cold_start: Annotated[ColdStart, Meta(description="Until the model has learnt.")] = ColdStart()
    controller: Annotated[Controller, Meta(description="The threshold controller.")] = Controller()
    surge: Annotated[SurgeRule, Meta(description="Looks at flows.")] = SurgeRule()
    profile: Annotated[ProfileRule, Meta(description="Repeat offenders.")] = ProfileRule()
    anomaly: Annotated[AnomalyRule, Meta(description="Unusual items.")] = AnomalyRule()
    auto_clear: Annotated[AutoClear, Meta(description="Plainly low risk.")] = AutoClear()
    lanes: Annotated[LaneRule, Meta(description="Lanes of selected items.")] = LaneRule()
    deadlines: Annotated[Deadlines, Meta(description="By when to act.")] = Deadlines()
    lessons: Annotated[Lessons, Meta(description="What is learnt from a result.")] = Lessons()
    drift: Annotated[Drift, Meta(description="When to call a change a drift.")] = Drift()
    horizons: Annotated[Horizons, Meta(description="How far back the steps remember.")] = Horizons()
    reports: Annotated[Reports, Meta(description="Windows of the reports.")] = Reports()

    def __post_init__(self) -> None:
        names = dict[str, str]()
        for name in self.control_points:
            if not name.isprintable() or name != name.strip():
                raise ValueError(f"control_points: {name!r} has blanks around it, or a character that is not printed")
            if (other := names.setdefault(name.casefold(), name)) != name:
                raise ValueError(f"control_points: {other!r} and {name!r} differ by capitals only")
        if self.horizons.decisions_days < self.controller.window_days + 1.0:
            raise ValueError(
                "horizons.decisions_days must be at least controller.window_days + 1: "
                "the controllers are rebuilt from the decisions within the horizon"
            )
        if self.deadlines.audit_days > self.horizons.alerts_days:
            raise ValueError("deadlines.audit_days exceeds horizons.alerts_days: results would match no alert")
        if self.reports.seizure_hours > self.horizons.alerts_days * 24.0:
            raise ValueError(
                "reports.seizure_hours exceeds horizons.alerts_days: "
                "a worker that starts would report on a part of a window"
            )
        if self.lanes.exploration == "blue" and any(
            "passengers" in one.streams for one in self.control_points.values()
        ):
            raise ValueError("lanes.exploration cannot be blue: a traveller cannot be audited after entry")
        if self.cold_start.exploration < self.layers.exploration:
            raise ValueError("cold_start.exploration must not be below layers.exploration")
        if self.cold_start.exploration + self.layers.profile + self.layers.anomaly > 1.0:
            raise ValueError("cold_start.exploration and the shares of profile and anomaly exceed the capacity")

    @cached_property
    def policy_version(self) -> str:
        """`<version>+<10 hex digits of a hash of all settings>`: two policies of one name are told apart."""
        return version_of(self.version, self.canonical)

    @property
    def canonical(self) -> bytes:
        """All settings as JSON, those that have their default too."""
        return msgspec.json.encode(self, order="sorted")

    @cached_property
    def draws(self) -> str:
        """What exploration draws are keyed with."""
        return self.draw_key or self.version

    def admits(self, control_point: str, stream: Stream) -> bool:
        """Whether items of `stream` are inspected at `control_point`; the others are refused."""
        held = self.control_points.get(control_point)
        return held is not None and stream in held.streams

    def capacity_of(self, control_point: str) -> float:
        """The share of its items that a control point can inspect. Raises KeyError for an unknown one."""
        own = self.control_points[control_point].capacity_share
        return self.capacity_share if own is None else own

    def exploration_rate(self, control_point: str, learnt: int) -> float:
        """The probability that the uniform draw alone selects an item, given how many labels its model learnt from."""
        share = self.layers.exploration
        cold = self.cold_start
        if learnt < cold.labels:
            share += (cold.exploration - share) * (1.0 - learnt / cold.labels)
        return share * self.capacity_of(control_point)


def version_of(name: str, canonical: bytes) -> str:
    """The version of a policy of this name, from all of its settings as JSON."""
    return f"{name}+{blake2b(canonical, digest_size=5).hexdigest()}"


def read_policy(settings: Any) -> Policy:
    """A policy from decoded YAML (mappings, lists, numbers, texts). Raises `PolicyRefusedError`."""
    points = settings.get("control_points") if isinstance(settings, dict) else None
    where = ""
    try:
        for name, point in points.items() if isinstance(points, dict) else ():
            where = f"control_points: {name!r}: "  # msgspec's path does not say which of them
            msgspec.convert(name, ControlPoint)
            msgspec.convert(point, ControlPointPolicy)
        where = ""
        return msgspec.convert(settings, Policy)
    except (msgspec.ValidationError, ValueError) as problem:
        raise PolicyRefusedError(f"policy refused: {where}{problem}") from None
