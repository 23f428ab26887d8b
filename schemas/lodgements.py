"""What lodgers send: manifests, express cargo and passengers, with the fields that the field uses.

Field names follow the WCO Data Model and the UN/CEFACT cargo messages where those have plain English names; express
data is the "7+1" advance set of ISO/ICAO/UPU pre-loading filing; passenger data is the API/PNR guidance of
WCO/IATA/ICAO (Doc 9944), reduced to what selection may lawfully use.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from schemas.marks import (
    Code,
    ControlPoint,
    Count,
    Country,
    Currency,
    Fact,
    HsCode,
    Id,
    Kilograms,
    Locode,
    Money,
    PersonalDate,
    PersonalId,
    PersonalName,
    PersonalText,
    Text,
    Utc,
)

TransportMode = Literal["sea", "air", "road", "rail", "post", "express"]


class Party(Fact, frozen=True, kw_only=True):
    """A consignee, shipper, seller, declarant or notify party; may be a natural person, so all of it is personal."""

    name: PersonalName
    identifier: PersonalId | None = None
    address: PersonalText | None = None
    country: Country | None = None


class Conveyance(Fact, frozen=True, kw_only=True):
    """The ship, aircraft, train or lorry, and the voyage."""

    mode: TransportMode
    name: Text | None = None
    identifier: Code | None = None  # IMO number, aircraft registration, plate of a company lorry
    voyage: Code | None = None


class GoodsLine(Fact, frozen=True, kw_only=True):
    """One line of goods. `declared_value` is the customs value of the line in `currency`."""

    hs_code: HsCode
    description: Text = ""
    packages: Count = 1
    package_kind: Code | None = None  # UN/ECE Recommendation 21
    gross_mass_kg: Kilograms
    net_mass_kg: Kilograms | None = None
    quantity: Annotated[float, Meta(ge=0, le=1e12)] | None = None
    declared_value: Money
    currency: Currency
    origin: Country
    origin_marked: Code | None = None  # how the country of origin is indicated on the goods
    duty_rate_percent: Annotated[float, Meta(ge=0, le=10000)] | None = None
    duty_regime: Code | None = None


class Procedure(Fact, frozen=True, kw_only=True):
    """The customs procedure asked for, in the codes of the administration."""

    process_type: Code | None = None
    import_type: Code | None = None
    import_use: Code | None = None
    payment_type: Code | None = None


class Container(Fact, frozen=True, kw_only=True):
    """A container by its ISO 6346 number, with seals."""

    number: Code
    seals: tuple[Code, ...] = ()
    size_type: Code | None = None


class Consignment(Fact, frozen=True, kw_only=True):
    """One house bill of a manifest."""

    house_bill: Id
    consignee: Party
    shipper: Party
    notify: Party | None = None
    declarant: Party | None = None
    departure: Country
    port_of_loading: Locode
    goods: Annotated[tuple[GoodsLine, ...], Meta(min_length=1, max_length=999)]
    containers: tuple[Container, ...] = ()
    procedure: Procedure | None = None
    revision: Count = 0


class ManifestLodged(Fact, tag_field="event", tag="ManifestLodged", frozen=True, kw_only=True):
    """A carrier lodged the manifest of one conveyance for one port of discharge."""

    manifest_id: Id
    lodged_at: Utc
    control_point: ControlPoint
    carrier: Code
    conveyance: Conveyance
    port_of_discharge: Locode
    eta: Utc
    consignments: Annotated[tuple[Consignment, ...], Meta(min_length=1, max_length=20000)]


class ListClearance(Fact, frozen=True, kw_only=True):
    """Simplified clearance by list: the courier's list and the line in it."""

    list_id: Id
    line: Count


class ExpressConsignmentLodged(Fact, tag_field="event", tag="ExpressConsignmentLodged", frozen=True, kw_only=True):
    """A courier lodged one parcel.

    The 7+1 advance fields: consignor name and address (`seller`), consignee name and address, packages, gross mass,
    goods description, and the waybill itself; the rest is what couriers commonly add.
    """

    waybill: Id
    lodged_at: Utc
    control_point: ControlPoint
    courier: Code
    mode: TransportMode = "express"
    seller: Party
    consignee: Party
    declarant: Party | None = None
    departure: Country
    port_of_loading: Locode | None = None
    eta: Utc
    goods: Annotated[tuple[GoodsLine, ...], Meta(min_length=1, max_length=99)]
    procedure: Procedure | None = None
    list_clearance: ListClearance | None = None
    platform: Code | None = None  # the marketplace it was bought on
    revision: Count = 0


class TravelDocument(Fact, frozen=True, kw_only=True):
    """The document a traveller uses, as read from its machine-readable zone (ICAO Doc 9303)."""

    kind: Literal["passport", "identity-card", "visa", "other"]
    number: PersonalId
    issuer: Country
    expires: PersonalDate | None = None


class Booking(Fact, frozen=True, kw_only=True):
    """Booking (PNR) fields that risk indicators use; no meal, seat, health or union fields are accepted."""

    locator: PersonalId | None = None
    booked_at: Utc | None = None
    payment: Literal["card", "cash", "transfer", "miles", "other"] | None = None
    agency: Code | None = None
    itinerary: tuple[Locode, ...] = ()
    one_way: bool = False
    party_size: Count = 1
    bags: Count = 0
    bag_mass_kg: Kilograms | None = None


class PassengerExpected(Fact, tag_field="event", tag="PassengerExpected", frozen=True, kw_only=True):
    """A carrier sent advance passenger information for one traveller on one journey.

    `passenger_reference` is the carrier's unique passenger reference of the API message: it tells two travellers of
    one journey apart without naming either.
    """

    journey_id: Id
    passenger_reference: Id
    lodged_at: Utc
    control_point: ControlPoint
    carrier: Code
    mode: TransportMode = "air"
    embarkation: Locode
    disembarkation: Locode
    eta: Utc
    document: TravelDocument
    family_name: PersonalName
    given_names: PersonalName | None = None
    birth_date: PersonalDate
    nationality: Annotated[Country, Meta(extra_json_schema={"x-personal": True})]
    gender: Annotated[Literal["F", "M", "X"], Meta(extra_json_schema={"x-personal": True})] | None = None
    crew: bool = False
    booking: Booking | None = None
    revision: Count = 0


Lodgement = ManifestLodged | ExpressConsignmentLodged | PassengerExpected
