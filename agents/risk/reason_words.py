"""The words of the reasons: what an attribute, a level or a quantity is called where items are inspected.

Codes stay codes (an officer reads `heading 8517` faster than its title); bands become amounts, hours become days, and
names of features never show.
"""

from __future__ import annotations

from collections.abc import Callable
from math import log
from typing import Final

from agents.risk.features import EVIDENCE, FLOW, TIMES
from agents.risk.usual import UsualValue
from schemas.items import ItemFiltered

Say = Callable[[ItemFiltered, UsualValue], str]

_NOT_STATED: Final = "none"

_PARTS: Final = {
    "hs2": "chapter {}",
    "hs4": "heading {}",
    "hs6": "subheading {}",
    "origin": "origin {}",
    "departure": "departure from {}",
    "duty": "duty rate {} %",
    "regime": "duty regime {}",
    "kg": "exactly {} kg",
    "value": "exactly {} US dollars",
    "loading": "loaded at {}",
    "platform": "platform {}",
    "carrier": "carrier {}",
    "control-point": "control point {}",
    "consignee": "this consignee",
    "shipper": "this shipper",
    "declarant": "this declarant",
    "import-type": "import type {}",
    "origin-marked": "origin marking {}",
    "embarkation": "embarkation at {}",
    "journey-start": "a journey that began at {}",
    "document-kind": "document of kind {}",
    "payment": "paid by {}",
    "agency": "booked at agency {}",
    "booked": "booked {}",
    "party": "a party of {}",
    "bags": "{} bags",
    "indicator": "indicator {}",
    "quality": "failed check {}",
}
_UNSTATED: Final = {
    "mass": "no mass stated",
    "duty": "no duty rate stated",
    "regime": "no duty regime stated",
    "payment": "payment not stated",
    "agency": "booked at no agency",
    "booked": "time of booking not stated",
}
_WHOLE: Final = {
    "one-way=yes": "a one-way journey",
    "one-way=no": "a return journey",
    "crew=yes": "crew",
    "crew=no": "not crew",
    "trusted=yes": "a trusted trader",
    "booked=late": "booked within 48 hours of travel",
    "booked=early": "booked more than 48 hours before travel",
    "party=5": "a party of 5 or more",
    "bags=5": "5 bags or more",
    "bags=1": "1 bag",
    "party=1": "travelling alone",
}
_AMOUNTS: Final = {"kg", "value"}
_OF_ANY_FORM: Final = {"regime", "agency", "carrier", "payment"}
"""Parts that are a lodger's own code, which may hold the mark that stands between parts."""
_MOST_WRITTEN_OUT: Final = 1e15
_TOGETHER: Final = {"route": ("departure", "origin"), "tariff": ("duty", "regime")}


def category_words(category: str) -> str:
    """What an attribute or a level is called: `subheading 851712, origin CN`."""
    level, _, value = category.removeprefix(FLOW).partition("=")
    parts: list[str] = []
    for part in level.split("*"):
        parts.extend(_TOGETHER.get(part, (part,)))
    return ", ".join([_part_words(*both) for both in zip(parts, _values(parts, value), strict=False)])


def quantity_words(name: str, filtered: ItemFiltered, usual: UsualValue) -> str:
    """What a quantity of an item says."""
    say = _QUANTITIES.get(name)
    return name.replace("-", " ") if say is None else say(filtered, usual)


def shown_record(finds: float, inspected: float) -> tuple[int, int]:
    """Finds and inspections as they are told. Counts fade, so they are rounded."""
    looked = round(inspected)
    return min(round(finds), looked), looked


def record_words(finds: int, inspected: int) -> str:
    """`: 3 finds in 12 recent inspections`, or nothing where nobody looked."""
    if not inspected:
        return ""
    found = "1 find" if finds == 1 else f"{finds} finds"
    return f": {found} in {inspected} recent inspection{'' if inspected == 1 else 's'}"


def _values(parts: list[str], value: str) -> list[str]:
    """What stands for each part: `851712*HK*CN*8*A*B*5` is of duty regime `A*B`."""
    values = value.split("*")
    if len(values) > len(parts):
        first = next((place for place, part in enumerate(parts) if part in _OF_ANY_FORM), len(parts) - 1)
        over = first + len(values) - len(parts) + 1
        values[first:over] = ["*".join(values[first:over])]
    return values


def _part_words(part: str, value: str) -> str:
    whole = _WHOLE.get(f"{part}={value}")
    if whole is not None:
        return whole
    if value == _NOT_STATED and part in _UNSTATED:
        return _UNSTATED[part]
    if part == "mass":
        return _band_words(value)
    if part in _AMOUNTS:
        value = _written_out(float(value))
    return _PARTS.get(part, part.replace("-", " ") + " {}").replace("{}", value)


def _band_words(band: str) -> str:
    """A half-octave of mass as kilograms."""
    if band == "0" or not band.isdigit():
        return "at most 1 kg"
    step = int(band)
    return f"between {_figure(2.0 ** ((step - 1) / 2))} and {_figure(2.0 ** (step / 2))} kg"


def _mass(filtered: ItemFiltered) -> float:
    cargo = filtered.item.cargo
    if cargo is None:
        return 0.0
    goods = cargo.goods
    return goods.net_mass_kg if goods.net_mass_kg is not None else goods.gross_mass_kg


def _value(filtered: ItemFiltered) -> float:
    cargo = filtered.item.cargo
    return cargo.goods.value_usd if cargo is not None else 0.0


def _value_per_kg(filtered: ItemFiltered, usual: UsualValue) -> str:
    cargo, mass, value = filtered.item.cargo, _mass(filtered), _value(filtered)
    if cargo is None or not mass > 0.0 or not value > 0.0:
        return "value per kg not known"
    told = usual.words(cargo.goods.hs6[:4], log(value) - log(mass))
    return f"value per kg {told or 'declared'}: {_figure(value / mass)} US dollars"


def _packages(filtered: ItemFiltered, _: UsualValue) -> str:
    cargo = filtered.item.cargo
    return f"{cargo.goods.packages} packages" if cargo is not None else "the packages"


def _duty(filtered: ItemFiltered, _: UsualValue) -> str:
    cargo = filtered.item.cargo
    rate = cargo.goods.duty_rate_percent if cargo is not None else None
    return "the duty rate" if rate is None else f"duty rate of {_figure(rate)} %"


def _party(filtered: ItemFiltered) -> str:
    return "traveller" if filtered.item.traveller is not None else "consignee"


def _first_seen(filtered: ItemFiltered, _: UsualValue) -> str:
    hours, who = filtered.monitored.first_seen_hours, _party(filtered)
    if hours <= 0.0:
        return f"{who} not seen before"
    return f"{who} first seen {_time(hours)} ago"


def _record(filtered: ItemFiltered, _: UsualValue) -> str:
    prior = filtered.item.prior
    return _record_of(_party(filtered), prior.seizures, prior.inspections)


def _shipper_record(filtered: ItemFiltered, _: UsualValue) -> str:
    prior = filtered.item.counterpart_prior
    return _record_of("shipper", prior.seizures, prior.inspections) if prior is not None else "record of the shipper"


def _record_of(who: str, seizures: int, inspections: int) -> str:
    return f"{who} had {_number(seizures, 'seizure')} in {_number(inspections, 'inspection')}"


def _document(filtered: ItemFiltered, _: UsualValue) -> str:
    traveller = filtered.item.traveller
    days = traveller.document_days_left if traveller is not None else None
    return "validity of the document" if days is None else f"document valid for {_number(int(days), 'more day')}"


def _booked(filtered: ItemFiltered, _: UsualValue) -> str:
    traveller = filtered.item.traveller
    hours = traveller.booked_hours_ahead if traveller is not None else None
    if hours is None:
        return "time of booking"
    return f"booked {_time(hours)} before travel"


def _bags(filtered: ItemFiltered, _: UsualValue) -> str:
    traveller = filtered.item.traveller
    mass = traveller.bag_mass_kg if traveller is not None else None
    return "mass of the bags" if mass is None else f"bags of {_figure(mass)} kg"


def _figure(value: float) -> str:
    """An amount for people: whole from 100 on, three figures below."""
    return _written_out(float(f"{value:.0f}" if value >= 100.0 else f"{value:.3g}"))


def _written_out(value: float) -> str:
    """All figures of a number, none of them as a power of ten: 1,620 and not 1.62e+03."""
    return f"{value:,.12f}".rstrip("0").rstrip(".") if value < _MOST_WRITTEN_OUT else f"{value:.3g}"


def _time(hours: float) -> str:
    return _number(round(hours), "hour") if hours < 48.0 else _number(round(min(hours, 1e7) / 24.0), "day")


def _number(count: int, what: str) -> str:
    return f"{count:,} {what}" if count == 1 else f"{count:,} {what}s"


def _traffic(_: ItemFiltered, __: UsualValue) -> str:
    return "how much like this came lately, against what is usual"


_QUANTITIES: Final[dict[str, Say]] = {
    "log-mass": lambda filtered, _: f"mass of {_figure(_mass(filtered))} kg",
    "log-value": lambda filtered, _: f"declared value of {_figure(_value(filtered))} US dollars",
    "log-value-per-kg": _value_per_kg,
    "duty-rate": _duty,
    "log-packages": _packages,
    "record-inspections": _record,
    "record-seizures": _record,
    "record-seizure-rate": _record,
    "shipper-record-inspections": _shipper_record,
    "shipper-record-seizures": _shipper_record,
    "shipper-record-seizure-rate": _shipper_record,
    "log-arrivals": lambda filtered, _: (
        f"{filtered.monitored.arrivals_24h:,} arrivals for this {_party(filtered)} within 24 hours"
    ),
    "log-first-seen-hours": _first_seen,
    "log-shippers": lambda filtered, _: f"{filtered.monitored.shippers_24h:,} different shippers within 24 hours",
    "log-below-threshold": lambda filtered, _: (
        f"{filtered.monitored.below_threshold_24h:,} items just below the duty-free value within 24 hours"
    ),
    TIMES: _traffic,
    EVIDENCE: _traffic,  # said once, the weightier of the two
    "log-booked-hours": _booked,
    "log-bag-mass": _bags,
    "log-document-days": _document,
}
