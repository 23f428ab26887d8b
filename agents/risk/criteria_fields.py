"""The words of the criteria language: every field of an item that a criterion may ask about, by stream.

`docs/criteria.md` is written from this table. Nationality, sex and age of travellers are not in it: a criterion may
not single out persons by them (docs/security-and-privacy.md).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal
from unicodedata import normalize

from agents.risk.normalise import without_unseen
from schemas.items import Stream

FieldType = Literal["text", "number", "flag", "date", "texts"]

ALL: tuple[Stream, ...] = ("manifests", "express-cargo", "passengers")
CARGO: tuple[Stream, ...] = ("manifests", "express-cargo")
TRAVELLERS: tuple[Stream, ...] = ("passengers",)


@dataclass(frozen=True, slots=True)
class Field:
    """One word. `source` is the Python expression that reads it, over the names of `criteria_compiler`.

    Dates are read as seconds since the epoch. `may_miss`: the value may be absent; a comparison with an absent value
    is false.
    """

    name: str
    type: FieldType
    streams: tuple[Stream, ...]
    source: str
    meaning: str
    may_miss: bool = False


_BLANKS = re.compile(r"\s+")


@lru_cache(maxsize=16_384)
def folded(text: str) -> str:
    """A text as a criterion compares it, however it was typed: lower case, composed, in characters of plain width, with
    single blanks and without what is not seen. The same few thousand descriptions come again and again.
    """
    text = without_unseen(text)
    if not text.isascii():
        text = without_unseen(normalize("NFKC", normalize("NFKC", text).casefold()))
    return _BLANKS.sub(" ", text.lower())


def _fields() -> tuple[Field, ...]:
    every = (
        ("control_point", "text", "item.control_point", "Customs office of entry."),
        ("lodged_at", "date", "lodged.timestamp()", "When the item was lodged (event time)."),
        ("hour", "number", "lodged.hour", "Hour of the day of `lodged_at`, UTC, 0 to 23."),
        (
            "weekday",
            "number",
            "lodged.isoweekday()",
            "Day of the week of `lodged_at`, UTC, 1 Monday to 7 Sunday.",
        ),
        ("revision", "number", "item.revision", "0 for the first lodgement of an item, more for its amendments."),
        ("quality", "texts", "item.quality", "Checks that failed (`zero-mass`, `container-check-digit`, ...)."),
        ("hits", "texts", "[hit.kind for hit in item.hits]", "Kinds of the risk information entries that matched."),
        ("hit_categories", "texts", "[hit.category for hit in item.hits if hit.category]", "Their categories."),
        ("trusted", "flag", "item.trusted", "The consignee is a trusted trader."),
        ("anomaly", "number", "anomaly", "Share of recent traffic of its stream that is less unusual, 0 to 1."),
        ("arrivals_1h", "number", "seen.arrivals_1h", "Items of the same consignee or traveller in 1 hour, with this."),
        ("arrivals_24h", "number", "seen.arrivals_24h", "The same in 24 hours."),
        ("control_points_24h", "number", "seen.control_points_24h", "Control points of these."),
        ("first_seen_hours", "number", "seen.first_seen_hours", "Hours since the first of these; 0 for the first."),
    )
    cargo = (
        ("hs2", "text", "goods.hs6[:2]", "HS chapter of the line with the greatest value."),
        ("hs4", "text", "goods.hs6[:4]", "Its HS heading."),
        ("hs6", "text", "goods.hs6", "Its HS subheading."),
        ("description", "text", "folded(goods.description)", "Its description, in lower case."),
        ("lines", "number", "goods.lines", "Goods lines of the consignment."),
        ("packages", "number", "goods.packages", "Packages of all lines."),
        ("gross_mass_kg", "number", "goods.gross_mass_kg", "Gross mass of all lines, kilograms."),
        ("value_usd", "number", "goods.value_usd", "Declared value of all lines, US dollars at the reference rates."),
        ("declared_value", "number", "goods.declared_value", "Declared value of the greatest line, in `currency`."),
        ("currency", "text", "goods.currency", "Currency of the greatest line, ISO 4217."),
        ("origin", "text", "goods.origin", "Country of origin of the greatest line."),
        ("departure", "text", "cargo.departure", "Country of departure."),
        ("carrier", "text", "cargo.carrier", "Carrier or courier."),
        ("mode", "text", "cargo.mode", "Mode of transport."),
        ("bill", "text", "cargo.bill", "House bill or waybill."),
        ("consignee", "text", "cargo.consignee", "Pseudonym of the consignee, as decisions show it."),
        ("shipper", "text", "cargo.shipper", "Pseudonym of the shipper."),
        ("containers", "texts", "cargo.containers", "Container numbers."),
        ("list_cleared", "flag", "cargo.list_cleared", "Cleared by a courier's list."),
        ("value_24h_usd", "number", "seen.value_24h_usd", "Value of the consignee's items in 24 hours, with this."),
        ("shippers_24h", "number", "seen.shippers_24h", "Different shippers of these."),
        ("below_threshold_24h", "number", "seen.below_threshold_24h", "How many of these are just below de minimis."),
    )
    cargo_may_miss = (
        ("net_mass_kg", "number", "goods.net_mass_kg", "Net mass of all lines, kilograms, if each declares it."),
        ("value_per_kg_usd", "number", "value_per_kg", "`value_usd` for each kilogram, net mass if declared."),
        ("origin_marked", "text", "goods.origin_marked", "How the origin is marked on the goods."),
        ("duty_rate_percent", "number", "goods.duty_rate_percent", "Duty rate of the greatest line."),
        ("duty_regime", "text", "goods.duty_regime", "Its duty regime."),
        ("port_of_loading", "text", "cargo.port_of_loading", "UN/LOCODE of the port of loading."),
        ("conveyance", "text", "cargo.conveyance", "IMO number, registration or plate."),
        ("declarant", "text", "cargo.declarant", "Pseudonym of the declarant."),
        ("process_type", "text", "cargo.process_type", "Process type of the procedure."),
        ("import_type", "text", "cargo.import_type", "Import type of the procedure."),
        ("import_use", "text", "cargo.import_use", "Use of the goods in the procedure."),
        ("payment_type", "text", "cargo.payment_type", "How duty is paid."),
        ("platform", "text", "cargo.platform", "The marketplace it was bought on."),
    )
    travellers = (
        ("document_issuer", "text", "traveller.document_issuer", "Country that issued the document."),
        ("document_kind", "text", "traveller.document_kind", "passport, identity-card, visa or other."),
        ("document", "text", "traveller.document", "Pseudonym of the document."),
        ("carrier", "text", "traveller.carrier", "Carrier."),
        ("mode", "text", "traveller.mode", "Mode of transport."),
        ("journey", "text", "traveller.journey", "Journey id."),
        ("embarkation", "text", "traveller.embarkation", "UN/LOCODE of embarkation."),
        ("disembarkation", "text", "traveller.disembarkation", "UN/LOCODE of disembarkation."),
        ("itinerary", "texts", "traveller.itinerary", "UN/LOCODEs of the booked itinerary."),
        ("one_way", "flag", "traveller.one_way", "A one-way ticket."),
        ("party_size", "number", "traveller.party_size", "Travellers in the booking."),
        ("bags", "number", "traveller.bags", "Checked bags."),
        ("crew", "flag", "traveller.crew", "A member of the crew."),
    )
    travellers_may_miss = (
        ("booked_hours_ahead", "number", "traveller.booked_hours_ahead", "Hours from booking to arrival."),
        ("payment", "text", "traveller.payment", "card, cash, transfer, miles or other."),
        ("agency", "text", "traveller.agency", "Travel agency."),
        ("bag_mass_kg", "number", "traveller.bag_mass_kg", "Mass of the checked bags, kilograms."),
        ("document_days_left", "number", "traveller.document_days_left", "Days from arrival (UTC) to its expiry."),
    )
    table = [Field(name, kind, ALL, source, text) for name, kind, source, text in _typed(every)]
    table += [Field(name, kind, CARGO, source, text) for name, kind, source, text in _typed(cargo)]
    table += [Field(name, kind, CARGO, source, text, True) for name, kind, source, text in _typed(cargo_may_miss)]
    table += _record("consignee", CARGO, "prior", "the consignee")
    table += _record("shipper", CARGO, "other", "the shipper")
    table += [Field(name, kind, TRAVELLERS, source, text) for name, kind, source, text in _typed(travellers)]
    table += [
        Field(name, kind, TRAVELLERS, source, text, True) for name, kind, source, text in _typed(travellers_may_miss)
    ]
    table += _record("traveller", TRAVELLERS, "prior", "the traveller's document")
    return tuple(table)


def _typed(rows: tuple[tuple[str, str, str, str], ...]) -> list[tuple[str, FieldType, str, str]]:
    types: dict[str, FieldType] = {
        "text": "text",
        "number": "number",
        "flag": "flag",
        "date": "date",
        "texts": "texts",
    }
    return [(name, types[kind], source, meaning) for name, kind, source, meaning in rows]


def _record(of: str, streams: tuple[Stream, ...], source: str, whose: str) -> list[Field]:
    seized_at = f"{source}.last_seized_at.timestamp() if {source}.last_seized_at is not None else None"
    return [
        Field(f"{of}.inspections", "number", streams, f"{source}.inspections", f"Inspections of {whose} on record."),
        Field(f"{of}.seizures", "number", streams, f"{source}.seizures", "Seizures among them."),
        Field(f"{of}.irregularities", "number", streams, f"{source}.irregularities", "Irregularities among them."),
        Field(f"{of}.categories", "texts", streams, f"{source}.categories", "Categories of what was found."),
        Field(f"{of}.last_seized_at", "date", streams, seized_at, "The latest seizure.", True),
    ]


FIELDS: tuple[Field, ...] = _fields()


def fields_of(stream: Stream) -> dict[str, Field]:
    """The fields of a stream's items by name, in the order of the table."""
    return {field.name: field for field in FIELDS if stream in field.streams}
