"""What filtering notices about an item beside its score: the closed list of risk indicators, in plain words.

Indicators are facts for officers and models; none of them selects or clears an item by itself.
"""

from __future__ import annotations

from typing import Final

from agents.risk.policy import Policy
from schemas.items import ItemScreened, Monitored

SPLITTING: Final = "splitting"
BURST: Final = "burst"
MANY_SHIPPERS: Final = "many-shippers"
MANY_CONTROL_POINTS: Final = "many-control-points"
PRIOR_SEIZURE: Final = "prior-seizure"
PRIOR_IRREGULARITY: Final = "prior-irregularity"
SHIPPER_PRIOR_SEIZURE: Final = "shipper-prior-seizure"
LOADED_ELSEWHERE: Final = "loaded-elsewhere"
TRANSSHIPPED_ORIGIN: Final = "origin-elsewhere"
PAID_CASH: Final = "paid-cash"
BOOKED_LATE: Final = "booked-late"
BROKEN_ROUTE: Final = "broken-route"

MEANINGS: Final[dict[str, str]] = {
    SPLITTING: "At least three items of the consignee in 24 hours just below the de-minimis value.",
    BURST: "At least ten items of the subject in one hour.",
    MANY_SHIPPERS: "At least five shippers to the consignee in 24 hours.",
    MANY_CONTROL_POINTS: "At least three control points in 24 hours.",
    PRIOR_SEIZURE: "A seizure from the consignee or traveller is on record.",
    PRIOR_IRREGULARITY: "An irregularity of the consignee or traveller is on record.",
    SHIPPER_PRIOR_SEIZURE: "A seizure from the shipper is on record.",
    LOADED_ELSEWHERE: "Loaded in another country than that of departure.",
    TRANSSHIPPED_ORIGIN: "Made in another country than that of departure.",
    PAID_CASH: "The ticket was paid in cash.",
    BOOKED_LATE: "Booked less than 24 hours before arrival.",
    BROKEN_ROUTE: "The traveller embarks at a place that is not in the booked itinerary.",
}

JUST_BELOW: Final = 0.75
"""From this share of the de-minimis value up to it, a value is just below it."""


def just_below(value_usd: float, policy: Policy) -> bool:
    """Whether a value is just below the de-minimis value: where a split consignment's parts lie."""
    return JUST_BELOW * policy.de_minimis_usd <= value_usd <= policy.de_minimis_usd


def indicators(item: ItemScreened, seen: Monitored) -> tuple[str, ...]:
    """The indicators that an item shows, in the order of the list."""
    found: list[str] = []
    if seen.arrivals_24h > 1:
        if seen.below_threshold_24h >= 3:
            found.append(SPLITTING)
        if seen.arrivals_1h >= 10:
            found.append(BURST)
        if seen.shippers_24h >= 5:
            found.append(MANY_SHIPPERS)
        if seen.control_points_24h >= 3:
            found.append(MANY_CONTROL_POINTS)
    prior, other = item.prior, item.counterpart_prior
    if prior.seizures:
        found.append(PRIOR_SEIZURE)
    if prior.irregularities:
        found.append(PRIOR_IRREGULARITY)
    if other is not None and other.seizures:
        found.append(SHIPPER_PRIOR_SEIZURE)
    if (cargo := item.cargo) is not None:
        if cargo.port_of_loading is not None and cargo.port_of_loading[:2] != cargo.departure:
            found.append(LOADED_ELSEWHERE)
        if cargo.goods.origin != cargo.departure:
            found.append(TRANSSHIPPED_ORIGIN)
    elif (traveller := item.traveller) is not None:
        if traveller.payment == "cash":
            found.append(PAID_CASH)
        if traveller.booked_hours_ahead is not None and traveller.booked_hours_ahead < 24.0:
            found.append(BOOKED_LATE)
        if traveller.itinerary and traveller.embarkation not in traveller.itinerary:
            found.append(BROKEN_ROUTE)
    return tuple(found)
