"""Parties and documents as subjects: the pseudonyms that records, windows and profiles are kept under."""

from __future__ import annotations

from agents import refusals
from agents.identity import SubjectKeys
from agents.risk import risk_information
from agents.risk.normalise import fold_code, oddly_written, spellings
from agents.undecidable import Undecidable
from schemas.lodgements import Party, TravelDocument

_REMEMBERED = 100_000


class KnownParty(risk_information.Party, frozen=True, gc=False, kw_only=True):
    """A party with its pseudonym, as it is looked up in the risk information."""

    subject: str
    odd: bool
    """Its name holds what nobody sees, or mixes alphabets."""


class Parties:
    """Turns parties into subjects. Heavy-tailed traffic repeats itself, so the latest ones are remembered."""

    def __init__(self, key: bytes) -> None:
        self._subject = SubjectKeys(key)
        self._known: dict[tuple[str, str | None, str | None], KnownParty] = {}

    def known(self, party: Party, field: str) -> KnownParty:
        """The party as a subject: by its identifier, else by name and country.

        Raises `Undecidable` when neither the name nor the identifier has a letter or digit.
        """
        as_sent = (party.name, party.identifier, party.country)
        known = self._known.get(as_sent)
        if known is None:
            known = self._look_at(party, field)
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            self._known[as_sent] = known
        return known

    def _look_at(self, party: Party, field: str) -> KnownParty:
        spelt = spellings(party.name, person=False)
        identifier = fold_code(party.identifier) if party.identifier is not None else ""
        if identifier:
            text = "identifier\x1f" + identifier
        elif spelt:
            text = f"name\x1f{spelt[0]}\x1f{party.country or ''}"
        else:
            raise Undecidable(refusals.BLANK_NAME, field + ".name", "there is no letter or digit in it")
        return KnownParty(spelt, identifier or None, subject=self._subject("c", text), odd=oddly_written(party.name))

    def document(self, document: TravelDocument) -> tuple[str, str]:
        """The pseudonym of a travel document, and its number as it is compared.

        Raises `Undecidable` when the number has no letter or digit.
        """
        number = fold_code(document.number)
        if not number:
            raise Undecidable(refusals.BLANK_NAME, "document.number", "there is no letter or digit in it")
        return self._subject("t", f"{document.issuer}\x1f{number}"), number
