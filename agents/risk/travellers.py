"""Screening of travellers: the document, the journey and the booking. Nothing else about a person is looked at."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Final

from msgspec.structs import replace

from agents import quality, refusals
from agents.risk.checks import birth_year, calendar_date, document_number
from agents.risk.codelists import COUNTRIES, KNOWN_NATIONALITIES, KNOWN_ORIGINS
from agents.risk.findings import Findings, is_trusted
from agents.risk.normalise import oddly_written, spellings
from agents.risk.parties import Parties
from agents.risk.profiles import Profiles
from agents.risk.risk_information import NO_HITS, Party, RiskInformationBook, Sighting
from agents.undecidable import Undecidable
from schemas.items import TravellerFacts
from schemas.lodgements import Booking, PassengerExpected, TravelDocument

_EPOCH_DAY: Final = date(1970, 1, 1).toordinal()


class TravellerScreen:
    """Checks and normalises advance passenger information, and attaches what is known of the document."""

    def __init__(self, parties: Parties, profiles: Profiles, risk_information: RiskInformationBook) -> None:
        self._parties = parties
        self._profiles = profiles
        self._risk_information = risk_information

    def passenger(self, lodged: PassengerExpected, at_ms: int, late: tuple[str, ...]) -> Findings:
        """Screen one traveller on one journey. Raises `Undecidable`."""
        odd = list(late)
        for port, field in ((lodged.embarkation, "embarkation"), (lodged.disembarkation, "disembarkation")):
            if port[:2] not in KNOWN_ORIGINS:
                raise Undecidable(refusals.UNKNOWN_PORT, field, f"UN/LOCODE {port}: {port[:2]} is no country code")
        document = lodged.document
        _check_countries(lodged, odd)
        born = _birth_year(lodged, odd)
        days_left = _days_left(document, lodged.eta, odd)
        subject, number = self._parties.document(document)
        if not document_number(document.number.replace(" ", "").upper()):
            odd.append(quality.DOCUMENT_NUMBER)
        name = lodged.family_name if lodged.given_names is None else f"{lodged.family_name}, {lodged.given_names}"
        if oddly_written(name):
            odd.append(quality.NAME_CHARACTERS)
        facts = TravellerFacts(
            document=subject,
            name=name[:401],  # schemas.marks.PersonalFullName
            document_issuer=document.issuer,
            document_kind=document.kind,
            nationality=lodged.nationality,
            birth_year=born,
            carrier=lodged.carrier,
            mode=lodged.mode,
            journey=lodged.journey_id,
            embarkation=lodged.embarkation,
            disembarkation=lodged.disembarkation,
            crew=lodged.crew,
            document_days_left=days_left,
        )
        if lodged.booking is not None:
            facts = _booked(lodged.booking, lodged.eta, facts)
        hits = NO_HITS
        if self._risk_information.version:  # else none was ever published
            hits = self._risk_information.match(
                Sighting(
                    "passengers",
                    at_ms,
                    (("traveller", Party(spellings(name, person=True))),),
                    number,
                    port=lodged.embarkation,
                    departure=lodged.embarkation[:2],
                )
            )
        prior = self._profiles.prior(subject)
        trusted = bool(hits) and is_trusted(hits)
        return Findings(subject, None, facts, prior, None, hits, trusted, tuple(dict.fromkeys(odd)) if odd else ())


def _booked(booking: Booking, eta: datetime, facts: TravellerFacts) -> TravellerFacts:
    """The facts and the booking. Apart: a call with more than 15 keywords takes CPython four times as long."""
    return replace(
        facts,
        itinerary=booking.itinerary,
        booked_hours_ahead=_hours_between(booking.booked_at, eta),
        payment=booking.payment,
        agency=booking.agency,
        one_way=booking.one_way,
        party_size=booking.party_size,
        bags=booking.bags,
        bag_mass_kg=booking.bag_mass_kg,
    )


def _check_countries(lodged: PassengerExpected, odd: list[str]) -> None:
    """Refuse codes that nobody issues documents under. The details do not tell which: nationality is personal."""
    nationality, issuer = lodged.nationality, lodged.document.issuer
    if nationality not in KNOWN_NATIONALITIES:
        raise Undecidable(refusals.UNKNOWN_COUNTRY, "nationality", "no country code")
    if issuer not in KNOWN_NATIONALITIES:
        raise Undecidable(refusals.UNKNOWN_COUNTRY, "document.issuer", "no country code")
    if nationality not in COUNTRIES or issuer not in COUNTRIES:
        odd.append(quality.UNLISTED_ISSUER)


def _birth_year(lodged: PassengerExpected, odd: list[str]) -> int:
    text = lodged.birth_date
    year = birth_year(text)
    at = lodged.lodged_at
    if year is None or (year >= at.year and text[:10] > at.date().isoformat()):
        raise Undecidable(refusals.IMPOSSIBLE_DATE, "birth_date", "nobody can have been born on it")
    if text.endswith("-00"):
        odd.append(quality.BIRTH_DATE_INCOMPLETE)
    return year


def _days_left(document: TravelDocument, eta: datetime, odd: list[str]) -> int | None:
    """Days from arrival until the document expires, negative when it has; None when no such date is given.

    Of arrival by the day in UTC: the zone is the lodger's choice, and not every day of it is in the calendar elsewhere.
    """
    if document.expires is None:
        return None
    expires = calendar_date(document.expires)
    if expires is None:
        odd.append(quality.DOCUMENT_EXPIRY)
        return None
    if eta.tzinfo is UTC:
        days = (expires - eta.date()).days
    else:
        days = expires.toordinal() - _EPOCH_DAY - int(eta.timestamp() // 86_400)
    if days < 0:
        odd.append(quality.DOCUMENT_EXPIRED)
    return days


def _hours_between(booked_at: datetime | None, eta: datetime) -> float | None:
    """Hours from booking to arrival, None when a booking is not known or is later than arrival."""
    if booked_at is None:
        return None
    hours = (eta - booked_at).total_seconds() / 3600.0
    return hours if hours >= 0.0 else None
