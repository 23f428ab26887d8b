"""Why an item scored as it did, in words an officer understands.

The model is additive, so the score in log-odds is exactly the sum of what each feature contributed. Contributions are
gathered by what they speak about (the heading, the route, the consignee's record), the weightiest are put into words,
and all the rest stands in one last line, so that the weights always sum to the log-odds. A reason says what
contributed to the score. It is not a cause, and docs/models.md says how often it names the true one.
"""

from __future__ import annotations

from collections.abc import Callable
from math import log

from agents.risk.usual import UsualValue
from schemas.decisions import Reason
from schemas.items import ItemFiltered

REMAINDER = "remainder"
TEXT_LENGTH = 512

Counts = Callable[[str], tuple[float, float]]
"""Decayed (positives, negatives) of a category."""

_SPOKEN = {
    "hs2": "chapter {}",
    "hs4": "heading {}",
    "hs6": "subheading {}",
    "origin": "origin {}",
    "departure": "departure from {}",
    "duty": "duty rate {} %",
    "regime": "duty regime {}",
    "mass": "mass band {}",
    "route": "route {}",
    "tariff": "tariff {}",
    "kg": "exactly {} kg",
    "loading": "loading port {}",
    "platform": "platform {}",
    "carrier": "carrier {}",
    "control-point": "control point {}",
    "consignee": "this consignee",
    "shipper": "this shipper",
    "declarant": "this declarant",
    "embarkation": "embarkation at {}",
    "journey-start": "a journey from {}",
    "start": "a journey from {}",
    "issuer": "a document of {}",
    "payment": "payment by {}",
    "agency": "agency {}",
    "indicator": "indicator {}",
    "quality": "failed check {}",
}

_QUANTITIES = {
    "log-mass": "the mass of {mass} kg",
    "log-value": "the declared value of {value} US dollars",
    "log-value-per-kg": "the declared value of {per_kg} US dollars per kg{usual}",
    "duty-rate": "the duty rate",
    "log-packages": "the number of packages",
    "record-inspections": "the number of earlier inspections of this party ({inspections})",
    "record-seizures": "earlier seizures from this party ({seizures})",
    "record-seizure-rate": "the seizure rate of this party ({seizures} of {inspections} inspections)",
    "shipper-record-inspections": "earlier inspections of the shipper",
    "shipper-record-seizures": "earlier seizures from the shipper",
    "shipper-record-seizure-rate": "the seizure rate of the shipper",
    "log-arrivals": "{arrivals} arrivals for this party within 24 hours",
    "log-first-seen-hours": "{first_seen}",
    "log-shippers": "{shippers} different shippers within 24 hours",
    "log-below-threshold": "{splitting} items just below the duty-free value within 24 hours",
    "log-value-24h": "the value that came for this party within 24 hours",
    "anomaly": "an unusual item: more so than {anomaly} of recent traffic",
    "log-booked-hours": "the time between booking and travel",
    "log-bag-mass": "the mass of the bags",
    "log-document-days": "the time the document is still valid",
}


def put_into_words(
    contributions: list[tuple[str, float]],
    log_odds: float,
    filtered: ItemFiltered,
    counts: Counts,
    usual: UsualValue,
    limit: int,
) -> tuple[Reason, ...]:
    """At most `limit` reasons, weightiest first, the remainder last; their weights sum to `log_odds`.

    `contributions` are (feature name, log-odds). What a category says as an attribute and as an outcome rate is one
    reason. Things that speak for the item (negative) stay in the remainder: an officer asks why it was chosen.
    """
    gathered: dict[str, float] = {}
    for name, contribution in contributions:
        about = name.removeprefix("rate:")
        gathered[about] = gathered.get(about, 0.0) + contribution
    ranked = sorted(gathered.items(), key=lambda entry: (-entry[1], entry[0]))
    reasons = []
    told = 0.0
    for about, weight in ranked[: max(limit - 1, 0)]:
        if weight <= 0.0:
            break
        reasons.append(
            Reason(code=_code(about), text=_text(about, filtered, counts, usual)[:TEXT_LENGTH], weight=weight)
        )
        told += weight
    reasons.append(
        Reason(code=REMAINDER, text="Everything else about the item, and the base rate", weight=log_odds - told)
    )
    return tuple(reasons)


def _code(about: str) -> str:
    return about.split("=", 1)[0][:32]


def _text(about: str, filtered: ItemFiltered, counts: Counts, usual: UsualValue) -> str:
    if "=" not in about:
        return _sentence(_QUANTITIES.get(about, about.replace("-", " ")).format_map(_numbers(filtered, usual)))
    level, _, value = about.partition("=")
    words = [
        _SPOKEN.get(part, part.replace("-", " ") + " {}").format(text)
        for part, text in zip(_parts(level), value.split("*"), strict=False)
    ]
    positives, negatives = counts(about)
    inspected = positives + negatives
    found = f": {positives:.1f} finds in {inspected:.1f} recent inspections" if inspected >= 0.05 else ""
    return _sentence(" with ".join(words) + found)


def _parts(level: str) -> list[str]:
    parts: list[str] = []
    for part in level.split("*"):
        parts.extend(
            {"route": ["departure", "origin"], "tariff": ["duty", "regime"]}.get(part, [part])
            if "*" in level
            else [part]
        )
    return parts


def _numbers(filtered: ItemFiltered, usual: UsualValue) -> dict[str, str]:
    item, seen = filtered.item, filtered.monitored
    goods = item.cargo.goods if item.cargo is not None else None
    mass = 0.0
    if goods is not None:
        mass = goods.net_mass_kg if goods.net_mass_kg is not None else goods.gross_mass_kg
    value = goods.value_usd if goods is not None else 0.0
    told = ""
    if goods is not None and mass > 0.0 and value > 0.0:
        told = usual.words(goods.hs6[:4], log(value) - log(mass))
    return {
        "mass": f"{mass:,.6g}",
        "value": f"{value:,.6g}",
        "per_kg": f"{value / mass:,.3g}" if mass > 0.0 else "unknown",
        "usual": told,
        "inspections": str(item.prior.inspections),
        "seizures": str(item.prior.seizures),
        "arrivals": str(seen.arrivals_24h),
        "shippers": str(seen.shippers_24h),
        "splitting": str(seen.below_threshold_24h),
        "first_seen": _first_seen(seen.first_seen_hours),
        "anomaly": f"{100.0 * filtered.anomaly:.0f} %",
    }


def _first_seen(hours: float) -> str:
    if hours <= 0.0:
        return "this party was not seen before"
    if hours < 48.0:
        return f"this party was first seen {hours:.0f} hours ago"
    return f"this party was first seen {hours / 24.0:.0f} days ago"


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]
