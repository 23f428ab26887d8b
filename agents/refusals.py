"""Why a record, or one item in it, is dead-lettered. A closed list: each slug is a metric label and is documented.

A refusal is for what cannot be decided; the reasons of `schemas.codec` (bytes that cannot be read) are among them.
What is merely odd (a wrong check digit) is a quality indicator of the item (`agents/quality.py`).
"""

from __future__ import annotations

from typing import Final

# What a lodgement says (screening).
UNKNOWN_CONTROL_POINT: Final = "unknown-control-point"
CLOCK_AHEAD: Final = "clock-ahead"
UNKNOWN_COUNTRY: Final = "unknown-country"
UNKNOWN_PORT: Final = "unknown-port"
UNKNOWN_CURRENCY: Final = "unknown-currency"
UNKNOWN_HEADING: Final = "unknown-heading"
DUPLICATE_HOUSE_BILL: Final = "duplicate-house-bill"
IMPOSSIBLE_DATE: Final = "impossible-date"
BLANK_NAME: Final = "blank-name"

# What came before it (filtering).
DUPLICATE_LODGEMENT: Final = "duplicate-lodgement"
SUPERSEDED_REVISION: Final = "superseded-revision"

# What the models say of it (selection).
NO_SCORE: Final = "no-score"

# What a result says (re-evaluation).
NO_MATCHING_ALERT: Final = "no-matching-alert"
ALREADY_RESOLVED: Final = "already-resolved"
OTHER_CONTROL_POINT: Final = "other-control-point"
NOTHING_TO_CORRECT: Final = "nothing-to-correct"

MEANINGS: Final[dict[str, str]] = {
    "unreadable-record": "Its batch cannot be parsed, or unpacks to more than 16 MiB; `dlq-error` says which.",
    "null-value": "The record has no value, on a topic where that means nothing.",
    "empty-value": "The value has no bytes.",
    "too-large": "The value has more bytes than a record may have.",
    "not-json": "The value is not one JSON document in UTF-8, or is nested too deeply.",
    "not-a-number": "NaN or Infinity, which JSON does not have.",
    "unknown-schema-version": "The event type or its version is not one that this topic carries.",
    "missing-field": "A required field is missing; it is named.",
    "wrong-type": "A field holds another type than declared; it is named.",
    "out-of-bounds": "A field is outside of its bounds, length, pattern or calendar; it is named.",
    "unknown-code": "A field holds a word that is not one of those that it allows; it is named.",
    UNKNOWN_CONTROL_POINT: "The control point is not in the policy: nobody could inspect there.",
    CLOCK_AHEAD: "lodged_at, inspected_at or withdrawn_at is ahead of the record's own timestamp by more than the "
    "policy's clock_ahead_minutes (15 unless it says).",
    UNKNOWN_COUNTRY: "Not an ISO 3166-1 country code, nor one of the codes that customs use beside it.",
    UNKNOWN_PORT: "The first two letters of the UN/LOCODE are not a country.",
    UNKNOWN_CURRENCY: "Not an ISO 4217 currency with a reference rate: the value cannot be known.",
    UNKNOWN_HEADING: "The HS code's chapter is not in HS 2022.",
    DUPLICATE_HOUSE_BILL: "The house bill stands in this manifest already; the first one is decided.",
    IMPOSSIBLE_DATE: "A date that is not in the calendar, or that nobody can have been born, lodged or inspected on.",
    BLANK_NAME: "A name or document number without a single letter or digit: there is nobody to screen.",
    DUPLICATE_LODGEMENT: "This revision of the item came before, within `horizons.filtering_hours` of event time.",
    SUPERSEDED_REVISION: "A higher revision of the item was seen already.",
    NO_SCORE: "No finite score, and no mandatory hit or direct criterion: re-drive it after a rollback of the model.",
    NO_MATCHING_ALERT: "No open alert has the decision id of this result.",
    ALREADY_RESOLVED: "The alert has a result, which this one does not correct, or another one under this id.",
    NOTHING_TO_CORRECT: "What is corrected or withdrawn is not the result that stands on its alert.",
    OTHER_CONTROL_POINT: "The result comes from another control point than the alert went to.",
}
