"""What the models see of an item: a sparse description in words that an officer could read.

Two kinds of features leave this module. `attributes` are categories (`hs6=851712`, `hs6*origin=851712*CN`): each is a
one-hot feature of the linear model and a level at which outcomes are counted (`agents/risk/rates.py`). `quantities`
are bounded numbers (logarithms of kilograms and dollars, prior records, traffic). A feature that is not known is
absent: absence is never a zero in disguise, and nothing here raises or yields a NaN, whatever an item holds.

Nationality, sex, age and birth year of travellers are not features, and neither is the language or country of a
name: Court of Justice of the EU, C-817/19 (Ligue des droits humains), and docs/models.md. What a traveller's model
sees is the journey, the document's issuer as a party to the journey, and the booking.
"""

from __future__ import annotations

from math import isfinite, log, log1p

from schemas.items import CargoFacts, ItemFiltered, Monitored, PriorRecord, TravellerFacts

FEATURE_SCHEMA = 1
"""Raised whenever a name or a meaning below changes: snapshots of models from another schema are not read."""

_LOG_2 = log(2.0)
_MAX = 1e15


class Description:
    """The features of one item. `attributes` in a fixed order; `quantities` by name, all finite."""

    __slots__ = ("attributes", "flows", "quantities")

    def __init__(self, attributes: list[str], quantities: dict[str, float], flows: tuple[str, ...]) -> None:
        self.attributes = attributes
        self.quantities = quantities
        self.flows = flows


def describe(filtered: ItemFiltered) -> Description:
    """Describe a filtered item. Cargo and travellers have different words; both share records and traffic."""
    item = filtered.item
    quantities: dict[str, float] = {}
    if item.cargo is not None:
        attributes, flows = _cargo(item.cargo, quantities)
    elif item.traveller is not None:
        attributes, flows = _traveller(item.traveller, quantities)
    else:
        attributes, flows = [], ()
    attributes.append("control-point=" + item.control_point)
    _record("record", item.prior, quantities)
    if item.counterpart_prior is not None:
        _record("shipper-record", item.counterpart_prior, quantities)
    _traffic(filtered.monitored, quantities)
    quantities["anomaly"] = filtered.anomaly if isfinite(filtered.anomaly) else 0.0
    for indicator in filtered.indicators:
        attributes.append("indicator=" + indicator)
    for check in item.quality:
        attributes.append("quality=" + check)
    if item.trusted:
        attributes.append("trusted=yes")
    return Description(attributes, quantities, flows)


def mass_band(kilograms: float) -> str:
    """Half-octave of the mass: `0` up to 1 kg, then two bands for each doubling; `none` when unknown."""
    if not kilograms > 0.0:
        return "none"
    if kilograms <= 1.0:
        return "0"
    return str(int(2.0 * log(min(kilograms, _MAX)) / _LOG_2) + 1)


def _cargo(cargo: CargoFacts, quantities: dict[str, float]) -> tuple[list[str], tuple[str, ...]]:
    goods = cargo.goods
    hs6 = goods.hs6[:6]
    hs4 = hs6[:4]
    origin = goods.origin
    departure = cargo.departure
    regime = goods.duty_regime or "none"
    mass = goods.net_mass_kg if goods.net_mass_kg is not None else goods.gross_mass_kg
    duty = goods.duty_rate_percent
    duty_text = "none" if duty is None or not isfinite(duty) else f"{duty:g}"
    band = mass_band(mass)
    # From here on, `route` is departure and origin together, `tariff` the duty rate and regime together.
    route = departure + "*" + origin
    tariff = duty_text + "*" + regime
    attributes = [
        "hs2=" + hs6[:2],
        "hs4=" + hs4,
        "hs6=" + hs6,
        "departure=" + departure,
        "origin=" + origin,
        "duty=" + duty_text,
        "regime=" + regime,
        "mass=" + band,
        "hs6*origin=" + hs6 + "*" + origin,
        "hs6*mass=" + hs6 + "*" + band,
        "hs2*mass=" + hs6[:2] + "*" + band,
        "hs4*mass=" + hs4 + "*" + band,
        "hs4*origin=" + hs4 + "*" + origin,
        "hs6*tariff=" + hs6 + "*" + tariff,
        "hs6*route=" + hs6 + "*" + route,
        "route*tariff*mass=" + route + "*" + tariff + "*" + band,
        "hs6*route*tariff=" + hs6 + "*" + route + "*" + tariff,
        "hs6*route*tariff*mass=" + hs6 + "*" + route + "*" + tariff + "*" + band,
        f"hs6*route*tariff*kg={hs6}*{route}*{tariff}*{mass:g}",
        "consignee=" + cargo.consignee,
        "shipper=" + cargo.shipper,
        "carrier=" + cargo.carrier,
        "mode=" + cargo.mode,
    ]
    if cargo.declarant is not None:
        attributes.append("declarant=" + cargo.declarant)
    if cargo.platform is not None:
        attributes.append("platform=" + cargo.platform)
    if cargo.port_of_loading is not None:
        attributes.append("loading=" + cargo.port_of_loading)
    if cargo.process_type is not None:
        attributes.append("process=" + cargo.process_type)
    if cargo.import_type is not None:
        attributes.append("import-type=" + cargo.import_type)
    if cargo.import_use is not None:
        attributes.append("import-use=" + cargo.import_use)
    if cargo.payment_type is not None:
        attributes.append("payment=" + cargo.payment_type)
    if goods.origin_marked is not None:
        attributes.append("origin-marked=" + goods.origin_marked)

    value = goods.value_usd
    if mass > 0.0:
        quantities["log-mass"] = log(min(mass, _MAX))
    if value > 0.0:
        quantities["log-value"] = log(min(value, _MAX))
        if mass > 0.0:
            quantities["log-value-per-kg"] = log(min(max(value / mass, 1e-9), _MAX))
    if duty is not None and isfinite(duty):
        quantities["duty-rate"] = min(max(duty, 0.0), 1000.0) / 10.0
    if goods.packages > 0:
        quantities["log-packages"] = log1p(goods.packages)
    flows = (
        "hs4*origin=" + hs4 + "*" + origin,
        "hs4*departure=" + hs4 + "*" + departure,
        "shipper=" + cargo.shipper,
    )
    return attributes, flows


def _traveller(traveller: TravellerFacts, quantities: dict[str, float]) -> tuple[list[str], tuple[str, ...]]:
    route = traveller.embarkation + "*" + traveller.disembarkation
    issuer = traveller.document_issuer
    payment = traveller.payment or "none"
    agency = traveller.agency or "none"
    start = traveller.itinerary[0] if traveller.itinerary else traveller.embarkation
    attributes = [
        "embarkation=" + traveller.embarkation,
        "journey-start=" + start,
        "route=" + route,
        "carrier=" + traveller.carrier,
        "issuer=" + issuer,
        "document-kind=" + traveller.document_kind,
        "payment=" + payment,
        "agency=" + agency,
        "one-way=" + ("yes" if traveller.one_way else "no"),
        "route*payment=" + route + "*" + payment,
        "start*agency=" + start + "*" + agency,
        "agency*payment=" + agency + "*" + payment,
        "start*payment=" + start + "*" + payment,
        "party=" + str(min(traveller.party_size, 5)),
        "bags=" + str(min(traveller.bags, 5)),
        "crew=" + ("yes" if traveller.crew else "no"),
    ]
    if traveller.booked_hours_ahead is not None and traveller.booked_hours_ahead >= 0.0:
        quantities["log-booked-hours"] = log1p(min(traveller.booked_hours_ahead, 1e5))
    if traveller.bag_mass_kg is not None and traveller.bag_mass_kg > 0.0:
        quantities["log-bag-mass"] = log(min(traveller.bag_mass_kg, _MAX))
    if traveller.document_days_left is not None and traveller.document_days_left >= 0:
        quantities["log-document-days"] = log1p(min(traveller.document_days_left, 1e5))
    flows = ("route*payment=" + route + "*" + payment, "start*agency=" + start + "*" + agency)
    return attributes, flows


def _record(prefix: str, prior: PriorRecord, quantities: dict[str, float]) -> None:
    if prior.inspections:
        quantities[prefix + "-inspections"] = log1p(prior.inspections)
        quantities[prefix + "-seizures"] = log1p(prior.seizures)
        quantities[prefix + "-seizure-rate"] = min(prior.seizures / prior.inspections, 1.0)


def _traffic(seen: Monitored, quantities: dict[str, float]) -> None:
    quantities["log-arrivals"] = log1p(seen.arrivals_24h)
    quantities["log-first-seen-hours"] = log1p(min(max(seen.first_seen_hours, 0.0), 1e6))
    if seen.shippers_24h > 1:
        quantities["log-shippers"] = log1p(seen.shippers_24h)
    if seen.below_threshold_24h:
        quantities["log-below-threshold"] = log1p(seen.below_threshold_24h)
    if seen.value_24h_usd > 0.0:
        quantities["log-value-24h"] = log1p(min(seen.value_24h_usd, _MAX))
