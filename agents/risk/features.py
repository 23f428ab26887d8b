"""What the models see of an item: a sparse description in words that an officer could read.

Three kinds of features leave this module. `attributes` are categories (`hs6=851712`), one-hot features of the linear
model. `levels` are categories at which outcomes are counted (`agents/risk/rates.py`), from a chapter with a mass band
down to the exact declaration, because what was found before at any of them speaks for what comes. `quantities` are
bounded numbers (logarithms of kilograms and dollars, prior records, traffic). A feature that is not known is
absent: absence is never a zero in disguise, and nothing here raises or yields a NaN, whatever an item holds.

Nationality, sex, age and birth year of travellers are not features, and neither is the language or country of a
name: Court of Justice of the EU, C-817/19 (Ligue des droits humains), and docs/models.md. The issuer of a document
says the nationality of nearly every holder, so it is not a feature either; nor are the checks that come of it
(`agents.quality.OF_ORIGIN`). What a traveller's model sees is the journey, the kind of document and how long it is
valid, and the booking.
"""

from __future__ import annotations

from functools import lru_cache
from math import isfinite, log, log1p
from typing import Final

import msgspec

from agents.quality import OF_ORIGIN
from schemas.items import CargoFacts, ItemFiltered, Monitored, PriorRecord, TravellerFacts

FEATURE_SCHEMA = 11
"""Raised when a name or a meaning below changes, or how models learn or are kept: snapshots of another schema are not
read."""

EXACT = "hs6*route*tariff*kg"
"""The whole declaration to the gram: only a lodger who repeats himself meets his own past there."""
EXACT_VALUE = "hs6*route*tariff*kg*value"
RATE: Final = "rate:"
"""What the features of outcome rates begin with."""
FLOW = "flow:"
"""The last of the levels, if there is one: what takes the same way. What was found there lately is kept as evidence."""
SURGE_LOOK = "surge-look"
"""In what is learnt from, never scored: the item was looked at because its flow was so many times its norm."""
PATROL_LOOK = "patrol-look"
"""The same: because nobody had looked for long at its flow of so many items a day."""
FLOW_KINDS = (
    "hs6*origin*loading*control-point*payment",
    "hs6*origin*loading*control-point*carrier",
    "agency*embarkation*control-point*carrier",
)
"""Of manifests, of parcels, of travellers."""
_MANIFEST_FLOW, _PARCEL_FLOW, _TRAVELLER_FLOW = (f"{FLOW}{kind}=" for kind in FLOW_KINDS)

RECORD, SHIPPER_RECORD = "record", "shipper-record"
"""What the quantities of prior records begin with."""
TIMES, EVIDENCE = "log-flow-times", "flow-evidence"
"""Quantities that selection adds, because it knows the traffic of each flow (`FlowTraffic.quantities`)."""

_HALF_OCTAVES = 2.0 / log(2.0)
_LINES: Final = 8192
"""Tariff lines on their routes whose words are kept, some 2 kB each."""
MOST = 1e15
"""Amounts above it count as it: more than any declared value, kilograms or price."""
_BANDS: Final = tuple(map(str, range(int(log(MOST) * _HALF_OCTAVES) + 2)))


def _rates(*kinds: str) -> tuple[str, ...]:
    return tuple(RATE + kind for kind in kinds)


_CARGO_LEVELS = (
    "hs4", "hs6", "hs2*mass", "hs4*mass", "hs6*mass", "hs4*origin", "hs6*origin", "hs6*route", "hs6*tariff",
    "route*tariff*mass", "hs6*route*tariff", "hs6*route*tariff*mass", EXACT, EXACT_VALUE, "hs6*origin*carrier",
    "hs6*origin*control-point", "consignee", "shipper",
)  # fmt: skip
_CARGO_RATES = {
    (manifest, loaded): _rates(*_CARGO_LEVELS, *(("hs6*loading",) if loaded else ()), FLOW + FLOW_KINDS[not manifest])
    for manifest in (True, False)
    for loaded in (True, False)
}
"""By whether it is a consignment of a manifest and whether its port of loading is known."""
_TRAVELLER_RATES = _rates(
    "embarkation", "agency", "agency*embarkation", "agency*payment", "agency*booked", "embarkation*payment",
    "agency*embarkation*payment", "agency*embarkation*booked", "agency*embarkation*carrier",
    "agency*embarkation*control-point", "journey-start*agency", FLOW + FLOW_KINDS[2],
)  # fmt: skip


class Description(msgspec.Struct, frozen=True, eq=False, gc=False):
    """The features of one item, in a fixed order; `quantities` by name, all finite.

    `rate_names` are the features that the outcome rates of the `levels` go by, in their order.
    `flows` are what its traffic is counted by at a control point (`agents/risk/flows.py`): first all of
    its kind at this control point, last what takes the same way, which is the last of the levels too.
    """

    attributes: list[str]
    levels: list[str]
    rate_names: tuple[str, ...]
    quantities: dict[str, float]
    flows: tuple[str, ...]

    def among(self, traffic: dict[str, float]) -> Description:
        """The same item with what its traffic says."""
        return Description(self.attributes, self.levels, self.rate_names, self.quantities | traffic, self.flows)

    def without_whole_declarations(self) -> Description:
        """The same item without the levels at which only an exact repetition meets its past."""
        kept = [(level, name) for level, name in zip(self.levels, self.rate_names, strict=True)
                if not level.startswith(EXACT)]  # fmt: skip
        levels, names = [level for level, _ in kept], tuple(name for _, name in kept)
        return Description(self.attributes, levels, names, self.quantities, self.flows)


def describe(filtered: ItemFiltered) -> Description:
    """Describe a filtered item. Cargo and travellers have different words; both share records and traffic."""
    item = filtered.item
    quantities: dict[str, float] = {}
    if item.cargo is not None:
        description = _cargo(item.cargo, item.control_point, item.stream == "manifests", quantities)
    elif item.traveller is not None:
        description = _traveller(item.traveller, item.control_point, quantities)
    else:
        description = Description([], [], (), quantities, ())
    attributes = description.attributes
    if item.prior.inspections:
        note_record(RECORD, item.prior, quantities)
    if item.counterpart_prior is not None and item.counterpart_prior.inspections:
        note_record(SHIPPER_RECORD, item.counterpart_prior, quantities)
    _traffic(filtered.monitored, quantities)
    for indicator in filtered.indicators:
        attributes.append("indicator=" + indicator)
    for check in item.quality:
        if check not in OF_ORIGIN:
            attributes.append("quality=" + check)
    if item.trusted:
        attributes.append("trusted=yes")
    return description


def _band(log_mass: float) -> str:
    """Half-octave of the mass: `0` up to 1 kg, then two bands for each doubling."""
    return _BANDS[int(log_mass * _HALF_OCTAVES) + 1] if log_mass > 0.0 else "0"


def _cargo(cargo: CargoFacts, point: str, manifest: bool, quantities: dict[str, float]) -> Description:
    goods = cargo.goods
    mass = goods.net_mass_kg if goods.net_mass_kg is not None else goods.gross_mass_kg
    value = goods.value_usd
    duty = goods.duty_rate_percent
    if duty is None or not isfinite(duty):
        rate = "none"
    else:
        rate = f"{duty:g}"
        quantities["duty-rate"] = (duty if duty < 1000.0 else 1000.0) * 0.1 if duty > 0.0 else 0.0
    band = "none"
    if mass > 0.0:
        log_mass = quantities["log-mass"] = log(mass if mass < MOST else MOST)
        band = _band(log_mass)
    if value > 0.0:
        log_value = quantities["log-value"] = log(value if value < MOST else MOST)
        if mass > 0.0:
            quantities["log-value-per-kg"] = log_value - log_mass
    if goods.packages > 1:
        quantities["log-packages"] = log(goods.packages)
    said = _declared(goods.hs6[:6], goods.origin, cargo.departure, rate, goods.duty_regime or "none")
    crossed = said.crossed
    kilograms = f"{mass:g}"
    consignee, shipper = "consignee=" + cargo.consignee, "shipper=" + cargo.shipper
    hs6_mass = said.hs6_mass + band
    here = said.control_point + point
    attributes = [
        *said.attributes,
        "mass=" + band,
        said.hs6_origin,
        hs6_mass,
        "carrier=" + cargo.carrier,
        "control-point=" + point,
        consignee,
        shipper,
    ]
    levels = [
        *said.goods,
        said.hs2_mass + band,
        said.hs4_mass + band,
        hs6_mass,
        *said.places,
        said.route_tariff_mass + band,
        said.hs6_route_tariff,
        said.hs6_route_tariff_mass + band,
        said.exact + kilograms,
        f"{said.exact_value}{kilograms}*{value:g}",
        f"hs6*origin*carrier={crossed}*{cargo.carrier}",
        here,
        consignee,
        shipper,
    ]
    loading = cargo.port_of_loading
    if loading is not None:
        attributes.append("loading=" + loading)
        levels.append(said.hs6_loading + loading)
    if cargo.declarant is not None:
        attributes.append("declarant=" + cargo.declarant)
    if cargo.platform is not None:
        attributes.append("platform=" + cargo.platform)
    if cargo.import_type is not None:
        attributes.append("import-type=" + cargo.import_type)
    if cargo.payment_type is not None:
        attributes.append("payment=" + cargo.payment_type)
    if goods.origin_marked is not None:
        attributes.append("origin-marked=" + goods.origin_marked)
    # Parcels are told apart by their courier; a carrier says little of the consignments that share its ship.
    if manifest:
        flow = f"{_MANIFEST_FLOW}{crossed}*{loading or 'none'}*{point}*{cargo.payment_type or 'none'}"
    else:
        flow = f"{_PARCEL_FLOW}{crossed}*{loading or 'none'}*{point}*{cargo.carrier}"
    levels.append(flow)
    return Description(attributes, levels, _CARGO_RATES[manifest, loading is not None], quantities, (here, flow))


class _Declared(msgspec.Struct, frozen=True, eq=False, gc=False):
    """What features say of a tariff line on its route: ready, or up to where the mass band or a place follows."""

    crossed: str
    attributes: tuple[str, ...]
    goods: tuple[str, str]
    hs6_origin: str
    places: tuple[str, ...]
    hs6_route_tariff: str
    hs2_mass: str
    hs4_mass: str
    hs6_mass: str
    route_tariff_mass: str
    hs6_route_tariff_mass: str
    exact: str
    exact_value: str
    control_point: str
    hs6_loading: str


@lru_cache(maxsize=_LINES)
def _declared(hs6: str, origin: str, departure: str, rate: str, regime: str) -> _Declared:
    """Kept, because traffic repeats itself: with the strings their hashes are kept, by which weights are found."""
    hs4, hs2 = hs6[:4], hs6[:2]
    # `route` is departure and origin together, `tariff` the duty rate and regime together.
    crossed = f"{hs6}*{origin}"
    route = f"{departure}*{origin}"
    tariff = f"{rate}*{regime}"
    way = f"{hs6}*{route}"
    full = f"{way}*{tariff}"
    hs4_said, hs6_said, hs6_origin = f"hs4={hs4}", f"hs6={hs6}", f"hs6*origin={crossed}"
    return _Declared(
        crossed=crossed,
        attributes=(
            f"hs2={hs2}",
            hs4_said,
            hs6_said,
            f"departure={departure}",
            f"origin={origin}",
            f"duty={rate}",
            f"regime={regime}",
            f"route={route}",
            f"tariff={tariff}",
        ),
        goods=(hs4_said, hs6_said),
        hs6_origin=hs6_origin,
        places=(f"hs4*origin={hs4}*{origin}", hs6_origin, f"hs6*route={way}", f"hs6*tariff={hs6}*{tariff}"),
        hs6_route_tariff=f"hs6*route*tariff={full}",
        hs2_mass=f"hs2*mass={hs2}*",
        hs4_mass=f"hs4*mass={hs4}*",
        hs6_mass=f"hs6*mass={hs6}*",
        route_tariff_mass=f"route*tariff*mass={route}*{tariff}*",
        hs6_route_tariff_mass=f"hs6*route*tariff*mass={full}*",
        exact=f"{EXACT}={full}*",
        exact_value=f"{EXACT_VALUE}={full}*",
        control_point=f"hs6*origin*control-point={crossed}*",
        hs6_loading=f"hs6*loading={hs6}*",
    )


def _traveller(traveller: TravellerFacts, point: str, quantities: dict[str, float]) -> Description:
    embarkation = traveller.embarkation
    payment = traveller.payment or "none"
    agency = traveller.agency or "none"
    start = traveller.itinerary[0] if traveller.itinerary else embarkation
    booked = "none"
    hours = traveller.booked_hours_ahead
    if hours is not None and hours >= 0.0:
        quantities["log-booked-hours"] = log1p(hours if hours < 1e5 else 1e5)
        booked = "late" if hours < 48.0 else "early"
    if traveller.bag_mass_kg is not None and traveller.bag_mass_kg > 0.0:
        quantities["log-bag-mass"] = log(min(traveller.bag_mass_kg, MOST))
    days = traveller.document_days_left
    if days is not None and days >= 0:
        quantities["log-document-days"] = log1p(days if days < 1e5 else 1e5)
    pair = agency + "*" + embarkation
    embarked, booked_by, both = "embarkation=" + embarkation, "agency=" + agency, "agency*embarkation=" + pair
    here = f"agency*embarkation*control-point={pair}*{point}"
    attributes = [
        embarked,
        "journey-start=" + start,
        "carrier=" + traveller.carrier,
        "control-point=" + point,
        "document-kind=" + traveller.document_kind,
        booked_by,
        "payment=" + payment,
        "booked=" + booked,
        "one-way=" + ("yes" if traveller.one_way else "no"),
        f"party={traveller.party_size if traveller.party_size < 5 else 5}",
        f"bags={traveller.bags if traveller.bags < 5 else 5}",
        "crew=" + ("yes" if traveller.crew else "no"),
        both,
    ]
    levels = [
        embarked,
        booked_by,
        both,
        "agency*payment=" + agency + "*" + payment,
        "agency*booked=" + agency + "*" + booked,
        "embarkation*payment=" + embarkation + "*" + payment,
        "agency*embarkation*payment=" + pair + "*" + payment,
        "agency*embarkation*booked=" + pair + "*" + booked,
        "agency*embarkation*carrier=" + pair + "*" + traveller.carrier,
        here,
        "journey-start*agency=" + start + "*" + agency,
    ]
    flow = f"{_TRAVELLER_FLOW}{pair}*{point}*{traveller.carrier}"
    levels.append(flow)
    return Description(attributes, levels, _TRAVELLER_RATES, quantities, (here, flow))


def note_record(prefix: str, prior: PriorRecord, quantities: dict[str, float]) -> None:
    """Add what a prior record says of a subject (`RECORD`) or a shipper (`SHIPPER_RECORD`)."""
    quantities[prefix + "-inspections"] = log1p(prior.inspections)
    quantities[prefix + "-seizures"] = log1p(prior.seizures)
    quantities[prefix + "-seizure-rate"] = min(prior.seizures / prior.inspections, 1.0)


def _traffic(seen: Monitored, quantities: dict[str, float]) -> None:
    if seen.arrivals_24h > 1:
        quantities["log-arrivals"] = log(seen.arrivals_24h)
    if seen.first_seen_hours > 0.0:
        hours = seen.first_seen_hours
        quantities["log-first-seen-hours"] = log1p(hours if hours < 1e6 else 1e6)
    if seen.shippers_24h > 1:
        quantities["log-shippers"] = log1p(seen.shippers_24h)
    if seen.below_threshold_24h:
        quantities["log-below-threshold"] = log1p(seen.below_threshold_24h)
