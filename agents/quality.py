"""What may be odd about an item that is decided all the same: the closed list of quality indicators.

An item with any of these is never cleared automatically, and models see them as features but for those that tell where
a person comes from. What cannot be decided at all is refused instead (`agents/refusals.py`).
"""

from __future__ import annotations

from typing import Final

CONTAINER_NUMBER: Final = "container-check-digit"
AIR_WAYBILL: Final = "air-waybill-check-digit"
IMO_NUMBER: Final = "imo-check-digit"
SPECIAL_CHAPTER: Final = "special-chapter"
UNKNOWN_HEADING: Final = "unknown-heading"
RETIRED_HEADING: Final = "retired-heading"
UNKNOWN_ORIGIN: Final = "origin-unknown"
UNKNOWN_DEPARTURE: Final = "departure-unknown"
NO_MASS: Final = "zero-mass"
NO_VALUE: Final = "zero-value"
NO_PACKAGES: Final = "zero-packages"
NET_ABOVE_GROSS: Final = "net-above-gross"
VAGUE_DESCRIPTION: Final = "vague-description"
LODGED_LATE: Final = "lodged-after-arrival"
DOCUMENT_NUMBER: Final = "document-number-form"
DOCUMENT_EXPIRED: Final = "document-expired"
DOCUMENT_EXPIRY: Final = "document-expiry-date"
BIRTH_DATE_INCOMPLETE: Final = "birth-date-incomplete"
UNLISTED_ISSUER: Final = "issuer-not-a-country"
NAME_CHARACTERS: Final = "name-characters"

OF_ORIGIN: Final = frozenset((UNLISTED_ISSUER, BIRTH_DATE_INCOMPLETE))
"""What says as much of a person as a nationality: stateless people and refugees, states that are not in every list, and
registers that keep no birthdays. No model sees these."""

MEANINGS: Final[dict[str, str]] = {
    CONTAINER_NUMBER: "A container number without the form or the check digit of ISO 6346.",
    AIR_WAYBILL: "An air waybill number without its modulo 7 check digit.",
    IMO_NUMBER: "A ship's IMO number without its check digit.",
    SPECIAL_CHAPTER: "HS chapter 98 or 99, which each country uses for provisions of its own.",
    UNKNOWN_HEADING: "The chapter exists in HS 2022, the heading does not.",
    RETIRED_HEADING: "A heading of an earlier edition of the Harmonized System.",
    UNKNOWN_ORIGIN: "The origin is declared as unknown (ZZ).",
    UNKNOWN_DEPARTURE: "The country of departure is declared as unknown (ZZ).",
    NO_MASS: "The gross mass of all goods is zero.",
    NO_VALUE: "The declared value of all goods is zero.",
    NO_PACKAGES: "There are goods and no packages.",
    NET_ABOVE_GROSS: "The net mass is greater than the gross mass.",
    VAGUE_DESCRIPTION: "No description of the goods, or one that says nothing (gift, parts, general cargo).",
    LODGED_LATE: "Lodged after the estimated time of arrival.",
    DOCUMENT_NUMBER: "The document number could not stand in a machine-readable zone.",
    DOCUMENT_EXPIRED: "The document expires before arrival.",
    DOCUMENT_EXPIRY: "The expiry date is not in the calendar.",
    BIRTH_DATE_INCOMPLETE: "The document gives no day or no month of birth.",
    UNLISTED_ISSUER: "Nationality or issuer is an organisation, or none (a stateless person's document).",
    NAME_CHARACTERS: "A name holds a character that nobody sees, or a word in two alphabets.",
}

VAGUE: Final[frozenset[str]] = frozenset(
    (
        "", "accessories", "accessory", "as per invoice", "cargo", "commodities", "consolidated cargo", "daily goods",
        "electronics", "fak", "freight all kinds", "general cargo", "general goods", "general merchandise", "gift",
        "gifts", "goods", "household goods", "item", "items", "machinery", "merchandise", "misc", "miscellaneous",
        "mixed goods", "n a", "na", "none", "other", "others", "parcel", "part", "parts", "personal effects", "product",
        "products", "sample", "samples", "said to contain", "spare parts", "stc", "stuff", "test", "unknown", "various",
    )
)  # fmt: skip
"""Descriptions that do not tell what the goods are, folded; after the WCO and EU lists of unacceptable terms."""
