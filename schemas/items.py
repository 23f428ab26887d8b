"""Items between the steps: a consignment, a parcel or a traveller, screened and then filtered.

These are internal topics. An item keeps the personal fields an officer needs (names), marked as such, because the
alert must show them; keys and hashes are pseudonyms (`Subject`).
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from schemas.marks import (
    CheckedCountry,
    CheckedLocode,
    Code,
    ControlPoint,
    Count,
    Fact,
    Fraction,
    Id,
    Kilograms,
    Origin,
    PersonalFullName,
    PersonalName,
    PersonalText,
    Text,
    TotalCount,
    TotalKilograms,
    Upstream,
    Utc,
)

Stream = Literal["manifests", "express-cargo", "passengers"]
Subject = Annotated[
    str, Meta(min_length=3, max_length=64, description="pseudonym: kind and a keyed hash, e.g. c:9f3a…")
]


class PriorRecord(Fact, frozen=True, kw_only=True):
    """What the record knows of a subject: a decayless count of learnt outcomes, by `profile_version`."""

    inspections: Count = 0
    seizures: Count = 0
    irregularities: Count = 0
    last_inspected_at: Utc | None = None
    last_seized_at: Utc | None = None
    categories: tuple[Code, ...] = ()


class RiskHit(Fact, frozen=True, kw_only=True):
    """An entry of the risk information that matched this item, and on what."""

    entry_id: Id
    version: int
    kind: Literal["watchlist", "intelligence", "trusted-trader"]
    matched: Code  # consignee, shipper, document, container, conveyance, route, heading
    strength: Fraction = 1.0  # 1 for an exact match, less for a similar name
    severity: Count = 1
    category: Code | None = None


class GoodsFacts(Fact, frozen=True, kw_only=True):
    """The goods of one item in common units: kilograms, US dollars at the reference rates, HS 2022 headings.

    Of several lines, the coded fields are those of the line with the greatest value; masses and values are sums.
    """

    hs6: Code
    description: Text = ""
    lines: Count = 1
    packages: TotalCount = 0
    gross_mass_kg: TotalKilograms = 0.0
    net_mass_kg: TotalKilograms | None = None
    value_usd: float = 0.0
    declared_value: float = 0.0
    currency: Code = "USD"
    origin: CheckedCountry = "ZZ"
    origin_marked: Code | None = None
    duty_rate_percent: float | None = None
    duty_regime: Code | None = None


class CargoFacts(Fact, frozen=True, kw_only=True):
    """A consignment or parcel, normalised. `consignee`, `shipper`, `declarant` are pseudonyms."""

    bill: Id
    consignee: Subject
    shipper: Subject
    declarant: Subject | None = None
    consignee_name: PersonalName
    shipper_name: PersonalName
    consignee_address: PersonalText | None = None
    carrier: Code
    mode: Code
    conveyance: Code | None = None
    departure: CheckedCountry
    port_of_loading: CheckedLocode | None = None
    goods: GoodsFacts
    containers: tuple[Code, ...] = ()
    process_type: Code | None = None
    import_type: Code | None = None
    import_use: Code | None = None
    payment_type: Code | None = None
    platform: Code | None = None
    list_cleared: bool = False


class TravellerFacts(Fact, frozen=True, kw_only=True):
    """A traveller on a journey, normalised. `document` is a pseudonym."""

    document: Subject
    name: PersonalFullName
    document_issuer: CheckedCountry
    document_kind: Code
    nationality: Annotated[CheckedCountry, Meta(extra_json_schema={"x-personal": True})]
    birth_year: Annotated[int, Meta(ge=1850, le=2200, extra_json_schema={"x-personal": True})]
    carrier: Code
    mode: Code
    journey: Id
    embarkation: CheckedLocode
    disembarkation: CheckedLocode
    itinerary: tuple[CheckedLocode, ...] = ()
    booked_hours_ahead: float | None = None
    payment: Code | None = None
    agency: Code | None = None
    one_way: bool = False
    party_size: Count = 1
    bags: Count = 0
    bag_mass_kg: Kilograms | None = None
    crew: bool = False
    document_days_left: int | None = None


class ItemScreened(Fact, tag_field="event", tag="ItemScreened", frozen=True, kw_only=True):
    """One item, normalised and checked, with what the record knows of its parties.

    `upstream` is the lodgement record. `due_at` is when the item would be released or arrives: decide before it.
    `quality` lists the checks that failed without making the item undecidable (`container-check-digit`, ...).
    """

    item_id: Id
    stream: Stream
    revision: Count = 0
    control_point: ControlPoint
    lodged_at: Utc
    due_at: Utc
    subject: Subject
    cargo: CargoFacts | None = None
    traveller: TravellerFacts | None = None
    prior: PriorRecord
    counterpart_prior: PriorRecord | None = None  # the shipper's
    hits: tuple[RiskHit, ...] = ()
    trusted: bool = False
    quality: tuple[Code, ...] = ()
    profile_version: int
    risk_information_version: int
    origin: Origin
    upstream: Upstream


class Monitored(Fact, frozen=True, kw_only=True):
    """What filtering has seen of the subject before this item, in event time.

    Counts include this item. Values in US dollars. `first_seen_hours` is 0 for a subject not seen in the horizon.
    """

    arrivals_1h: Count
    arrivals_24h: Count
    value_24h_usd: float
    shippers_24h: Count
    control_points_24h: Count
    first_seen_hours: float
    below_threshold_24h: Count  # items just below the de-minimis value: splitting


class CriterionHit(Fact, frozen=True, kw_only=True):
    """A targeting criterion that fired. `capped` hits are over the criterion's cap: shown, but without effect.

    `lane` is where a `direct` hit sends the item. `title` is the criterion's, for the people who read the decision.
    """

    criterion_id: Id
    version: int
    title: Text = ""
    action: Literal["direct", "boost", "whitelist"]
    weight: float = 0.0
    category: Code | None = None
    lane: Literal["yellow", "red"] = "red"
    capped: bool = False


class ItemFiltered(Fact, tag_field="event", tag="ItemFiltered", frozen=True, kw_only=True):
    """A screened item with indicators, criteria hits and an anomaly score: auto-cleared, or a candidate.

    `anomaly` is in [0, 1], the share of recent traffic of its kind that is less unusual.
    """

    item: ItemScreened
    monitored: Monitored
    indicators: tuple[Code, ...] = ()
    criteria: tuple[CriterionHit, ...] = ()
    anomaly: Fraction
    auto_cleared: bool
    criteria_version: int
    upstream: Upstream
