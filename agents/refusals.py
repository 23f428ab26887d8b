"""Why a record, or one item in it, is dead-lettered. A closed list: each slug is a metric label and is documented.

A refusal is for what cannot be decided. What is merely odd (a wrong check digit) is a quality indicator of the item
(`agents/screening.py`) and is decided with the rest.
"""

from __future__ import annotations

from typing import Final

# What the bytes are (schemas/codec.py finds these).
EMPTY_VALUE: Final = "empty-value"
NOT_JSON: Final = "not-json"
INVALID_FIELD: Final = "invalid-field"
UNKNOWN_SCHEMA_VERSION: Final = "unknown-schema-version"
OVERSIZED: Final = "oversized"

# What a lodgement says (screening).
UNKNOWN_CONTROL_POINT: Final = "unknown-control-point"
CLOCK_AHEAD: Final = "clock-ahead"
UNKNOWN_COUNTRY: Final = "unknown-country"
UNKNOWN_PORT: Final = "unknown-port"
UNKNOWN_CURRENCY: Final = "unknown-currency"
UNKNOWN_HEADING: Final = "unknown-heading"
DUPLICATE_HOUSE_BILL: Final = "duplicate-house-bill"
IMPOSSIBLE_DATE: Final = "impossible-date"
IMPOSSIBLE_AMOUNT: Final = "impossible-amount"
BLANK_NAME: Final = "blank-name"

# What came before it (filtering).
DUPLICATE_LODGEMENT: Final = "duplicate-lodgement"
SUPERSEDED_REVISION: Final = "superseded-revision"

# What a result says (re-evaluation).
NO_MATCHING_ALERT: Final = "no-matching-alert"
ALREADY_RESOLVED: Final = "already-resolved"
OTHER_CONTROL_POINT: Final = "other-control-point"

MEANINGS: Final[dict[str, str]] = {
    EMPTY_VALUE: "The record has no value (a tombstone on a topic that has none).",
    NOT_JSON: "The value is not one JSON document in UTF-8.",
    INVALID_FIELD: "A field is missing, of the wrong type or out of bounds; the field is named.",
    UNKNOWN_SCHEMA_VERSION: "The event type or its version is not one that this topic carries.",
    OVERSIZED: "The record is larger than a lodgement may be.",
    UNKNOWN_CONTROL_POINT: "The control point is not in the policy: nobody could inspect there.",
    CLOCK_AHEAD: "lodged_at is more than 15 minutes ahead of the record's own timestamp.",
    UNKNOWN_COUNTRY: "Not an ISO 3166-1 country code, nor one of the codes that customs use beside it.",
    UNKNOWN_PORT: "The first two letters of the UN/LOCODE are not a country.",
    UNKNOWN_CURRENCY: "Not an ISO 4217 currency with a reference rate: the value cannot be known.",
    UNKNOWN_HEADING: "The HS code's chapter is not in HS 2022.",
    DUPLICATE_HOUSE_BILL: "The house bill stands in this manifest already; the first one is decided.",
    IMPOSSIBLE_DATE: "A date that is not in the calendar, or no person could have been born on.",
    IMPOSSIBLE_AMOUNT: "A mass, value or count that is not a finite number.",
    BLANK_NAME: "A name without a single letter or digit: there is nobody to screen.",
    DUPLICATE_LODGEMENT: "The same item with the same revision was lodged before within the horizon.",
    SUPERSEDED_REVISION: "A higher revision of the item was seen already.",
    NO_MATCHING_ALERT: "No open alert has the decision id of this result.",
    ALREADY_RESOLVED: "The alert has a result already, and this one does not correct it.",
    OTHER_CONTROL_POINT: "The result comes from another control point than the alert went to.",
}
